// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// layer is what must refuse an attack.
type layer string

const (
	byGuard     layer = "escalation guard"
	byValidator layer = "validating webhook"
	bySchema    layer = "schema"
	byRBAC      layer = "Kubernetes RBAC"
)

// way is how an attacker writes.
type way string

const (
	byUpdate way = "update" // also for creation
	byPatch  way = "merge patch"
	byApply  way = "server-side apply"
	byDryRun way = "dry run"
	byStatus way = "status"
)

// attack is a row of the matrix: somebody who may write every object of both namespaces, but has none of the verbs by
// which one gives something away, tries to get at more.
type attack struct {
	name  string
	layer layer
	// target makes what is there before, which an administrator creates; nil when the attack creates the object.
	target func(w *attackWorld, name string) client.Object
	// object is what the attack creates, and what is left of the target in a server-side apply.
	object func(w *attackWorld, name string) client.Object
	// edit changes the target.
	edit func(w *attackWorld, obj client.Object)
	way  way
	// held are rights that the attacker has, and that do not suffice.
	held []right3
	// missing are the rights that the refusal must name, and with which the twin succeeds.
	missing []right3
	// instead are the rights of the twin where they are not the missing ones.
	instead []right3
	// reason is in the refusal, where it is not the guard's.
	reason string
	// twin is the honest form of what no right makes good; nil where there is none.
	twin func(w *attackWorld, obj client.Object)
	// prepare runs after the target is there.
	prepare func(t *testing.T, w *attackWorld, obj client.Object)
}

// right3 is a verb on an object in a namespace; home and guest stand for those of the world, and % for the row's name.
type right3 struct{ verb, group, resource, namespace, name string }

func ours(verb, resource, namespace, name string) right3 {
	return right3{verb, v1alpha1.GroupVersion.Group, resource, namespace, name}
}

// attackWorld is what the attacks are on.
type attackWorld struct {
	*operator
	home, guest string
	org         *v1alpha1.Organization
	// user is who attacks in the row under way.
	user string
}

func newAttackWorld(t *testing.T, o *operator) *attackWorld {
	t.Helper()
	w := &attackWorld{operator: o, home: newNamespace(t, nil)}
	w.guest = newNamespace(t, map[string]string{"joins": w.home})
	w.org = organization(w.home, "acme")
	w.org.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: selects("joins", w.home)}
	maya := member(w.org, w.guest, "maya")
	deployer := application(w.org, w.guest, "deployer")
	deployers := group(w.org, w.guest, "deployers", v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "maya"})
	create(t, w.org, project(w.org, w.guest, "web"), project(w.org, w.home, "api"), maya, deployer, deployers, member(w.org, w.home, "root-of-home"))
	awaitReady(t, w.org, maya, deployer, deployers)
	return w
}

// in gives the right with the world's namespaces and the row's name in it.
func (w *attackWorld) in(r right3, name string) right3 {
	switch r.namespace {
	case "home":
		r.namespace = w.home
	case "guest":
		r.namespace = w.guest
	}
	r.name = strings.ReplaceAll(r.name, "%", name)
	return r
}

// let gives a user rights, and waits until the API server knows.
func (w *attackWorld) let(t *testing.T, user string, rights ...right3) {
	t.Helper()
	for i, r := range rights {
		rule := rbacv1.PolicyRule{Verbs: []string{r.verb}, APIGroups: []string{r.group}, Resources: []string{r.resource}}
		if r.name != "" {
			rule.ResourceNames = []string{r.name}
		}
		meta := objectMeta(r.namespace, fmt.Sprintf("%s-%d", user, i))
		subject := rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}
		if r.namespace == "" {
			role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}
			binding := &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: []rbacv1.Subject{subject}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name}}
			create(t, role, binding)
			t.Cleanup(func() { _, _ = admin.Delete(context.Background(), role), admin.Delete(context.Background(), binding) })
		} else {
			create(t, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}},
				&rbacv1.RoleBinding{ObjectMeta: meta, Subjects: []rbacv1.Subject{subject}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name}})
		}
	}
	for _, r := range rights {
		awaitRight(t, user, r)
	}
}

func awaitRight(t *testing.T, user string, r right3) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s may %s %s", user, r.verb, r.resource), func(ctx context.Context) (bool, string) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, Groups: []string{"system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: r.verb, Group: r.group, Resource: r.resource, Namespace: r.namespace, Name: r.name}}}
		err := admin.Create(ctx, review)
		return err == nil && review.Status.Allowed, fmt.Sprint(err, review.Status)
	})
}

