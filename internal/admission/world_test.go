// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/principals"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// noon is what the tests of this package take for now.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// The Organization of the tests is acme in namespace home. It admits namespaces with the
// label joins: acme, of which shop is one and wild is none.
var acmeRef = v1alpha1.OrganizationRef{Name: "acme", Namespace: "home"}

func acme(edits ...func(*v1alpha1.Organization)) *v1alpha1.Organization {
	o := &v1alpha1.Organization{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "acme", UID: "10000000-0000-4000-8000-000000000000", Generation: 1},
		Spec: v1alpha1.OrganizationSpec{
			Alias: "acme", Owner: v1alpha1.Owner{Email: "owner@acme.example"},
			AllowedNamespaces: &v1alpha1.AllowedNamespaces{
				From: v1alpha1.NamespacesSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"joins": "acme"}},
			},
		},
	}
	for _, edit := range edits {
		edit(o)
	}
	return o
}

func namespaces() []client.Object {
	return []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "home", UID: "uid-of-home"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"joins": "acme"}}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "wild"}},
	}
}

func in(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "20000000-0000-4000-8000-000000000000", Generation: 1, CreationTimestamp: metav1.NewTime(noon)}
}

func memberIn(namespace, name string, edits ...func(*v1alpha1.Member)) *v1alpha1.Member {
	m := &v1alpha1.Member{ObjectMeta: in(namespace, name), Spec: v1alpha1.MemberSpec{
		OrganizationRef: acmeRef, Username: name, Email: v1alpha1.Email(name + "@acme.example"),
	}}
	for _, edit := range edits {
		edit(m)
	}
	return m
}

func keyIn(namespace, name string, edits ...func(*v1alpha1.APIKey)) *v1alpha1.APIKey {
	k := &v1alpha1.APIKey{ObjectMeta: in(namespace, name), Spec: v1alpha1.APIKeySpec{
		OrganizationRef: acmeRef, Bearer: v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "ci"},
	}}
	for _, edit := range edits {
		edit(k)
	}
	return k
}

func policyIn(namespace, name string, rules ...v1alpha1.PolicyRule) *v1alpha1.Policy {
	return &v1alpha1.Policy{ObjectMeta: in(namespace, name), Spec: v1alpha1.PolicySpec{OrganizationRef: acmeRef, Rules: rules}}
}

func setOf(name string, scope v1alpha1.PermissionSetScopeType) *v1alpha1.PermissionSet {
	set := &v1alpha1.PermissionSet{ObjectMeta: in("", strings.ToLower(name)), Spec: v1alpha1.PermissionSetSpec{
		Name: v1alpha1.PermissionSetName(name), ScopeType: scope, Permissions: []v1alpha1.Permission{"shop:order:read"},
	}}
	if scope == v1alpha1.ScopeTypeOrganization {
		set.Spec.Permissions = []v1alpha1.Permission{"iam:user:read"}
	}
	return set
}

// another gives an object another identity, so that it is not taken for the one that is judged.
func another[T client.Object](obj T) T {
	obj.SetUID("30000000-0000-4000-8000-000000000000")
	return obj
}

// bench is a validator with a world, a store and somebody who may do what the test says.
type bench struct {
	*validator
	store  *breakable
	denied map[string]bool
}

// indexer adds indexes to a cache that is being built.
type indexer struct{ builder *fake.ClientBuilder }

func (i indexer) IndexField(_ context.Context, prototype client.Object, field string, keys client.IndexerFunc) error {
	i.builder.WithIndex(prototype, field, keys)
	return nil
}

