// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/storetest"
)

// content gives all that an operator's store holds but history.
func content(t *testing.T, s store.Store) string {
	t.Helper()
	text, err := storetest.Content(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// settledContent gives what an operator's store holds once it is quiet, and the tests
// before have left nothing that could still go.
func settledContent(t *testing.T, o *operator) string {
	t.Helper()
	awaitNoLeftovers(t)
	awaitQuiet(t, o)
	return content(t, o.Store)
}

// quietPolls is how many looks in a row must find the store unchanged.
const quietPolls = 75

// awaitQuiet waits until the operator has stopped writing to its store.
func awaitQuiet(t *testing.T, o *operator) {
	t.Helper()
	last, quiet := int64(-1), 0
	eventually(t, "the operator is quiet", func(ctx context.Context) (bool, string) {
		written, err := storetest.Written(ctx, o.Store)
		if err != nil {
			return false, err.Error()
		}
		if written != last {
			last, quiet = written, 0
		}
		quiet++
		return quiet > quietPolls, fmt.Sprintf("%d writes", written)
	})
}

// world is an Organization over two namespaces with some of everything.
type world struct {
	organization *v1alpha1.Organization
	home, guest  string
	objects      []controllers.Object
	keys         []*v1alpha1.APIKey
}

// newWorld makes about 7 objects for each of size, and waits until all are Ready.
func newWorld(t *testing.T, size int) *world {
	t.Helper()
	w := &world{home: newNamespace(t, nil)}
	w.guest = newNamespace(t, map[string]string{"joins": w.home})
	w.organization = organization(w.home, "acme")
	w.organization.Spec.Alias = alias(w.home)
	w.organization.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{
		From: v1alpha1.NamespacesSelector, Selector: selects("joins", w.home),
	}
	w.objects = []controllers.Object{w.organization}
	for i := range size {
		w.addTeam(i)
	}
	for _, obj := range w.objects {
		create(t, obj)
	}
	awaitReady(t, w.objects...)
	return w
}

// addTeam adds a project, a member, an application, a group with both, a policy for the
// group, a key for each second principal, and an SSH key.
func (w *world) addTeam(i int) {
	o, ns := w.organization, w.home
	if i%2 == 1 {
		ns = w.guest
	}
	name := func(kind string) string { return fmt.Sprintf("%s-%d", kind, i) }
	m := member(o, ns, name("member"))
	a := application(o, ns, name("application"))
	a.Spec.Groups = []v1alpha1.GroupRef{{Name: v1alpha1.ObjectName(name("group")), Namespace: v1alpha1.NamespaceName(ns)}}
	g := group(o, ns, name("group"), v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: v1alpha1.ObjectName(m.Name)})
	p := policy(o, w.home, name("policy"), &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: v1alpha1.ObjectName(g.Name), Namespace: v1alpha1.NamespaceName(ns)},
		v1alpha1.PolicyRule{
			PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess", "ObjectStorageReadOnly"}, Scope: v1alpha1.ScopeProjects,
			ProjectRefs: []v1alpha1.ProjectRef{{Name: v1alpha1.ObjectName(name("project")), Namespace: v1alpha1.NamespaceName(ns)}, {Name: v1alpha1.DefaultProjectName}},
			Condition:   `inIpRange(request.ip, "10.0.0.0/8")`,
		},
		v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"IAMReadOnly"}, Scope: v1alpha1.ScopeOrganization},
	)
	bearer := v1alpha1.Bearer{Kind: v1alpha1.BearerMember, Name: v1alpha1.ObjectName(m.Name)}
	if i%3 == 0 {
		bearer = v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: v1alpha1.ObjectName(a.Name)}
	}
	k := apiKey(o, ns, name("key"), bearer)
	k.Spec.DefaultProjectRef = &v1alpha1.ProjectRef{Name: v1alpha1.ObjectName(name("project"))}
	if i%4 == 0 {
		k.Spec.Rotation = &v1alpha1.Rotation{Every: "720h", Overlap: "48h"}
	}
	w.keys = append(w.keys, k)
	w.objects = append(w.objects, project(o, ns, name("project")), m, a, g, p, k, sshKey(o, ns, name("sshkey"), name("project")))
}

func alias(namespace string) string {
	text := []rune{}
	for _, r := range namespace {
		if r != '-' {
			text = append(text, r)
		}
	}
	return string(text[max(0, len(text)-30):])
}
