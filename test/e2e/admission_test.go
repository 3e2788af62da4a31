// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/admission"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// adminUser is who the tests' own client is at the API server.
const adminUser = "admin"

// admitted is a kind as the tests of admission make and edit it.
type admitted struct {
	kind string
	make func(name string) controllers.Object
	edit func(controllers.Object)
}

// admittedKinds are the nine kinds, in an Organization of a namespace.
func admittedKinds(o *v1alpha1.Organization, ns string) []admitted {
	return []admitted{
		{"Organization", func(name string) controllers.Object { return organization(ns, name) },
			func(obj controllers.Object) { obj.(*v1alpha1.Organization).Spec.DisplayName = "Edited" }},
		{"Project", func(name string) controllers.Object { return project(o, ns, name) },
			func(obj controllers.Object) { obj.(*v1alpha1.Project).Spec.Description = "edited" }},
		{"Member", func(name string) controllers.Object { return member(o, ns, name) },
			func(obj controllers.Object) { obj.(*v1alpha1.Member).Spec.FirstName = "Edited" }},
		{"Group", func(name string) controllers.Object { return group(o, ns, name) },
			func(obj controllers.Object) { obj.(*v1alpha1.Group).Spec.Description = "edited" }},
		{"Application", func(name string) controllers.Object { return application(o, ns, name) },
			func(obj controllers.Object) { obj.(*v1alpha1.Application).Spec.Description = "edited" }},
		{"APIKey", func(name string) controllers.Object {
			return apiKey(o, ns, "key-"+name, v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
		}, func(obj controllers.Object) { obj.(*v1alpha1.APIKey).Spec.Description = "edited" }},
		{"Policy", func(name string) controllers.Object { return policy(o, ns, name, nil, setsRule("", "IAMReadOnly")) },
			func(obj controllers.Object) { obj.(*v1alpha1.Policy).Spec.Description = "edited" }},
		{"PermissionSet", func(name string) controllers.Object {
			return customSet(strings.ToUpper(name[:1])+name[1:]+alias(ns), v1alpha1.ScopeTypeProjects, "shop:order:read")
		}, func(obj controllers.Object) { obj.(*v1alpha1.PermissionSet).Spec.Description = "edited" }},
		{"SSHKey", func(name string) controllers.Object { return sshKey(o, ns, name, v1alpha1.DefaultProjectName) },
			func(obj controllers.Object) { obj.(*v1alpha1.SSHKey).Spec.State = v1alpha1.SSHKeyDisabled }},
	}
}

// eventIDOf is by which id events tell of an object.
func eventIDOf(obj controllers.Object) string {
	if key, ok := obj.(*v1alpha1.APIKey); ok {
		return key.Status.AccessKey
	}
	return obj.GetObjectStatus().ID
}

// awaitAuthor waits for an event about an object that names who asked.
func awaitAuthor(t *testing.T, o *guardedOperator, id string, action iam.Action, user string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is %s by %s", id, action, user), func(ctx context.Context) (bool, string) {
		events, err := o.Store.Events(ctx, store.EventQuery{EventFilter: store.EventFilter{ResourceID: id, Action: action}})
		if err != nil || len(events) == 0 {
			return false, fmt.Sprint(err, len(events))
		}
		got := events[0]
		return got.KubernetesUser == user && got.Authorship != nil && got.Authorship.State == iam.AuthorshipAdmitted && got.RequestID != "",
			fmt.Sprintf("%s by %+v, user %q, request %q, authorship %+v", got.Method, got.Principal, got.KubernetesUser, got.RequestID, got.Authorship)
	})
}