// newBench makes a world of these objects beside the three namespaces. Whoever asks may do
// everything, until the test says otherwise.
func newBench(t testing.TB, objects ...client.Object) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(namespaces(), objects...)...)
	if err := errors.Join(addIndexes(t.Context(), indexer{builder}), principals.AddIndex(t.Context(), indexer{builder})); err != nil {
		t.Fatal(err)
	}
	reader := builder.Build()
	database, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "iam.db"), TrustFileSystem: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := database.Close(); err != nil {
			t.Error(err)
		}
	})
	now := func() time.Time { return noon }
	b := &bench{store: &breakable{Store: database}, denied: map[string]bool{}}
	authorize := func(_ context.Context, _ authenticationv1.UserInfo, asked authorizationv1.ResourceAttributes) (bool, error) {
		return !b.denied[asked.Verb+" "+asked.Resource], nil
	}
	b.validator = &validator{
		world: world{cache: reader, live: reader}, now: now, authorize: authorize,
		guard: &Guard{Reader: reader, Authorize: authorize},
		history: &history{
			store: b.store, gaps: &audit.Gaps{}, refusals: newRefusalBounds(), now: now, log: logr.Discard(),
			principals: principals.Finder{Reader: reader, Store: b.store},
			lost:       losses{prometheus.NewCounter(prometheus.CounterOpts{Name: "a"}), prometheus.NewCounter(prometheus.CounterOpts{Name: "r"})},
			recorder: &audit.Recorder{
				Now: now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() }, Namespace: "operator", NamespaceUID: "uid-of-operator",
			},
		},
	}
	return b
}

// breakable is a store that can be out of order.
type breakable struct {
	store.Store
	broken error
}

func (b *breakable) Attribute(ctx context.Context, records ...iam.Attribution) error {
	if b.broken != nil {
		return b.broken
	}
	return b.Store.Attribute(ctx, records...)
}

func (b *breakable) Write(ctx context.Context, fn func(store.Tx) error) (store.Revision, error) {
	if b.broken != nil {
		return store.Revision{}, b.broken
	}
	return b.Store.Write(ctx, fn)
}

// maya is who asks.
var maya = authenticationv1.UserInfo{Username: "maya@corp.example", UID: "maya-uid", Groups: []string{"staff"}, Extra: map[string]authenticationv1.ExtraValue{"shift": {"day"}}}

// requestTo is a request of Maya's to write an object in the place of another, if there is one. What is stored was let
// through, unless its status says something else.
func requestTo(t testing.TB, obj, old declared.Object) admission.Request {
	t.Helper()
	kind := kindOf(obj)
	request := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID:  "request-1",
		Kind: metav1.GroupVersionKind{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Kind: string(kind)},
		Resource: metav1.GroupVersionResource{
			Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: strings.ToLower(string(kind)) + "s",
		},
		Namespace: obj.GetNamespace(), Name: obj.GetName(), Operation: admissionv1.Create, UserInfo: maya,
		Object: raw(t, obj),
	}}
	if old != nil {
		request.Operation, request.OldObject = admissionv1.Update, raw(t, letThrough(t, old))
	}
	return request
}

func letThrough(t testing.TB, stored declared.Object) declared.Object {
	t.Helper()
	obj := newObject(kindOf(stored))
	if err := json.Unmarshal(raw(t, stored).Raw, obj); err != nil {
		t.Fatal(err)
	}
	if status := obj.GetObjectStatus(); len(status.Conditions) == 0 {
		status.ObservedGeneration, status.ObservedMarks = obj.GetGeneration(), declared.MarksDigest(obj)
		status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonApplied}}
	}
	return obj
}

func raw(t testing.TB, obj declared.Object) runtime.RawExtension {
	t.Helper()
	body, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: body}
}

func kindOf(obj declared.Object) iam.Kind {
	kinds := iam.Kinds()
	return kinds[slices.IndexFunc(kinds, func(kind iam.Kind) bool { return reflect.TypeOf(newObject(kind)) == reflect.TypeOf(obj) })]
}

// brokenReader is a cache that is out of order.
type brokenReader struct{ client.Reader }

func (brokenReader) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("the cache is not filled")
}

// hanging is a store that never answers.
type hanging struct{ store.Store }

func (hanging) Attribute(ctx context.Context, _ ...iam.Attribution) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hanging) Write(ctx context.Context, _ func(store.Tx) error) (store.Revision, error) {
	<-ctx.Done()
	return store.Revision{}, ctx.Err()
}

func counted(t *testing.T, counter prometheus.Counter) float64 {
	t.Helper()
	var metric dto.Metric
	if err := counter.Write(&metric); err != nil {
		t.Fatal(err)
	}
	return metric.GetCounter().GetValue()
}

func mustEqual[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		t.Errorf("%s:\nwant %+v\ngot  %+v", what, want, got)
	}
}
