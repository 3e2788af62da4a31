// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// rights are what somebody may do, each in the words "<verb> <resource>", "<verb> <resource>/<name>" or either "in
// <namespace>": "bind groups/deployers in guest". The namespaces home, guest and rival stand for those of the world, and
// % for the name of the row's object. Secrets, users and ServiceAccounts are Kubernetes' own, all else is ours.
type rights []string

// in puts the world's namespaces and the row's name into a right.
func (w *attackWorld) in(right, name string) string {
	what, namespace, _ := strings.Cut(strings.ReplaceAll(right, "%", name), " in ")
	switch namespace {
	case "":
		return what
	case "home":
		namespace = w.home
	case "guest":
		namespace = w.guest
	case "rival":
		namespace = w.rival
	}
	return what + " in " + namespace
}

// accessOf reads a right.
func accessOf(right string) authorizationv1.ResourceAttributes {
	what, namespace, _ := strings.Cut(right, " in ")
	verb, object, _ := strings.Cut(what, " ")
	resource, name, _ := strings.Cut(object, "/")
	of := authorizationv1.ResourceAttributes{Verb: verb, Group: v1alpha1.GroupVersion.Group, Resource: resource, Namespace: namespace, Name: name}
	switch resource {
	case "secrets", "users", "serviceaccounts":
		of.Group = ""
	}
	return of
}

// attackWorld is what the attacks are on: an Organization at home, which admits the guest's namespace. The rival's has
// an Organization of its own, and is not admitted.
type attackWorld struct {
	*guardedOperator
	home, guest, rival string
	org, other         *v1alpha1.Organization
	// user is who attacks in the row under way.
	user string
}

func newAttackWorld(t *testing.T, o *guardedOperator) *attackWorld {
	t.Helper()
	w := &attackWorld{guardedOperator: o, home: newNamespace(t, nil), rival: newNamespace(t, nil)}
	w.guest = newNamespace(t, map[string]string{"joins": w.home})
	w.org, w.other = organization(w.home, "acme"), organization(w.rival, "rival")
	w.org.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: selects("joins", w.home)}
	maya := member(w.org, w.guest, "maya")
	maya.Spec.KubernetesUsers = []v1alpha1.UserName{"victim@corp.example"}
	deployer := application(w.org, w.guest, "deployer")
	deployer.Spec.ServiceAccounts = []v1alpha1.ServiceAccountRef{{Name: "deployer"}}
	deployers := group(w.org, w.guest, "deployers", v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "maya"})
	shop := project(w.other, w.rival, "shop")
	create(t, w.org, w.other, project(w.org, w.guest, "web"), project(w.org, w.home, "api"), maya, deployer, deployers, shop)
	awaitReady(t, w.org, w.other, maya, deployer, deployers, shop)
	return w
}

// mallory makes somebody with the shipped role for writing in all three namespaces, who may also write permission sets,
// and has of the verbs by which one gives something away no more than these rights, with the row's name in them. It is who
// attacks from now on.
func (w *attackWorld) mallory(t *testing.T, name string, held rights) client.Client {
	t.Helper()
	w.user = w.home + "-mallory-" + name
	for _, namespace := range []string{w.home, w.guest, w.rival} {
		bindRole(t, namespace, w.user, w.user, clusterRole("iam-operator-editor"))
	}
	bindRole(t, "", w.user+"-sets", w.user, clusterRole(setWriters))
	await := rights{"patch policies in " + w.home, "patch policies in " + w.guest, "patch policies in " + w.rival, "patch permissionsets"}
	for i, right := range held {
		right = w.in(right, name)
		allow(t, fmt.Sprintf("%s-%d", w.user, i), w.user, accessOf(right))
		await = append(await, right)
	}
	for _, right := range await {
		awaitRight(t, w.user, right)
	}
	return impersonate(t, w.user, rest.NoWarnings{})
}

// impersonate gives a client of a user, who is warned by a handler.
func impersonate(t *testing.T, user string, warned rest.WarningHandler) client.Client {
	t.Helper()
	config := rest.CopyConfig(cluster.Config())
	config.QPS, config.WarningHandler = -1, warned
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	c, err := client.New(config, client.Options{Scheme: admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// allow gives a user one right.
func allow(t *testing.T, name, user string, access authorizationv1.ResourceAttributes) {
	t.Helper()
	rule := rbacv1.PolicyRule{Verbs: []string{access.Verb}, APIGroups: []string{access.Group}, Resources: []string{access.Resource}}
	if access.Name != "" {
		rule.ResourceNames = []string{access.Name}
	}
	meta := objectMeta(access.Namespace, name)
	if access.Namespace != "" {
		create(t, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}})
		bindRole(t, meta.Namespace, meta.Name, user, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name})
		return
	}
	role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}
	create(t, role)
	t.Cleanup(func() { _ = admin.Delete(context.Background(), role) })
	bindRole(t, "", meta.Name, user, clusterRole(meta.Name))
}

func clusterRole(name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
}

// bindRole gives a user a role, in all of the cluster where no namespace is given.
func bindRole(t *testing.T, namespace, name, user string, role rbacv1.RoleRef) {
	t.Helper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	if namespace != "" {
		create(t, &rbacv1.RoleBinding{ObjectMeta: objectMeta(namespace, name), Subjects: subjects, RoleRef: role})
		return
	}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: objectMeta("", name), Subjects: subjects, RoleRef: role}
	create(t, binding)
	t.Cleanup(func() { _ = admin.Delete(context.Background(), binding) })
}

// awaitRight waits until the API server knows that a user has a right.
func awaitRight(t *testing.T, user, right string) {
	t.Helper()
	access := accessOf(right)
	eventually(t, user+" may "+right, func(ctx context.Context) (bool, string) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, Groups: []string{"system:authenticated"}, ResourceAttributes: &access,
		}}
		err := admin.Create(ctx, review)
		return err == nil && review.Status.Allowed, fmt.Sprint(err, review.Status)
	})
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