// applyAs applies an object by server-side apply, and reads back what the API server answers.
func applyAs(t *testing.T, manager string, obj controllers.Object) {
	t.Helper()
	gvk, err := apiutil.GVKForObject(obj, admin.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	patch := &unstructured.Unstructured{Object: map[string]any{"spec": content["spec"]}}
	patch.SetGroupVersionKind(gvk)
	patch.SetNamespace(obj.GetNamespace())
	patch.SetName(obj.GetName())
	err = admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(patch), client.FieldOwner(manager), client.ForceOwnership)
	if err != nil {
		t.Fatalf("apply %T %s: %v", obj, obj.GetName(), err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(patch.Object, obj); err != nil {
		t.Fatal(err)
	}
}

// Each kind goes through the real API server and the webhooks by each way of writing it: the finalizer is there at once,
// the object becomes Ready, and the event of just what was stored names who asked.
func TestAdmissionOfEveryKind(t *testing.T) {
	o, ns, org := startGuardedHome(t)
	for _, test := range admittedKinds(org, ns) {
		t.Run(test.kind, func(t *testing.T) {
			for way, write := range map[string]func(controllers.Object, bool){
				"created": func(obj controllers.Object, again bool) {
					if again {
						change(t, obj, test.edit)
						return
					}
					create(t, obj)
				},
				"applied": func(obj controllers.Object, again bool) {
					if again {
						test.edit(obj)
					}
					applyAs(t, "flux", obj)
				},
			} {
				obj := test.make(way)
				t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), obj)) })
				write(obj, false)
				if !controllerutil.ContainsFinalizer(obj, v1alpha1.Finalizer) {
					t.Errorf("the %s %s comes without the finalizer", way, test.kind)
				}
				awaitReady(t, obj)
				awaitAuthor(t, o, eventIDOf(obj), iam.ActionCreated, adminUser)
				before := obj.GetGeneration()
				write(obj, true)
				awaitReady(t, obj)
				if obj.GetGeneration() == before {
					t.Fatalf("the edit did not change the %s %s", way, test.kind)
				}
				awaitAuthor(t, o, eventIDOf(obj), iam.ActionUpdated, adminUser)
				id := eventIDOf(obj)
				remove(t, obj)
				awaitAuthor(t, o, id, iam.ActionDeleted, adminUser)
			}
		})
	}
}

// isDown says whether the API server has refused something because nobody could be asked.
func isDown(err error) bool {
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), `failed calling webhook "guard.iam-operator.dev"`)
}

// With the webhooks down nothing is newly declared, and everything else goes on: labels, status, finalizers, deletions.
func TestAdmissionDown(t *testing.T) {
	o := startGuardedOperator(t)
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	create(t, org)
	kinds := admittedKinds(org, ns)
	stored := map[string]controllers.Object{}
	for _, of := range kinds {
		stored[of.kind] = of.make("before")
		create(t, stored[of.kind])
	}
	for _, of := range kinds {
		awaitReady(t, stored[of.kind])
	}
	collected := []controllers.Object{project(org, ns, "collected-1"), project(org, ns, "collected-2")}
	for _, obj := range collected {
		obj.SetLabels(map[string]string{"collected": "true"})
		create(t, obj)
	}
	awaitReady(t, collected...)
	o.halt(t)

	for _, of := range kinds {
		t.Run(of.kind, func(t *testing.T) { tryWhileDown(t, of, stored[of.kind]) })
	}
	err := admin.DeleteAllOf(t.Context(), &v1alpha1.Project{}, client.InNamespace(ns), client.MatchingLabels{"collected": "true"})
	if err != nil {
		t.Errorf("a collection can't be deleted: %v", err)
	}
	o.startGuarded(t)
	o.awaitAsked(t)
	for _, of := range kinds {
		awaitGone(t, stored[of.kind])
	}
	for _, obj := range collected {
		awaitGone(t, obj)
	}
	again := project(org, ns, "again")
	create(t, again)
}

