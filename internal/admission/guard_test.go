// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

func guardedScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return scheme
}

// guardOver is a guard that knows some objects, and whose requester has no right at all.
func guardOver(t *testing.T, objects ...client.Object) *Guard {
	t.Helper()
	return &Guard{
		Reader:    fake.NewClientBuilder().WithScheme(guardedScheme(t)).WithObjects(objects...).Build(),
		Authorize: (&recorded{}).authorize,
	}
}

// Editing a policy binds it again. That is a new grant exactly when the principal it was bound to is not the one that
// would be bound.
func TestEditingAPolicyWhosePrincipalChanged(t *testing.T) {
	group := func(change func(*v1alpha1.Group)) client.Object {
		g := guardedGroup()
		if change != nil {
			change(g)
		}
		return g
	}
	bound := func(p *v1alpha1.Policy) { p.Status.PrincipalID = guardedID }
	for _, row := range []struct {
		name    string
		former  func(*v1alpha1.Policy)
		objects []client.Object
		granted bool
	}{
		{name: "it is still there", former: bound, objects: []client.Object{group(nil)}, granted: true},
		{name: "it is gone", former: bound},
		{name: "it was made again", former: bound, objects: []client.Object{group(func(g *v1alpha1.Group) { g.UID = "99999999-2222-4333-8444-555555555555" })}},
		{
			name: "it was made again, with its id", former: bound, granted: true,
			objects: []client.Object{group(func(g *v1alpha1.Group) {
				g.UID, g.Annotations = "99999999-2222-4333-8444-555555555555", map[string]string{v1alpha1.IDAnnotation: guardedID}
			})},
		},
		{name: "it is being deleted", former: bound, objects: []client.Object{group(func(g *v1alpha1.Group) {
			g.DeletionTimestamp, g.Finalizers = &metav1.Time{Time: time.Unix(1, 0)}, []string{v1alpha1.Finalizer}
		})}},
		{name: "another namespace has one of the name", former: bound, objects: []client.Object{group(func(g *v1alpha1.Group) { g.Namespace = "attic" })}},
		{name: "the policy never met it", objects: []client.Object{group(nil)}, granted: true},
		{name: "the policy never met it, and there is none", granted: true},
		{
			name: "the status says that it is gone", objects: []client.Object{group(nil)},
			former: func(p *v1alpha1.Policy) {
				bound(p)
				p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: v1alpha1.ReasonPrincipalDeleted}}
			},
		},
		{
			name: "another reason in the status", objects: []client.Object{group(nil)}, granted: true,
			former: func(p *v1alpha1.Policy) {
				bound(p)
				p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: v1alpha1.ReasonReferenceNotFound}}
			},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			object, former := guardedPolicy(), guardedPolicy()
			object.Spec.Description = "what for"
			if row.former != nil {
				row.former(former)
			}
			list, err := guardOver(t, row.objects...).Missing(t.Context(), Attempt{Object: object, Former: former})
			if err != nil {
				t.Fatal(err)
			}
			if (len(list) == 0) != row.granted {
				t.Errorf("missing is %v, though its being granted already is %v", list, row.granted)
			}
		})
	}
}

// The principal is looked for as what the policy says it is.
func TestEditingAPolicyLooksForThePrincipalsKind(t *testing.T) {
	for _, principal := range []principalObject{guardedMember(), guardedGroup(), guardedApplication()} {
		former := guardedPolicy()
		former.Status.PrincipalID = guardedID
		former.Spec.Principal = &v1alpha1.Principal{Name: v1alpha1.ObjectName(principal.GetName())}
		switch principal.(type) {
		case *v1alpha1.Member:
			former.Spec.Principal.Kind = v1alpha1.PrincipalMember
		case *v1alpha1.Group:
			former.Spec.Principal.Kind = v1alpha1.PrincipalGroup
		case *v1alpha1.Application:
			former.Spec.Principal.Kind = v1alpha1.PrincipalApplication
		}
		list, err := guardOver(t, principal).Missing(t.Context(), Attempt{Object: former.DeepCopy(), Former: former})
		if err != nil || len(list) > 0 {
			t.Errorf("a %s that is there is not found: %v, %v", former.Spec.Principal.Kind, list, err)
		}
	}
}

