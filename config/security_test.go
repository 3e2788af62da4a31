// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/admission"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// example is one of docs/security.md: an object, the roles that it takes, and how it is refused without them.
type example struct {
	section string
	roles   []client.Object
	object  client.Object
	refusal string
}

var (
	sections = regexp.MustCompile(`(?m)^#{2,3} `)
	fences   = regexp.MustCompile("(?ms)^```(yaml|text)\n(.*?)^```$")
	// ownNamespaces takes the examples out of the way of the quickstart's, which has the same namespaces.
	ownNamespaces = strings.NewReplacer(
		"namespace: acme", "namespace: shown-acme", "namespace acme", "namespace shown-acme", "-n acme", "-n shown-acme",
		"namespace: shop", "namespace: shown-shop", "namespace shop", "namespace shown-shop", "-n shop", "-n shown-shop",
	)
)

// examples reads what docs/security.md shows. An object comes in a block of YAML, its roles in the same or in the next,
// and after it its refusal in a block of text.
func examples(t *testing.T, scheme *runtime.Scheme) []example {
	t.Helper()
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []example
	for _, section := range sections.Split(ownNamespaces.Replace(string(page)), -1)[1:] {
		title, body, _ := strings.Cut(section, "\n")
		var here []example
		for _, fence := range fences.FindAllStringSubmatch(body, -1) {
			if fence[1] == "text" {
				here[len(here)-1].refusal = strings.TrimSpace(fence[2])
				continue
			}
			var roles []client.Object
			for _, obj := range recognized(t, scheme, fence[2]) {
				switch obj.(type) {
				case *rbacv1.Role, *rbacv1.ClusterRole:
					roles = append(roles, obj)
				default:
					here = append(here, example{section: title, object: obj})
				}
			}
			if len(roles) > 0 {
				here[len(here)-1].roles = roles
			}
		}
		all = append(all, here...)
	}
	return all
}

// recognized reads the objects that a scheme knows; those of Flux and Argo CD are not among them.
func recognized(t *testing.T, scheme *runtime.Scheme, text string) []client.Object {
	t.Helper()
	var known []client.Object
	for _, u := range objects(t, text) {
		if !scheme.Recognizes(u.GroupVersionKind()) || u.GetKind() == "ConfigMap" {
			continue
		}
		obj, err := scheme.New(u.GroupVersionKind())
		if err != nil {
			t.Fatal(err)
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, obj, true); err != nil {
			t.Fatal(err)
		}
		known = append(known, obj.(client.Object))
	}
	return known
}

// Each rule of the guard is shown with what it takes. Against a real API server: the object is refused in just these
// words, and passes with just these roles; and none of them is there for nothing.
func TestSecurityExamples(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cluster.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"shown-acme", "shown-shop"} {
		applyNamespace(t, c, namespace)
	}
	guard := &admission.Guard{Reader: c, Authorize: admission.NewAuthorizer(c)}
	tom := authenticationv1.UserInfo{Username: "tom@corp.example", Groups: []string{"system:authenticated"}}
	shown := examples(t, scheme)
	if len(shown) != 13 {
		t.Errorf("%d examples were found in docs/security.md, want the first, one for each rule, and one for the key of the owner", len(shown))
	}
	for _, e := range shown {
		t.Run(e.section+" "+e.object.GetName(), func(t *testing.T) {
			if err := c.Create(t.Context(), e.object.DeepCopyObject().(client.Object), client.DryRunAll); err != nil {
				t.Errorf("the example is not accepted: %v", err)
			}
			attempt := admission.Attempt{User: tom, Object: e.object.(declared.Object)}
			missing := func() []admission.Need {
				list, err := guard.Missing(t.Context(), attempt)
				if err != nil {
					t.Fatal(err)
				}
				return list
			}
			// The API server learns only after a while that the roles of the example before are gone.
			if !comesTrue(func() bool { return admission.Refusal(tom.Username, missing()) == e.refusal }) {
				got := admission.Refusal(tom.Username, missing())
				t.Errorf("the refusal is\n%s\nand the page says\n%s", got, e.refusal)
			}
			if len(e.roles) == 0 {
				t.Fatal("the example shows no Role")
			}
			for _, role := range e.roles {
				if len(missing()) == 0 {
					t.Errorf("%s is not needed", role.GetName())
				}
				bindTo(t, c, role, tom.Username)
			}
			eventually(t, func() bool { return len(missing()) == 0 })
		})
		for _, role := range e.roles {
			unbind(t, c, role)
		}
	}
}

func applyNamespace(t *testing.T, c client.Client, name string) {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind("Namespace")
	u.SetName(name)
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("test")); err != nil {
		t.Fatal(err)
	}
}

// bindTo makes a role and binds it, as the page says how to.
func bindTo(t *testing.T, c client.Client, role client.Object, user string) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: role.GetName(), Namespace: role.GetNamespace()}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	var binding client.Object = &rbacv1.RoleBinding{
		ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.GetName()},
	}
	if _, ofCluster := role.(*rbacv1.ClusterRole); ofCluster {
		binding = &rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.GetName()},
		}
	}
	for _, obj := range []client.Object{role, binding} {
		if err := c.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
}

// unbind deletes a role, which takes its binding's effect.
func unbind(t *testing.T, c client.Client, role client.Object) {
	t.Helper()
	if err := client.IgnoreNotFound(c.Delete(t.Context(), role)); err != nil {
		t.Fatal(err)
	}
}

// Every line of the guard's table is shown by an example: the sections that the table points to are those that have one.
func TestSecurityTableHasItsExamples(t *testing.T) {
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, guard, found := strings.Cut(string(page), "\n## The guard, rule by rule\n")
	if !found {
		t.Fatal("the page has no section on the guard")
	}
	table, rest, _ := strings.Cut(guard, "\n### ")
	var linked, shown []string
	for _, link := range regexp.MustCompile(`\]\(#([a-z-]+)\)`).FindAllStringSubmatch(table, -1) {
		linked = append(linked, link[1])
	}
	for _, section := range strings.Split("### "+rest, "\n### ") {
		title, body, _ := strings.Cut(strings.TrimPrefix(section, "### "), "\n")
		if body, _, _ := strings.Cut(body, "\n## "); strings.Contains(body, "```text") {
			shown = append(shown, strings.ReplaceAll(strings.ToLower(title), " ", "-"))
		}
	}
	linked = slices.DeleteFunc(linked, func(anchor string) bool { return anchor == "example" })
	slices.Sort(linked)
	slices.Sort(shown)
	if !slices.Equal(linked, shown) {
		t.Errorf("the table points to %q, and %q have examples", linked, shown)
	}
}