func tryWhileDown(t *testing.T, of admitted, obj controllers.Object) {
	ctx := t.Context()
	fresh := of.make("fresh")
	if err := admin.Create(ctx, fresh); !isDown(err) {
		t.Errorf("a creation is answered by %v", err)
	}
	if err := admin.Get(ctx, keyOf(fresh), fresh); !apierrors.IsNotFound(err) {
		t.Errorf("what was refused is there: %v", err)
	}
	next := obj.DeepCopyObject().(controllers.Object)
	of.edit(next)
	if err := admin.Update(ctx, next); !isDown(err) {
		t.Errorf("a change of the spec is answered by %v", err)
	}
	for _, name := range []string{v1alpha1.IDAnnotation, v1alpha1.RotateAtAnnotation, v1alpha1.UnlockAtAnnotation, v1alpha1.ResetMFAAtAnnotation, v1alpha1.ReconcileAtAnnotation} {
		patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"2026-01-01T00:00:00Z"}}}`, name))
		if err := admin.Patch(ctx, obj.DeepCopyObject().(controllers.Object), patch); !isDown(err) {
			t.Errorf("annotation %s is answered by %v", name, err)
		}
	}
	labelled := obj.DeepCopyObject().(controllers.Object)
	labelled.SetLabels(map[string]string{"team": "web"})
	annotations := labelled.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["example.com/note"] = "seen"
	labelled.SetAnnotations(annotations)
	if err := admin.Update(ctx, labelled); err != nil {
		t.Errorf("labels can't be changed: %v", err)
	}
	if labelled.GetGeneration() != obj.GetGeneration() {
		t.Error("the spec changed while nobody could be asked")
	}
	status := client.RawPatch(types.MergePatchType, []byte(`{"status":{"lastHandledReconcileAt":"now"}}`))
	if err := admin.Status().Patch(ctx, obj.DeepCopyObject().(controllers.Object), status); err != nil {
		t.Errorf("the status can't be written: %v", err)
	}
	if err := admin.Delete(ctx, obj.DeepCopyObject().(controllers.Object)); err != nil {
		t.Errorf("it can't be deleted: %v", err)
	}
	going := obj.DeepCopyObject().(controllers.Object)
	if err := admin.Get(ctx, keyOf(obj), going); err != nil || going.GetDeletionTimestamp().IsZero() {
		t.Fatalf("it is not on its way out: %v", err)
	}
	of.edit(going)
	if err := admin.Update(ctx, going); err != nil {
		t.Errorf("what is on its way out can't be changed: %v", err)
	}
	if of.kind == "Group" { // its finalizer is taken off by hand
		controllerutil.RemoveFinalizer(going, v1alpha1.Finalizer)
		if err := admin.Update(ctx, going); err != nil {
			t.Errorf("the finalizer can't be removed: %v", err)
		}
		awaitGone(t, obj)
	}
}

// The operator keeps the built-in permission sets although nobody can be asked, and nobody else may pass for it.
func TestAdmissionOfBuiltInSets(t *testing.T) {
	o := newGuardedOperator(t)
	o.install(t)
	eventually(t, "the API server goes by the configuration", func(ctx context.Context) (bool, string) {
		err := probe(ctx)
		return isDown(err), fmt.Sprint(err)
	})
	o.Admission = false
	o.start(t) // without webhooks
	deleted, changed := &v1alpha1.PermissionSet{}, &v1alpha1.PermissionSet{}
	deleted.Name, changed.Name = "iamreadonly", "instancesreadonly"
	awaitReady(t, deleted, changed)
	was, uid := changed.Spec.Description, deleted.UID
	stranger := userClient(t, "mallory-of-sets", rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"permissionsets"}, Verbs: []string{"get", "create", "update"},
	})
	theirs := changed.DeepCopy()
	theirs.Spec.Description = "by a stranger"
	if err := stranger.Update(t.Context(), theirs); !isDown(err) {
		t.Errorf("a stranger's edit of a built-in set is answered by %v", err)
	}
	mine := customSet("Mine"+alias(newNamespace(t, nil)), v1alpha1.ScopeTypeProjects, "shop:order:read")
	mine.Labels = map[string]string{v1alpha1.ManagedLabel: "true"}
	if err := stranger.Create(t.Context(), mine); !isDown(err) {
		t.Errorf("a stranger's set with the label of built-in ones is answered by %v", err)
	}
	change(t, changed, func(s *v1alpha1.PermissionSet) { s.Spec.Description = "edited by hand" }) // the admin may escalate
	eventually(t, "the edited set is put back", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(changed), changed)
		return err == nil && changed.Spec.Description == was, fmt.Sprint(err, changed.Spec.Description)
	})
	if err := admin.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deleted set is made again", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(deleted), deleted)
		return err == nil && deleted.UID != uid, fmt.Sprint(err)
	})
	if controllerutil.ContainsFinalizer(deleted, v1alpha1.Finalizer) {
		t.Error("a built-in set has a finalizer")
	}
}

// A dry run leaves nothing behind: no object, no record of who asked, no event.
func TestAdmissionDryRun(t *testing.T) {
	o := startGuardedOperator(t)
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	web := project(org, ns, "web")
	create(t, org, web)
	awaitReady(t, org, web)
	awaitQuiet(t, o.operator)
	before := len(eventsOf(t, o))
	tried := member(org, ns, "tried")
	if err := admin.Create(t.Context(), tried, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if !controllerutil.ContainsFinalizer(tried, v1alpha1.Finalizer) {
		t.Error("a dry run does not show the finalizer")
	}
	refused := member(org, ns, "refused")
	refused.Spec.Username = "owner@acme.example"
	if err := admin.Create(t.Context(), refused, client.DryRunAll); !apierrors.IsInvalid(err) {
		t.Errorf("a dry run is not judged: %v", err)
	}
	edited := web.DeepCopy()
	edited.Spec.Description = "tried"
	if err := admin.Update(t.Context(), edited, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), web.DeepCopy(), client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	for _, obj := range []controllers.Object{tried, web} {
		records, err := o.Store.Attributions(t.Context(), string(obj.GetUID()))
		if err != nil || len(records) > 0 {
			t.Errorf("a dry run on %s left %+v, %v", obj.GetName(), records, err)
		}
	}
	if after := len(eventsOf(t, o)); after != before {
		t.Errorf("%d events before the dry runs, %d after", before, after)
	}
}

func eventsOf(t *testing.T, o *guardedOperator) []iam.Event {
	t.Helper()
	events, err := o.Store.Events(t.Context(), store.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// A name that the API server draws is known by the time who asked is recorded, and of a collection each deletion is.
func TestAdmissionOfNamesAndCollections(t *testing.T) {
	o := startGuardedOperator(t)
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	create(t, org)
	var ids []string
	for range 3 {
		generated := project(org, ns, "")
		generated.GenerateName, generated.Labels = "gen-", map[string]string{"collected": "true"}
		create(t, generated)
		if !controllerutil.ContainsFinalizer(generated, v1alpha1.Finalizer) {
			t.Errorf("%s comes without the finalizer", generated.Name)
		}
		awaitReady(t, generated)
		awaitAuthor(t, o, generated.Status.ID, iam.ActionCreated, adminUser)
		ids = append(ids, generated.Status.ID)
	}
	err := admin.DeleteAllOf(t.Context(), &v1alpha1.Project{}, client.InNamespace(ns), client.MatchingLabels{"collected": "true"})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		awaitAuthor(t, o, id, iam.ActionDeleted, adminUser)
	}
}

// What was stored while the configurations were gone waits until it is submitted again.
func TestAdmissionMissingIsSubmittedAgain(t *testing.T) {
	o, ns, org := startGuardedHome(t)
	o.uninstall(t)
	sneaked := member(org, ns, "sneaked")
	create(t, sneaked)
	awaitReason(t, sneaked, v1alpha1.ReasonAdmissionMissing)
	o.install(t)
	o.awaitAsked(t)
	mallory := userClient(t, "mallory-again", rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"members"}, Verbs: []string{"get", "patch", "update"},
	})
	again := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"iam-operator.dev/reconcile-at":"now"}}}`))
	if err := mallory.Patch(t.Context(), sneaked.DeepCopy(), again); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "issue on members.iam-operator.dev/sneaked") {
		t.Errorf("who may not issue submits it again, and is answered by %v", err)
	}
	if err := admin.Patch(t.Context(), sneaked.DeepCopy(), again); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, sneaked)
	awaitAuthor(t, o, sneaked.Status.ID, iam.ActionCreated, adminUser)
}