// A group that becomes dynamic gives to everybody what policies of any namespace grant to it, and no others.
func TestMakingAGroupDynamic(t *testing.T) {
	policy := func(name string, change func(*v1alpha1.Policy)) client.Object {
		p := guardedPolicy()
		p.Name = name
		change(p)
		return p
	}
	organization := acme()
	guard := guardOver(t, organization,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: organization.Spec.AllowedNamespaces.Selector.MatchLabels}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "wild"}},
		policy("a", func(*v1alpha1.Policy) {}),
		policy("of-a-namespace-that-is-not-admitted", func(p *v1alpha1.Policy) {
			p.Namespace, p.Spec.Principal.Namespace = "wild", "shop"
			p.Spec.Rules[0].PermissionSets = []v1alpha1.PermissionSetName{"NorTheStrangers"}
		}),
		policy("of-another-namespace", func(p *v1alpha1.Policy) {
			p.Namespace, p.Spec.Principal.Namespace = "home", "shop"
			p.Spec.Rules = p.Spec.Rules[:1]
			p.Spec.Rules[0].PermissionSets = []v1alpha1.PermissionSetName{"BillingReadOnly", "iamreadonly"}
		}),
		policy("for-a-namesake", func(p *v1alpha1.Policy) {
			p.Namespace = "home"
			p.Spec.Rules[0].PermissionSets = []v1alpha1.PermissionSetName{"NotThis"}
		}),
		policy("for-a-member", func(p *v1alpha1.Policy) {
			p.Spec.Principal.Kind = v1alpha1.PrincipalMember
			p.Spec.Rules[0].PermissionSets = []v1alpha1.PermissionSetName{"NorThis"}
		}),
		policy("of-another-organization", func(p *v1alpha1.Policy) {
			p.Spec.OrganizationRef.Name = "other"
			p.Spec.Rules[0].PermissionSets = []v1alpha1.PermissionSetName{"NorThat"}
		}),
		policy("for-nobody", func(p *v1alpha1.Policy) { p.Spec.Principal = nil }),
	)
	object := guardedGroup()
	object.Spec.Membership = v1alpha1.MembershipAllUsers
	list, err := guard.Missing(t.Context(), Attempt{Object: object, Former: guardedGroup()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, need := range list {
		got = append(got, need.String())
	}
	want := []string{
		"bind organizations.iam-operator.dev/acme in namespace home",
		"bind groups.iam-operator.dev/deployers in namespace shop",
		"bind permissionsets.iam-operator.dev/billingreadonly in namespace home",
		"bind permissionsets.iam-operator.dev/iamreadonly in namespace home",
		"bind permissionsets.iam-operator.dev/instancesfullaccess in namespace home",
	}
	if !slices.Equal(got, want) {
		t.Errorf("missing is %q, want %q", got, want)
	}
}

// Whoever is made under a name that a Group lists is in it. That is asked for once, when they are made.
func TestMakingWhomAGroupLists(t *testing.T) {
	listing := func(name string, change func(*v1alpha1.Group)) client.Object {
		g := guardedGroup()
		g.Name = name
		g.Spec.Members = []v1alpha1.GroupMember{{Kind: v1alpha1.GroupMemberApplication, Name: "ci"}}
		change(g)
		return g
	}
	guard := guardOver(t,
		listing("deployers", func(*v1alpha1.Group) {}),
		listing("admins", func(*v1alpha1.Group) {}),
		listing("of-a-member", func(g *v1alpha1.Group) { g.Spec.Members[0].Kind = v1alpha1.GroupMemberMember }),
		listing("of-another", func(g *v1alpha1.Group) { g.Spec.Members[0].Name = "cd" }),
		listing("of-another-namespace", func(g *v1alpha1.Group) { g.Namespace = "home" }),
		listing("of-another-organization", func(g *v1alpha1.Group) { g.Spec.OrganizationRef.Name = "other" }),
	)
	for name, test := range map[string]struct {
		attempt Attempt
		want    []string
	}{
		"made":   {Attempt{Object: guardedApplication()}, []string{"bind groups.iam-operator.dev/admins in namespace shop", "bind groups.iam-operator.dev/deployers in namespace shop"}},
		"edited": {Attempt{Object: guardedApplication(), Former: guardedApplication()}, nil},
	} {
		list, err := guard.Missing(t.Context(), test.attempt)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, need := range list {
			got = append(got, need.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: missing is %q, want %q", name, got, test.want)
		}
	}
}

// What can't be read is not taken for absent.
func TestMissingWithoutAReader(t *testing.T) {
	broken := errors.New("the cache is stopped")
	guard := &Guard{Authorize: (&recorded{}).authorize, Reader: fake.NewClientBuilder().WithScheme(guardedScheme(t)).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return broken
		},
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return broken },
	}).Build()}
	former := guardedPolicy()
	former.Status.PrincipalID = guardedID
	dynamic := guardedGroup()
	dynamic.Spec.Membership = v1alpha1.MembershipAllApplications
	for _, attempt := range []Attempt{{Object: guardedPolicy(), Former: former}, {Object: dynamic}, {Object: guardedMember()}, {Object: guardedApplication()}} {
		if list, err := guard.Missing(t.Context(), attempt); !errors.Is(err, broken) {
			t.Errorf("missing of a %T is %v, %v, want the reader's error", attempt.Object, list, err)
		}
	}
}