// editor makes a user with the shipped role for writing in both namespaces, who may also write permission sets, and no
// verb more.
func (w *attackWorld) editor(t *testing.T, user string) client.Client {
	t.Helper()
	for _, namespace := range []string{w.home, w.guest} {
		create(t, &rbacv1.RoleBinding{ObjectMeta: objectMeta(namespace, user), Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "iam-operator-editor"}})
	}
	sets := &rbacv1.ClusterRoleBinding{ObjectMeta: objectMeta("", user+"-sets"), Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: setWriters}}
	create(t, sets)
	t.Cleanup(func() { _ = admin.Delete(context.Background(), sets) })
	group := v1alpha1.GroupVersion.Group
	awaitRight(t, user, right3{"patch", group, "policies", w.home, ""})
	awaitRight(t, user, right3{"patch", group, "policies", w.guest, ""})
	awaitRight(t, user, right3{"patch", group, "permissionsets", "", ""})
	config := rest.CopyConfig(cluster.Config())
	config.QPS = -1
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	c, err := client.New(config, client.Options{Scheme: admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// setWriters is a role of the suite: whoever may write permission sets, and nothing else of the cluster.
const setWriters = "e2e-set-writers"

func allowSetWriters(t *testing.T) {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: objectMeta("", setWriters), Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"permissionsets"}, Verbs: []string{"get", "create", "update", "patch", "delete"},
	}}}
	create(t, role)
	t.Cleanup(func() { _ = admin.Delete(context.Background(), role) })
}

// subject gives the object of an attack before it, stored where it has a target.
func (a *attack) subject(t *testing.T, w *attackWorld, name string) client.Object {
	t.Helper()
	made := a.target
	if made == nil {
		made = a.object
	}
	obj := made(w, name)
	if obj.GetNamespace() == "" {
		t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), obj)) })
	}
	if a.target == nil {
		return obj
	}
	create(t, obj)
	if a.prepare != nil {
		a.prepare(t, w, obj)
	}
	return obj
}

// try makes the attempt, on what is stored now.
func (a *attack) try(ctx context.Context, c client.Client, w *attackWorld, obj client.Object) error {
	for {
		err := a.tryOnce(ctx, c, w, obj)
		if !apierrors.IsConflict(err) {
			return err // The operator may write the status at any time.
		}
	}
}

func (a *attack) tryOnce(ctx context.Context, c client.Client, w *attackWorld, obj client.Object) error {
	if a.target == nil {
		if a.way == byDryRun {
			return c.Create(ctx, obj, client.DryRunAll)
		}
		return c.Create(ctx, obj)
	}
	if a.way == byApply {
		return applyFields(ctx, c, a.object(w, obj.GetName()))
	}
	if err := admin.Get(ctx, keyOf(obj), obj); err != nil {
		return err
	}
	before := obj.DeepCopyObject().(client.Object)
	a.edit(w, obj)
	switch a.way {
	case byPatch:
		return c.Patch(ctx, obj, client.MergeFrom(before))
	case byStatus:
		return c.Status().Update(ctx, obj)
	case byDryRun:
		return c.Update(ctx, obj, client.DryRunAll)
	}
	return c.Update(ctx, obj)
}

// applyFields applies just what an object says, taking over fields of others.
func applyFields(ctx context.Context, c client.Client, obj client.Object) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return err
	}
	gvk, err := apiutil.GVKForObject(obj, c.Scheme())
	if err != nil {
		return err
	}
	applied := &unstructured.Unstructured{Object: map[string]any{"spec": content["spec"]}}
	applied.SetGroupVersionKind(gvk)
	applied.SetName(obj.GetName())
	applied.SetNamespace(obj.GetNamespace())
	applied.SetAnnotations(obj.GetAnnotations())
	return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("attacker"), client.ForceOwnership)
}

// declaration is what is stored of an object that somebody declared; empty when it is not there.
func declaration(t *testing.T, obj client.Object) string {
	t.Helper()
	stored := obj.DeepCopyObject().(client.Object)
	err := admin.Get(t.Context(), keyOf(obj), stored)
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s %v %v", stored.GetUID(), declared.Digest(stored.(declared.Object)), stored.GetLabels(), stored.GetOwnerReferences())
}