// Nobody judges by coming back: neither the configurations before the operator, nor both before it has looked.
func TestAdmissionMissingWhileNobodyLooked(t *testing.T) {
	o, ns, org := startGuardedHome(t)
	o.halt(t)
	o.uninstall(t)
	sneaked := member(org, ns, "sneaked")
	create(t, sneaked)
	o.install(t)
	o.startGuarded(t)
	o.awaitAsked(t)
	awaitReason(t, sneaked, v1alpha1.ReasonAdmissionMissing)
	page, err := o.Store.List(t.Context(), store.Query{Kind: iam.KindMember, Object: &iam.Object{Kind: iam.KindMember, Namespace: ns, Name: sneaked.Name}})
	if err != nil || len(page.Rows) > 0 {
		t.Errorf("what nobody judged is in the store: %+v, %v", page.Rows, err)
	}
}

// The certificate comes back when its Secret is lost, and the configurations are told of it when they are made anew.
func TestAdmissionCertificates(t *testing.T) {
	o := startGuardedOperator(t)
	secret := &corev1.Secret{ObjectMeta: objectMeta(operatorNamespace, admission.CertificateSecret)}
	if err := admin.Get(t.Context(), keyOf(secret), secret); err != nil {
		t.Fatal(err)
	}
	former := string(secret.Data["tls.crt"])
	if err := admin.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another certificate is made", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(secret), secret)
		return err == nil && len(secret.Data["tls.crt"]) > 0 && string(secret.Data["tls.crt"]) != former, fmt.Sprint(err)
	})
	o.awaitAsked(t)
	o.uninstall(t)
	o.install(t)
	o.awaitAsked(t)
}