// Whose name is claimed is compared with who asks.
func TestClaimingOnesOwnUser(t *testing.T) {
	object := guardedMember()
	object.Spec.KubernetesUsers = []v1alpha1.UserName{"maya@corp.example"}
	for user, want := range map[string][]string{
		"maya@corp.example": issueOnMaya,
		"tom@corp.example":  append(slices.Clone(issueOnMaya), "impersonate users/maya@corp.example"),
		"Maya@corp.example": append(slices.Clone(issueOnMaya), "impersonate users/maya@corp.example"),
	} {
		got := missing(t, &recorded{}, Attempt{User: authenticationv1.UserInfo{Username: user}, Object: object})
		if !slices.Equal(got, want) {
			t.Errorf("to %s, missing is %q, want %q", user, got, want)
		}
	}
}

func TestRefusal(t *testing.T) {
	bind := func(resource, name, namespace, what string) Need {
		return Need{Verb: verbBind, Group: "iam-operator.dev", Resource: resource, Name: name, Namespace: namespace, For: what}
	}
	for _, row := range []struct {
		name    string
		user    string
		missing []Need
		want    string
	}{
		{
			name: "one right", user: "maya@corp.example",
			missing: []Need{bind("projects", "web", "shop", "spec.rules[0] grants InstancesFullAccess on Project web")},
			want: "maya@corp.example may not give this away: it takes bind on projects.iam-operator.dev/web in namespace shop " +
				"(spec.rules[0] grants InstancesFullAccess on Project web). " +
				"To see whether you have the right: kubectl auth can-i bind projects.iam-operator.dev/web -n shop",
		},
		{
			name: "several, gathered by kind and namespace", user: "system:serviceaccount:flux-system:kustomize-controller",
			missing: []Need{
				bind("permissionsets", "a", "shop", "spec.rules[0] grants A on Project web"),
				bind("organizations", "acme", "home", "spec.rules[1] grants A on Organization acme"),
				bind("permissionsets", "b", "shop", "spec.rules[0] grants B on Project web"),
			},
			want: "system:serviceaccount:flux-system:kustomize-controller may not give this away: it takes " +
				"bind on permissionsets.iam-operator.dev/a and permissionsets.iam-operator.dev/b in namespace shop (spec.rules[0] grants A on Project web); " +
				"bind on organizations.iam-operator.dev/acme in namespace home (spec.rules[1] grants A on Organization acme). " +
				"To see whether you have the right: kubectl auth can-i bind permissionsets.iam-operator.dev/a -n shop",
		},
		{
			name: "of the cluster", user: "maya", missing: []Need{{Verb: verbEscalate, Group: "iam-operator.dev", Resource: "permissionsets", Name: "shipping", For: "spec.permissions"}},
			want: "maya may not give this away: it takes escalate on permissionsets.iam-operator.dev/shipping (spec.permissions). " +
				"To see whether you have the right: kubectl auth can-i escalate permissionsets.iam-operator.dev/shipping",
		},
		{
			name: "a user's name that is a command", user: "x\n$(reboot)",
			missing: []Need{{Verb: verbImpersonate, Resource: "users", Name: "$(reboot)", For: "spec.kubernetesUsers claims it"}, {Verb: verbGet, Resource: "secrets", Namespace: "shop", Name: "s"}},
			want: `"x\n$(reboot)" may not give this away: it takes impersonate on users/"$(reboot)" (spec.kubernetesUsers claims it); get on secrets/s in namespace shop. ` +
				"To see whether you have the right: kubectl auth can-i get secrets/s -n shop",
		},
		{
			name: "nothing but such a name", user: "maya", missing: []Need{{Verb: verbImpersonate, Resource: "users", Name: "a b"}},
			want: `maya may not give this away: it takes impersonate on users/"a b"`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := Refusal(row.user, row.missing); got != row.want {
				t.Errorf("the refusal is\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

// A refusal names every right that is missing, however many there are.
func TestRefusalNamesAll(t *testing.T) {
	list, err := needsOf(facts{object: widePolicy(400)})
	if err != nil {
		t.Fatal(err)
	}
	text := Refusal("maya", list)
	for _, need := range list {
		if !strings.Contains(text, need.object()) {
			t.Errorf("%s is not named", need)
		}
	}
}