// refused checks that the layer refused, for its reason.
func (a *attack) refused(t *testing.T, w *attackWorld, name string, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("the %s let it pass", a.layer)
	}
	text := err.Error()
	switch a.layer {
	case byGuard:
		if !apierrors.IsForbidden(err) || !strings.Contains(text, "may not give this away") {
			t.Fatalf("not refused by the guard, but: %v", err)
		}
		for _, missing := range a.missing {
			r := w.in(missing, name)
			object := r.resource
			if r.group != "" {
				object += "." + r.group
			}
			if !strings.Contains(text, r.verb+" on ") || !strings.Contains(text, object+"/"+r.name) || r.namespace != "" && !strings.Contains(text, "in namespace "+r.namespace) {
				t.Errorf("the refusal does not name %v: %s", r, text)
			}
		}
	case byRBAC:
		if !apierrors.IsForbidden(err) || strings.Contains(text, "admission webhook") {
			t.Fatalf("not refused by RBAC, but: %v", err)
		}
	case byValidator:
		if !strings.Contains(text, "admission webhook") || strings.Contains(text, "may not give this away") {
			t.Fatalf("not refused by a validator, but: %v", err)
		}
	case bySchema:
		if !apierrors.IsInvalid(err) || strings.Contains(text, "admission webhook") {
			t.Fatalf("not refused by the schema, but: %v", err)
		}
	}
	if !strings.Contains(text, a.reason) {
		t.Errorf("the refusal does not say %q: %s", a.reason, text)
	}
}

// TestAttackMatrix makes each attempt three times: refused, and nothing stored; then with the missing right, by which it
// succeeds; and with the guard switched off, when nothing but the guard may have been in the way.
func TestAttackMatrix(t *testing.T) {
	rows := attacks()
	if len(rows) < 60 {
		t.Fatalf("%d rows are too few", len(rows))
	}
	allowSetWriters(t)
	t.Run("guarded", func(t *testing.T) {
		w := newAttackWorld(t, startGuardedOperator(t).operator)
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) { row.guarded(t, w, fmt.Sprintf("row%d", i)) })
		}
	})
	t.Run("guard off", func(t *testing.T) {
		w := newAttackWorld(t, startUnguardedOperator(t).operator)
		for i, row := range rows {
			if row.layer == byGuard {
				t.Run(row.name, func(t *testing.T) { row.unguarded(t, w, fmt.Sprintf("open%d", i)) })
			}
		}
	})
}

func (a *attack) heldBy(w *attackWorld, name string) []right3 {
	var held []right3
	for _, r := range a.held {
		held = append(held, w.in(r, name))
	}
	return held
}

func (a *attack) guarded(t *testing.T, w *attackWorld, name string) {
	user := w.home + "-mallory-" + name
	w.user = user
	mallory := w.editor(t, user)
	w.let(t, user, a.heldBy(w, name)...)

	obj := a.subject(t, w, name)
	before := declaration(t, obj)
	a.refused(t, w, name, a.try(t.Context(), mallory, w, obj.DeepCopyObject().(client.Object)))
	if after := declaration(t, obj); after != before {
		t.Fatalf("something was stored:\n before %s\n after  %s", before, after)
	}
	switch {
	case a.layer == byGuard:
		a.allowed(t, w, name, user+"-twin")
	case a.twin != nil:
		honest := *a
		honest.edit = a.twin
		if a.target == nil {
			honest.object = func(w *attackWorld, name string) client.Object {
				obj := a.object(w, name)
				a.twin(w, obj)
				return obj
			}
		}
		obj := honest.subject(t, w, name+"-twin")
		if err := honest.try(t.Context(), mallory, w, obj); err != nil {
			t.Fatalf("the honest twin was refused: %v", err)
		}
	}
}

// allowed makes the attempt as somebody who also has what was missing.
func (a *attack) allowed(t *testing.T, w *attackWorld, name, user string) {
	t.Helper()
	w.user = user
	twin := w.editor(t, user)
	name += "-twin"
	var rights []right3
	given := a.instead
	if given == nil {
		given = a.missing
	}
	for _, r := range slices.Concat(a.held, given) {
		rights = append(rights, w.in(r, name))
	}
	w.let(t, user, rights...)
	obj := a.subject(t, w, name)
	if err := a.try(t.Context(), twin, w, obj.DeepCopyObject().(client.Object)); err != nil {
		t.Fatalf("refused although the missing right is there: %v", err)
	}
}

func (a *attack) unguarded(t *testing.T, w *attackWorld, name string) {
	user := w.home + "-mallory-" + name
	w.user = user
	mallory := w.editor(t, user)
	w.let(t, user, a.heldBy(w, name)...)
	obj := a.subject(t, w, name)
	if err := a.try(t.Context(), mallory, w, obj.DeepCopyObject().(client.Object)); err != nil {
		t.Fatalf("something besides the guard was in the way, so the row proves nothing of the guard: %v", err)
	}
}

// startUnguardedOperator starts one whose webhooks do all but guard: whoever asks may give everything away.
func startUnguardedOperator(t *testing.T) *guardedOperator {
	t.Helper()
	o := newGuardedOperator(t)
	o.Authorizer = func(context.Context, authenticationv1.UserInfo, authorizationv1.ResourceAttributes) (bool, error) {
		return true, nil
	}
	o.install(t)
	o.startGuarded(t)
	o.awaitAsked(t)
	return o
}