// userClient is somebody whom RBAC grants no more than these rules, in all namespaces.
func userClient(t *testing.T, name string, rules ...rbacv1.PolicyRule) client.Client {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}
	create(t, role, binding)
	t.Cleanup(func() {
		_ = admin.Delete(context.Background(), binding)
		_ = admin.Delete(context.Background(), role)
	})
	config, err := cluster.UserConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	user, err := client.New(config, client.Options{Scheme: admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, name+"'s role counts", func(ctx context.Context) (bool, string) {
		review := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
			"spec": map[string]any{"resourceAttributes": map[string]any{"group": rules[0].APIGroups[0], "resource": rules[0].Resources[0], "verb": rules[0].Verbs[0]}},
		}}
		err := user.Create(ctx, review)
		allowed, _, _ := unstructured.NestedBool(review.Object, "status", "allowed")
		return err == nil && allowed, fmt.Sprint(err)
	})
	return user
}

// warningsOf gives a client that keeps what it is warned of.
type warningsOf struct {
	client.Client
	mu   sync.Mutex
	list []string
}

// HandleWarningHeader keeps a warning.
func (w *warningsOf) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

func (w *warningsOf) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.list
	w.list = nil
	return taken
}

func newWarned(t *testing.T) *warningsOf {
	t.Helper()
	w := &warningsOf{}
	config := rest.CopyConfig(cluster.Config())
	config.QPS, config.WarningHandler = -1, w
	var err error
	if w.Client, err = client.New(config, client.Options{Scheme: admin.Scheme()}); err != nil {
		t.Fatal(err)
	}
	return w
}

