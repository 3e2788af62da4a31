// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/store/storetest"
)

// apiCall is one request that the API server answered.
type apiCall struct {
	verb, group, resource, subresource, name string
	code                                     int32
}

func (c apiCall) writes() bool {
	switch c.verb {
	case "get", "list", "watch":
		return false
	}
	// Asking what one may do changes nothing.
	return c.group != "authorization.k8s.io" && c.group != "authentication.k8s.io"
}

// operatorCalls reads from the API server's audit log what the operator asked since a time.
func operatorCalls(t *testing.T, since time.Time) []apiCall {
	t.Helper()
	file, err := os.Open(auditLogPath)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var calls []apiCall
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditv1.Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			continue // The last line may be half written.
		}
		if event.User.Username != operatorUser || event.RequestReceivedTimestamp.Time.Before(since) || event.ObjectRef == nil {
			continue
		}
		call := apiCall{verb: event.Verb, group: event.ObjectRef.APIGroup, resource: event.ObjectRef.Resource, subresource: event.ObjectRef.Subresource, name: event.ObjectRef.Name}
		if event.ResponseStatus != nil {
			call.code = event.ResponseStatus.Code
		}
		calls = append(calls, call)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return calls
}

// reconciliations counts what all operators of this process have reconciled.
func reconciliations(t *testing.T) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			total += metric.GetCounter().GetValue()
		}
	}
	return total
}

// awaitNoLeftovers waits until the namespaces of the tests before are gone.
func awaitNoLeftovers(t *testing.T) {
	t.Helper()
	// Kubernetes takes its time, and a test may leave a thousand objects.
	eventuallyWithin(t, 5*patience, "no namespace is being deleted", func(ctx context.Context) (bool, string) {
		namespaces := &corev1.NamespaceList{}
		err := admin.List(ctx, namespaces)
		for _, namespace := range namespaces.Items {
			if !namespace.DeletionTimestamp.IsZero() {
				return false, namespace.Name
			}
		}
		return err == nil, fmt.Sprint(err)
	})
}

// settleInEveryState leaves a key in overlap, one that expired, one whose bearer is gone,
// one whose Secret is another's, and a guest whose invitation lapsed.
func settleInEveryState(t *testing.T, o *operator, w *world, guest *v1alpha1.Member) {
	t.Helper()
	bearer := application(w.organization, w.home, "short-lived")
	ended := apiKey(w.organization, w.home, "ended", v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "short-lived"})
	expired := apiKey(w.organization, w.home, "expired", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	expired.Spec.ExpiresIn = "1h"
	foreign := &corev1.Secret{ObjectMeta: objectMeta(w.home, "foreign")}
	conflicting := apiKey(w.organization, w.home, "foreign", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	create(t, bearer, ended, expired, foreign, conflicting)
	awaitReady(t, bearer, ended, expired)
	awaitReason(t, conflicting, v1alpha1.ReasonSecretConflict)
	remove(t, bearer)
	awaitReason(t, ended, v1alpha1.ReasonBearerDeleted)

	rotating := w.keys[0]
	o.Clock.SetTime(o.Clock.Now().Add(720*time.Hour + time.Minute))
	poke(t, rotating)
	poke(t, expired)
	poke(t, guest)
	awaitReason(t, expired, v1alpha1.ReasonExpired)
	awaitReason(t, guest, v1alpha1.ReasonExpired)
	eventually(t, "a key is in overlap", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(rotating), rotating)
		return err == nil && len(rotating.Status.Keys) == 2, fmt.Sprint(err, rotating.Status.Keys)
	})
	// The others that rotate are due as well.
	for _, key := range w.keys {
		poke(t, key)
	}
}

// Law 7: once settled, a full resync (every object reconciled anew, from an empty cache)
// makes no write to the API server, no write to the store and no event.
func TestLaw07Silence(t *testing.T) {
	o := startOperator(t)
	awaitNoLeftovers(t)
	w := newWorld(t, 8)
	locked := member(w.organization, w.home, "locked")
	locked.Spec.State = v1alpha1.StateLocked
	waits := policy(w.organization, w.home, "waits", &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "nobody"})
	broken := policy(w.organization, w.home, "broken", nil, v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"IAMReadOnly"}, Scope: v1alpha1.ScopeOrganization, Condition: "1"})
	guest := &v1alpha1.Member{ObjectMeta: objectMeta(w.home, "guest"), Spec: v1alpha1.MemberSpec{OrganizationRef: of(w.organization, w.home), Type: v1alpha1.TypeGuest, Email: "guest@acme.example"}}
	rival := member(w.organization, w.home, "rival")
	rival.Spec.Username = "LOCKED"
	create(t, locked, waits, broken, guest)
	awaitReady(t, locked, guest)
	create(t, rival)
	awaitReason(t, rival, v1alpha1.ReasonConflict)
	awaitReason(t, waits, v1alpha1.ReasonReferenceNotFound)
	awaitReason(t, broken, v1alpha1.ReasonInvalidSpec)
	settleInEveryState(t, o, w, guest)
	awaitCatalogue(t, o)
	awaitQuiet(t, o)
	o.halt(t)

	since, before := time.Now(), reconciliations(t)
	o.start(t)
	written, err := storetest.Written(t.Context(), o.Store)
	if err != nil {
		t.Fatal(err)
	}
	objects := float64(len(w.objects) + 5 + 2*202)
	eventually(t, "every object is reconciled anew", func(context.Context) (bool, string) {
		done := reconciliations(t) - before
		return done >= objects, fmt.Sprintf("%v of %v", done, objects)
	})
	awaitQuiet(t, o)
	after, err := storetest.Written(t.Context(), o.Store)
	if err != nil {
		t.Fatal(err)
	}
	if after != written {
		t.Errorf("%d writes to the store", after-written)
	}
	calls := operatorCalls(t, since)
	if len(calls) == 0 {
		t.Fatal("the audit log shows nothing of the operator, so it proves nothing")
	}
	for _, call := range calls {
		if call.writes() {
			t.Errorf("a write to the API server: %+v", call)
		}
	}
}