// What bad input gets, as the table of the design has it: in just these words, and nothing is stored.
func TestAdmissionOfBadInput(t *testing.T) {
	o := startGuardedOperator(t)
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	org.Spec.Security = &v1alpha1.Security{MaxAPIKeyLifetime: "100h"}
	org.Spec.Quotas = &v1alpha1.Quotas{Projects: ptr.To[int32](1)}
	weak := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "weak", Labels: map[string]string{v1alpha1.WatchLabel: "true"}},
		Type:       v1alpha1.PasswordSecretType, Data: map[string][]byte{"password": []byte("Password12345678")},
	}
	web := project(org, ns, "web")
	create(t, org, weak, web)
	awaitReady(t, org, web)
	managedSets(t, v1alpha1.ScopeTypeOrganization, 1)
	far := metav1.NewTime(time.Now().Add(101 * time.Hour))
	owner := v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}
	for name, test := range map[string]struct {
		obj  controllers.Object
		says []string
	}{
		"a username that is the owner's e-mail": {
			edited(member(org, ns, "bad"), func(m *v1alpha1.Member) { m.Spec.Username = "owner@acme.example" }),
			[]string{`Member.iam-operator.dev "bad" is invalid: spec.username: Invalid value: "owner@acme.example": this is the e-mail of the Organization's owner, who logs in by it; choose another username (the e-mail may be the same)`},
		},
		"a malformed e-mail": {
			edited(member(org, ns, "bad"), func(m *v1alpha1.Member) { m.Spec.Email = "maya@localhost" }),
			[]string{`Member.iam-operator.dev "bad" is invalid: spec.email: Invalid value: "maya@localhost": the part after the @ is no complete domain; write an address such as maya@acme.example`},
		},
		"a weak password": {
			edited(member(org, ns, "bad"), func(m *v1alpha1.Member) {
				m.Spec.Password = &v1alpha1.MemberPassword{SecretRef: &v1alpha1.SecretKeyRef{Name: "weak", Key: "password"}}
			}), []string{`Member.iam-operator.dev "bad" is invalid: spec.password.secretRef: Invalid value: the password is easy to guess: it is made of common passwords`},
		},
		"a key beyond the maximum lifetime": {
			edited(apiKey(org, ns, "bad", owner), func(k *v1alpha1.APIKey) { k.Spec.ExpiresAt = &far }),
			[]string{`APIKey.iam-operator.dev "bad" is invalid: spec.expiresAt: Invalid value: `, "an API key of this Organization lives for at most 100h from its creation (spec.security.maxAPIKeyLifetime); choose a time no later than "},
		},
		"a key without expiry under a maximum lifetime": {
			apiKey(org, ns, "bad", owner),
			[]string{`APIKey.iam-operator.dev "bad" is invalid: spec.expiresAt: Required value: the Organization's security settings require an expiry of API keys, of at most 100h (spec.security.maxAPIKeyLifetime); set expiresAt, expiresIn or rotation`},
		},
		"a quota exceeded": {
			project(org, ns, "bad"),
			[]string{`Project.iam-operator.dev "bad" is invalid: spec: Forbidden: quota projects: 1 of 1 used; raise spec.quotas.projects of Organization acme or delete one`},
		},
		"a condition that does not compile": {
			policy(org, ns, "bad", nil, withCondition(setsRule("", "IAMReadOnly"), "request.ip ==")),
			[]string{`Policy.iam-operator.dev "bad" is invalid: spec.rules[0].condition: Invalid value: line 1, column 14: Syntax error: mismatched input '<EOF>'`},
		},
		"permission sets of different scope types": {
			policy(org, ns, "bad", nil, setsRule("", "IAMReadOnly", "InstancesReadOnly")),
			[]string{`Policy.iam-operator.dev "bad" is invalid: spec.rules[0].permissionSets: Invalid value: the sets of a rule have one scope type, but InstancesReadOnly has Projects and IAMReadOnly has Organization; write a rule for each`},
		},
		"an organization-type set on Projects": {
			policy(org, ns, "bad", nil, setsRule("web", "IAMReadOnly")),
			[]string{`Policy.iam-operator.dev "bad" is invalid: spec.rules[0].permissionSets[0]: Invalid value: "IAMReadOnly": this set's scope type is Organization, which goes with scope: Organization only; grant it in a rule of that scope`},
		},
		"an id that is none": {
			edited(group(org, ns, "bad"), func(g *v1alpha1.Group) { g.Annotations = map[string]string{v1alpha1.IDAnnotation: "42"} }),
			[]string{`Group.iam-operator.dev "bad" is invalid: metadata.annotations[iam-operator.dev/id]: Invalid value: "42": the id to restore is a UUID in lower case`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := admin.Create(t.Context(), test.obj)
			if !apierrors.IsInvalid(err) || !strings.HasPrefix(err.Error(), `admission webhook "guard.iam-operator.dev" denied the request: `) {
				t.Fatalf("answered by %v", err)
			}
			for _, words := range test.says {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("the answer does not say %q: %v", words, err)
				}
			}
			if status, ok := err.(apierrors.APIStatus); !ok || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 || status.Status().Details.Causes[0].Field == "" {
				t.Errorf("the answer names no field apart: %#v", err)
			}
			if strings.Contains(err.Error(), "Password12345678") {
				t.Error("the answer tells the password")
			}
			if err := admin.Get(t.Context(), keyOf(test.obj), test.obj); !apierrors.IsNotFound(err) {
				t.Errorf("it is stored: %v", err)
			}
		})
	}
	refused := 0
	for _, event := range eventsOf(t, o) {
		if event.StatusCode == http.StatusUnprocessableEntity && event.Organization.ID == org.Status.ID && event.KubernetesUser == adminUser && event.Reason != "" {
			refused++
		}
		if strings.Contains(event.Reason, "Password12345678") {
			t.Error("an event tells the password")
		}
	}
	if refused != 10 {
		t.Errorf("%d events tell of the 10 refusals", refused)
	}
	t.Run("a grant that the requester may not make", func(t *testing.T) { tryGrant(t, o, org, ns) })
	t.Run("what is admitted with a warning", func(t *testing.T) { tryWarnings(t, org, ns) })
}

// tryGrant has somebody grant who may write policies and not give anything away, then somebody who may.
func tryGrant(t *testing.T, o *guardedOperator, org *v1alpha1.Organization, ns string) {
	ours := []string{v1alpha1.GroupVersion.Group}
	writes := rbacv1.PolicyRule{APIGroups: ours, Resources: []string{"policies"}, Verbs: []string{"create", "get"}}
	grant := policy(org, ns, "grant", &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "ops"}, setsRule("", "IAMReadOnly"))
	tom := userClient(t, "tom-of-"+ns, writes)
	err := tom.Create(t.Context(), grant.DeepCopy())
	for _, words := range []string{"may not give this away", "bind on organizations.iam-operator.dev/acme in namespace " + ns, "bind on permissionsets.iam-operator.dev/iamreadonly in namespace " + ns} {
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), words) {
			t.Errorf("the refusal does not say %q: %v", words, err)
		}
	}
	if err := admin.Get(t.Context(), keyOf(grant), grant.DeepCopy()); !apierrors.IsNotFound(err) {
		t.Errorf("it is stored: %v", err)
	}
	events := eventsOf(t, o)
	i := slices.IndexFunc(events, func(event iam.Event) bool { return event.StatusCode == http.StatusForbidden })
	if i < 0 || events[i].KubernetesUser != "tom-of-"+ns || events[i].Organization.ID != org.Status.ID || !strings.Contains(events[i].Reason, "bind on") {
		t.Errorf("no event tells of it: %+v", events)
	}
	ada := userClient(t, "ada-of-"+ns, writes, rbacv1.PolicyRule{APIGroups: ours, Resources: []string{"organizations", "permissionsets"}, Verbs: []string{"bind"}})
	if err := ada.Create(t.Context(), grant); err != nil {
		t.Errorf("who may give it away is refused: %v", err)
	}
}

// tryWarnings has references to nothing, and contested names: both are admitted, with a warning, and wait.
func tryWarnings(t *testing.T, org *v1alpha1.Organization, ns string) {
	warned := newWarned(t)
	for _, test := range []struct {
		obj    controllers.Object
		says   string
		reason string
	}{
		{edited(member(org, ns, "joins"), func(m *v1alpha1.Member) { m.Spec.Groups = []v1alpha1.GroupRef{{Name: "late"}} }),
			"spec.groups[0]: Group late not found in namespace " + ns + " of this Organization; it counts once there is one", v1alpha1.ReasonReferenceNotFound},
		{policy(org, ns, "late", nil, setsRule("web", "NobodyHasMadeThis")),
			"spec.rules[0].permissionSets[0]: PermissionSet NobodyHasMadeThis not found; it is granted once there is one", v1alpha1.ReasonReferenceNotFound},
		{edited(member(org, ns, "rival"), func(m *v1alpha1.Member) { m.Spec.Username = "JOINS" }),
			`spec.username: "JOINS" is held by another object; choose another, or wait until it is freed`, v1alpha1.ReasonConflict},
	} {
		if err := warned.Create(t.Context(), test.obj); err != nil {
			t.Fatal(err)
		}
		if got := warned.take(); !slices.Equal(got, []string{test.says}) {
			t.Errorf("warned of %q, want %q", got, test.says)
		}
		awaitReason(t, test.obj, test.reason)
	}
}

// The largest policy that the schema takes is within what the API server spends on the conditions under which it asks.
func TestAdmissionOfALargePolicy(t *testing.T) {
	startGuardedOperator(t)
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	create(t, org)
	large := policy(org, ns, "large", nil)
	for i := range 50 {
		rule := v1alpha1.PolicyRule{Scope: v1alpha1.ScopeProjects, Condition: `request.ip == "` + strings.Repeat("x", 2000) + `"`}
		for j := range 100 {
			rule.PermissionSets = append(rule.PermissionSets, v1alpha1.PermissionSetName(fmt.Sprintf("Set%dOf%d", j, i)))
			rule.ProjectRefs = append(rule.ProjectRefs, v1alpha1.ProjectRef{Name: v1alpha1.ObjectName(fmt.Sprintf("project-%d-of-%d", j, i)), Namespace: v1alpha1.NamespaceName(ns)})
		}
		large.Spec.Rules = append(large.Spec.Rules, rule)
	}
	create(t, large)
	awaitReason(t, large, v1alpha1.ReasonReferenceNotFound)
	change(t, large, func(p *v1alpha1.Policy) { p.Spec.Description = "large" })
	change(t, large, func(p *v1alpha1.Policy) { p.Labels = map[string]string{"size": "large"} })
	change(t, large, func(p *v1alpha1.Policy) { p.Spec.Rules[49].ProjectRefs = p.Spec.Rules[49].ProjectRefs[1:] })
	remove(t, large)
}
