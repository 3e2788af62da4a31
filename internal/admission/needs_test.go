// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// The objects that the guard's tests start from. They are in namespace shop, which is not the home of their
// Organization: a right asked for in the wrong one of the two would be seen.

const guardedID = "11111111-2222-4333-8444-555555555555"

func guardedMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: "shop", UID: guardedID}
}

var guardedOrganizationRef = v1alpha1.OrganizationRef{Name: "acme", Namespace: "home"}

func guardedOrganization() *v1alpha1.Organization {
	return &v1alpha1.Organization{
		ObjectMeta: metav1.ObjectMeta{Name: "acme", Namespace: "home", UID: guardedID},
		Spec:       v1alpha1.OrganizationSpec{Owner: v1alpha1.Owner{Email: "owner@acme.example", FirstName: "Ada", LastName: "Ng"}},
	}
}

func guardedMember() *v1alpha1.Member {
	return &v1alpha1.Member{
		ObjectMeta: guardedMeta("maya"),
		Spec:       v1alpha1.MemberSpec{OrganizationRef: guardedOrganizationRef, Username: "maya", Email: "maya@acme.example"},
	}
}

func guardedGroup() *v1alpha1.Group {
	return &v1alpha1.Group{ObjectMeta: guardedMeta("deployers"), Spec: v1alpha1.GroupSpec{OrganizationRef: guardedOrganizationRef}}
}

func guardedApplication() *v1alpha1.Application {
	return &v1alpha1.Application{ObjectMeta: guardedMeta("ci"), Spec: v1alpha1.ApplicationSpec{OrganizationRef: guardedOrganizationRef}}
}

func guardedAPIKey() *v1alpha1.APIKey {
	return &v1alpha1.APIKey{
		ObjectMeta: guardedMeta("ci-key"),
		Spec: v1alpha1.APIKeySpec{
			OrganizationRef: guardedOrganizationRef, Bearer: v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "ci"},
		},
	}
}

func guardedPolicy() *v1alpha1.Policy {
	return &v1alpha1.Policy{
		ObjectMeta: guardedMeta("deployers"),
		Spec: v1alpha1.PolicySpec{
			OrganizationRef: guardedOrganizationRef,
			Principal:       &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "deployers"},
			Rules: []v1alpha1.PolicyRule{
				{PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess"}, Scope: v1alpha1.ScopeProjects, ProjectRefs: []v1alpha1.ProjectRef{{Name: "web"}}},
				{PermissionSets: []v1alpha1.PermissionSetName{"IAMReadOnly"}, Scope: v1alpha1.ScopeOrganization, Condition: `request.ip == "10.0.0.1"`},
			},
		},
	}
}

func guardedPermissionSet() *v1alpha1.PermissionSet {
	return &v1alpha1.PermissionSet{
		ObjectMeta: metav1.ObjectMeta{Name: "shipping", UID: guardedID},
		Spec: v1alpha1.PermissionSetSpec{
			Name: "Shipping", ScopeType: v1alpha1.ScopeTypeProjects, Permissions: []v1alpha1.Permission{"shipping:parcel:read", "shipping:parcel:list"},
		},
	}
}

// What the objects above take when they are created.
var (
	wholePolicy = []string{
		"bind projects.iam-operator.dev/web in namespace shop",
		"bind permissionsets.iam-operator.dev/instancesfullaccess in namespace shop",
		"bind organizations.iam-operator.dev/acme in namespace home",
		"bind permissionsets.iam-operator.dev/iamreadonly in namespace home",
	}
	issueOnMaya  = []string{"issue members.iam-operator.dev/maya in namespace shop"}
	issueOnCI    = []string{"issue applications.iam-operator.dev/ci in namespace shop"}
	escalateAcme = []string{"escalate organizations.iam-operator.dev/acme in namespace home"}
	escalateSet  = []string{"escalate permissionsets.iam-operator.dev/shipping"}
)

// need is one row: what an attempt takes, which starts from an object of one of the kinds. With created, there is no
// former object; else it is the one before the change.
type need struct {
	name    string
	created bool
	// before makes the former object other than the usual one; change makes what is asked for out of that.
	before, change func(declared.Object)
	facts          func(*facts)
	want           []string
}

func runNeeds[T declared.Object](t *testing.T, build func() T, rows []need) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			former, object := build(), build()
			if row.before != nil {
				row.before(former)
				row.before(object)
			}
			if row.change != nil {
				row.change(object)
			}
			f := facts{user: "requester", object: object, former: former}
			if row.created {
				f.former = nil
			}
			if row.facts != nil {
				row.facts(&f)
			}
			list, err := needsOf(f)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, need := range list {
				got = append(got, need.String())
				if need.For == "" {
					t.Errorf("it is not said what %s is for", need)
				}
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("the needs are\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(row.want, "\n  "))
			}
		})
	}
}

// edit makes a change of one kind's object.
func edit[T declared.Object](change func(T)) func(declared.Object) {
	return func(obj declared.Object) { change(obj.(T)) }
}

func annotate(name, value string) func(declared.Object) {
	return func(obj declared.Object) { obj.SetAnnotations(map[string]string{name: value}) }
}

func TestNeedsOfPolicy(t *testing.T) {
	policy := edit[*v1alpha1.Policy]
	runNeeds(t, guardedPolicy, []need{
		{name: "created", created: true, want: wholePolicy},
		{name: "created without principal", created: true, change: policy(func(p *v1alpha1.Policy) { p.Spec.Principal = nil })},
		{name: "created without rules", created: true, change: policy(func(p *v1alpha1.Policy) { p.Spec.Rules = nil })},
		{name: "nothing changed"},
		{name: "description, tags and name", change: policy(func(p *v1alpha1.Policy) {
			p.Spec.Description, p.Spec.DisplayName, p.Spec.Tags = "what for", "Deployers", []v1alpha1.Tag{"team=a"}
		})},
		{name: "principal's namespace spelt out", change: policy(func(p *v1alpha1.Policy) { p.Spec.Principal.Namespace = "shop" })},
		{name: "principal removed", change: policy(func(p *v1alpha1.Policy) { p.Spec.Principal = nil })},
		{
			name: "principal added", before: policy(func(p *v1alpha1.Policy) { p.Spec.Principal = nil }),
			change: policy(func(p *v1alpha1.Policy) { p.Spec.Principal = guardedPolicy().Spec.Principal }), want: wholePolicy,
		},
		{name: "principal of another name", change: policy(func(p *v1alpha1.Policy) { p.Spec.Principal.Name = "others" }), want: wholePolicy},
		{name: "principal of another kind", change: policy(func(p *v1alpha1.Policy) { p.Spec.Principal.Kind = v1alpha1.PrincipalMember }), want: wholePolicy},
		{name: "principal of another namespace", change: policy(func(p *v1alpha1.Policy) { p.Spec.Principal.Namespace = "attic" }), want: wholePolicy},
		{
			name:   "description, after the principal is gone",
			change: policy(func(p *v1alpha1.Policy) { p.Spec.Description = "what for" }),
			facts:  func(f *facts) { f.principalGone = true }, want: wholePolicy,
		},
		{
			name:   "principal removed, after it is gone",
			change: policy(func(p *v1alpha1.Policy) { p.Spec.Principal = nil }),
			facts:  func(f *facts) { f.principalGone = true },
		},
		{
			name:   "another Organization",
			change: policy(func(p *v1alpha1.Policy) { p.Spec.OrganizationRef.Name = "other" }),
			want: []string{
				"bind projects.iam-operator.dev/web in namespace shop",
				"bind permissionsets.iam-operator.dev/instancesfullaccess in namespace shop",
				"bind organizations.iam-operator.dev/other in namespace home",
				"bind permissionsets.iam-operator.dev/iamreadonly in namespace home",
			},
		},
		{
			name:   "set added on a Project",
			change: policy(func(p *v1alpha1.Policy) { addSet(p, 0, "ObjectStorageReadOnly") }),
			want: []string{
				"bind projects.iam-operator.dev/web in namespace shop",
				"bind permissionsets.iam-operator.dev/objectstoragereadonly in namespace shop",
			},
		},
		{
			name:   "set added on the Organization",
			change: policy(func(p *v1alpha1.Policy) { addSet(p, 1, "BillingReadOnly") }),
			want: []string{
				"bind organizations.iam-operator.dev/acme in namespace home",
				"bind permissionsets.iam-operator.dev/billingreadonly in namespace home",
			},
		},
		{name: "set spelt in other case", change: policy(func(p *v1alpha1.Policy) { p.Spec.Rules[0].PermissionSets[0] = "INSTANCESfullaccess" })},
		{
			name: "Project added, of another namespace",
			change: policy(func(p *v1alpha1.Policy) {
				p.Spec.Rules[0].ProjectRefs = append(p.Spec.Rules[0].ProjectRefs, v1alpha1.ProjectRef{Name: "attic", Namespace: "attic"})
			}),
			want: []string{
				"bind projects.iam-operator.dev/attic in namespace attic",
				"bind permissionsets.iam-operator.dev/instancesfullaccess in namespace attic",
			},
		},
		{
			name: "the default Project added, whose namespace is the home whatever is written",
			change: policy(func(p *v1alpha1.Policy) {
				p.Spec.Rules[0].ProjectRefs = append(p.Spec.Rules[0].ProjectRefs, v1alpha1.ProjectRef{Name: "default", Namespace: "shop"})
			}),
			want: []string{
				"bind projects.iam-operator.dev/default in namespace home",
				"bind permissionsets.iam-operator.dev/instancesfullaccess in namespace home",
			},
		},
		{name: "Project's namespace spelt out", change: policy(func(p *v1alpha1.Policy) { p.Spec.Rules[0].ProjectRefs[0].Namespace = "shop" })},
		{
			name: "scope widened to the Organization",
			change: policy(func(p *v1alpha1.Policy) {
				p.Spec.Rules[0].Scope, p.Spec.Rules[0].ProjectRefs = v1alpha1.ScopeOrganization, nil
			}),
			want: []string{
				"bind organizations.iam-operator.dev/acme in namespace home",
				"bind permissionsets.iam-operator.dev/instancesfullaccess in namespace home",
			},
		},
		{
			name:   "scope that is both, should the schema ever let it pass",
			change: policy(func(p *v1alpha1.Policy) { p.Spec.Rules[0].Scope = v1alpha1.ScopeOrganization }),
			want: []string{
				"bind organizations.iam-operator.dev/acme in namespace home",
				"bind permissionsets.iam-operator.dev/instancesfullaccess in namespace home",
			},
		},
		{name: "condition dropped", change: policy(func(p *v1alpha1.Policy) { p.Spec.Rules[1].Condition = "" }), want: wholePolicy[2:]},
		{name: "condition changed by a blank", change: policy(func(p *v1alpha1.Policy) { p.Spec.Rules[1].Condition += " " }), want: wholePolicy[2:]},
		{name: "condition added, which is judged as another grant", change: policy(func(p *v1alpha1.Policy) { p.Spec.Rules[0].Condition = "true" }), want: wholePolicy[:2]},
		{name: "condition moved from one rule to the other", change: policy(func(p *v1alpha1.Policy) {
			p.Spec.Rules[0].Condition, p.Spec.Rules[1].Condition = p.Spec.Rules[1].Condition, ""
		}), want: wholePolicy},
		{name: "rule removed", change: policy(func(p *v1alpha1.Policy) { p.Spec.Rules = p.Spec.Rules[:1] })},
		{name: "rules in another order", change: policy(func(p *v1alpha1.Policy) { slices.Reverse(p.Spec.Rules) })},
		{name: "rule written twice", change: policy(func(p *v1alpha1.Policy) { p.Spec.Rules = append(p.Spec.Rules, p.Spec.Rules[0]) })},
		{name: "id restored", created: true, change: func(obj declared.Object) {
			obj.(*v1alpha1.Policy).Spec.Rules = nil
			annotate(v1alpha1.IDAnnotation, guardedID)(obj)
		}, want: escalateAcme},
	})
}

func addSet(p *v1alpha1.Policy, rule int, name v1alpha1.PermissionSetName) {
	p.Spec.Rules[rule].PermissionSets = append(p.Spec.Rules[rule].PermissionSets, name)
}

func TestNeedsOfGroup(t *testing.T) {
	group := edit[*v1alpha1.Group]
	maya := v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "maya"}
	bindGroup := []string{"bind groups.iam-operator.dev/deployers in namespace shop"}
	dynamic := []string{
		"bind organizations.iam-operator.dev/acme in namespace home",
		"bind groups.iam-operator.dev/deployers in namespace shop",
	}
	makeDynamic := func(membership v1alpha1.GroupMembership) func(declared.Object) {
		return group(func(g *v1alpha1.Group) { g.Spec.Membership, g.Spec.Members = membership, nil })
	}
	withMaya := group(func(g *v1alpha1.Group) { g.Spec.Members = []v1alpha1.GroupMember{maya} })
	runNeeds(t, guardedGroup, []need{
		{name: "created empty", created: true},
		{name: "created with a member", created: true, change: withMaya, want: bindGroup},
		{name: "created dynamic", created: true, change: makeDynamic(v1alpha1.MembershipAllUsers), want: dynamic},
		{name: "description", before: withMaya, change: group(func(g *v1alpha1.Group) { g.Spec.Description = "what for" })},
		{name: "member added", change: withMaya, want: bindGroup},
		{
			name: "member of the same name and another kind", before: withMaya,
			change: group(func(g *v1alpha1.Group) { g.Spec.Members[0].Kind = v1alpha1.GroupMemberApplication }), want: bindGroup,
		},
		{name: "member removed", before: withMaya, change: group(func(g *v1alpha1.Group) { g.Spec.Members = nil })},
		{name: "membership spelt out", change: group(func(g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipDeclared })},
		{name: "made dynamic of users", before: withMaya, change: makeDynamic(v1alpha1.MembershipAllUsers), want: dynamic},
		{name: "made dynamic of applications", change: makeDynamic(v1alpha1.MembershipAllApplications), want: dynamic},
		{
			name: "made dynamic, with grants", change: makeDynamic(v1alpha1.MembershipAllUsers),
			facts: func(f *facts) { f.grantedSets = []v1alpha1.PermissionSetName{"IAMReadOnly", "InstancesFullAccess"} },
			want: append(slices.Clone(dynamic),
				"bind permissionsets.iam-operator.dev/iamreadonly in namespace home",
				"bind permissionsets.iam-operator.dev/instancesfullaccess in namespace home"),
		},
		{name: "from one dynamic membership to the other", before: makeDynamic(v1alpha1.MembershipAllUsers), change: makeDynamic(v1alpha1.MembershipAllApplications), want: dynamic},
		{name: "still dynamic", before: makeDynamic(v1alpha1.MembershipAllUsers), change: group(func(g *v1alpha1.Group) { g.Spec.Description = "all" })},
		{name: "made declared", before: makeDynamic(v1alpha1.MembershipAllUsers), change: makeDynamic(v1alpha1.MembershipDeclared)},
		{
			name: "made declared, with a member", before: makeDynamic(v1alpha1.MembershipAllUsers),
			change: group(func(g *v1alpha1.Group) { g.Spec.Membership, g.Spec.Members = "", []v1alpha1.GroupMember{maya} }), want: bindGroup,
		},
		{name: "id added", change: annotate(v1alpha1.IDAnnotation, guardedID), want: escalateAcme},
	})
}

func TestNeedsOfMember(t *testing.T) {
	member := edit[*v1alpha1.Member]
	bySecret := func(name string) *v1alpha1.MemberPassword {
		return &v1alpha1.MemberPassword{SecretRef: &v1alpha1.SecretKeyRef{Name: v1alpha1.ObjectName(name), Key: "password"}}
	}
	withSecret := member(func(m *v1alpha1.Member) { m.Spec.Password = bySecret("maya-password") })
	locked := member(func(m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateLocked })
	users := func(names ...v1alpha1.UserName) func(declared.Object) {
		return member(func(m *v1alpha1.Member) { m.Spec.KubernetesUsers = names })
	}
	joins := func(refs ...v1alpha1.GroupRef) func(declared.Object) {
		return member(func(m *v1alpha1.Member) { m.Spec.Groups = refs })
	}
	runNeeds(t, guardedMember, []need{
		{name: "created", created: true, want: issueOnMaya},
		{name: "created as a Guest", created: true, change: member(func(m *v1alpha1.Member) { m.Spec.Type, m.Spec.Username = v1alpha1.TypeGuest, "" }), want: issueOnMaya},
		{
			name: "created with all", created: true,
			change: func(obj declared.Object) {
				withSecret(obj)
				users("maya@corp.example")(obj)
				joins(v1alpha1.GroupRef{Name: "deployers", Namespace: "platform"})(obj)
				annotate(v1alpha1.IDAnnotation, guardedID)(obj)
			},
			want: append(slices.Clone(issueOnMaya),
				"impersonate users/maya@corp.example",
				"get secrets/maya-password in namespace shop",
				"bind groups.iam-operator.dev/deployers in namespace platform",
				escalateAcme[0]),
		},
		{name: "names, phone, locale and tags", change: member(func(m *v1alpha1.Member) {
			m.Spec.FirstName, m.Spec.LastName, m.Spec.PhoneNumber, m.Spec.Locale, m.Spec.Tags = "Maya", "Diaz", "+33612345678", "fr_FR", []v1alpha1.Tag{"a"}
		})},
		{name: "e-mail", change: member(func(m *v1alpha1.Member) { m.Spec.Email = "mallory@evil.example" }), want: issueOnMaya},
		{name: "username", change: member(func(m *v1alpha1.Member) { m.Spec.Username = "mallory" }), want: issueOnMaya},
		{name: "username in other case", change: member(func(m *v1alpha1.Member) { m.Spec.Username = "MAYA" }), want: issueOnMaya},
		{name: "password from a Secret", change: withSecret, want: append(slices.Clone(issueOnMaya), "get secrets/maya-password in namespace shop")},
		{
			name: "password from another Secret", before: withSecret, change: member(func(m *v1alpha1.Member) { m.Spec.Password = bySecret("other") }),
			want: append(slices.Clone(issueOnMaya), "get secrets/other in namespace shop"),
		},
		{
			name: "password from another key", before: withSecret, change: member(func(m *v1alpha1.Member) { m.Spec.Password.SecretRef.Key = "token" }),
			want: append(slices.Clone(issueOnMaya), "get secrets/maya-password in namespace shop"),
		},
		{
			name: "password generated",
			change: member(func(m *v1alpha1.Member) {
				m.Spec.Password = &v1alpha1.MemberPassword{Generate: &v1alpha1.GeneratedPassword{SecretName: "made"}}
			}),
			want: issueOnMaya,
		},
		{name: "password removed", before: withSecret, change: member(func(m *v1alpha1.Member) { m.Spec.Password = nil }), want: issueOnMaya},
		{name: "password untouched", before: withSecret, change: member(func(m *v1alpha1.Member) { m.Spec.Locale = "en_US" })},
		{name: "locked", change: locked},
		{name: "declared lock lifted", before: locked, change: member(func(m *v1alpha1.Member) { m.Spec.State = "" }), want: issueOnMaya},
		{name: "declared lock replaced by Active", before: locked, change: member(func(m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateActive }), want: issueOnMaya},
		{name: "Active spelt out", change: member(func(m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateActive })},
		{name: "unlock-at added", change: annotate(v1alpha1.UnlockAtAnnotation, "2026-10-01T00:00:00Z"), want: issueOnMaya},
		{
			name: "unlock-at changed", before: annotate(v1alpha1.UnlockAtAnnotation, "2026-10-01T00:00:00Z"),
			change: annotate(v1alpha1.UnlockAtAnnotation, "2026-11-01T00:00:00Z"), want: issueOnMaya,
		},
		{name: "unlock-at kept", before: annotate(v1alpha1.UnlockAtAnnotation, "2026-10-01T00:00:00Z"), change: member(func(m *v1alpha1.Member) { m.Spec.Locale = "en_US" })},
		{name: "unlock-at removed", before: annotate(v1alpha1.UnlockAtAnnotation, "2026-10-01T00:00:00Z"), change: member(func(m *v1alpha1.Member) { m.Annotations = nil })},
		{name: "reset-mfa-at added", change: annotate(v1alpha1.ResetMFAAtAnnotation, "2026-10-01T00:00:00Z"), want: issueOnMaya},
		{name: "reconcile-at added", change: annotate(v1alpha1.ReconcileAtAnnotation, "now")},
		{name: "id added", change: annotate(v1alpha1.IDAnnotation, guardedID), want: escalateAcme},
		{name: "Kubernetes user claimed", change: users("lea@corp.example"), want: append(slices.Clone(issueOnMaya), "impersonate users/lea@corp.example")},
		{name: "one's own Kubernetes user", change: users("requester"), want: issueOnMaya},
		{
			name: "a ServiceAccount as a Kubernetes user", change: users("system:serviceaccount:ops:robot"),
			want: append(slices.Clone(issueOnMaya), "impersonate serviceaccounts/robot in namespace ops"),
		},
		{
			name: "what only looks like a ServiceAccount", change: users("system:serviceaccount:ops"),
			want: append(slices.Clone(issueOnMaya), "impersonate users/system:serviceaccount:ops"),
		},
		{name: "Kubernetes users in another order", before: users("a", "b"), change: users("b", "a")},
		{name: "Kubernetes user removed", before: users("a", "b"), change: users("a"), want: issueOnMaya},
		{
			name: "Kubernetes user added beside one", before: users("a"), change: users("a", "b"),
			want: append(slices.Clone(issueOnMaya), "impersonate users/b"),
		},
		{name: "group joined, of its own namespace", change: joins(v1alpha1.GroupRef{Name: "deployers"}), want: []string{"bind groups.iam-operator.dev/deployers in namespace shop"}},
		{
			name: "group joined elsewhere", before: joins(v1alpha1.GroupRef{Name: "deployers"}),
			change: joins(v1alpha1.GroupRef{Name: "deployers"}, v1alpha1.GroupRef{Name: "deployers", Namespace: "platform"}),
			want:   []string{"bind groups.iam-operator.dev/deployers in namespace platform"},
		},
		{name: "group's namespace spelt out", before: joins(v1alpha1.GroupRef{Name: "deployers"}), change: joins(v1alpha1.GroupRef{Name: "deployers", Namespace: "shop"})},
		{name: "group left", before: joins(v1alpha1.GroupRef{Name: "deployers"}), change: joins()},
	})
}

func TestNeedsOfApplication(t *testing.T) {
	application := edit[*v1alpha1.Application]
	accounts := func(names ...v1alpha1.ObjectName) func(declared.Object) {
		return application(func(a *v1alpha1.Application) {
			a.Spec.ServiceAccounts = nil
			for _, name := range names {
				a.Spec.ServiceAccounts = append(a.Spec.ServiceAccounts, v1alpha1.ServiceAccountRef{Name: name})
			}
		})
	}
	joins := application(func(a *v1alpha1.Application) {
		a.Spec.Groups = []v1alpha1.GroupRef{{Name: "deployers", Namespace: "platform"}}
	})
	bindGroup := []string{"bind groups.iam-operator.dev/deployers in namespace platform"}
	runNeeds(t, guardedApplication, []need{
		{name: "created", created: true},
		{name: "created with a ServiceAccount", created: true, change: accounts("ci"), want: issueOnCI},
		{name: "created in a group", created: true, change: joins, want: bindGroup},
		{name: "description", before: accounts("ci"), change: application(func(a *v1alpha1.Application) { a.Spec.Description = "what for" })},
		{name: "ServiceAccount added", change: accounts("ci"), want: issueOnCI},
		{name: "ServiceAccount added beside one", before: accounts("ci"), change: accounts("ci", "mine"), want: issueOnCI},
		{name: "ServiceAccount replaced", before: accounts("ci"), change: accounts("mine"), want: issueOnCI},
		{name: "ServiceAccount removed", before: accounts("ci", "cd"), change: accounts("cd")},
		{name: "group joined", change: joins, want: bindGroup},
		{name: "group left", before: joins, change: application(func(a *v1alpha1.Application) { a.Spec.Groups = nil })},
		{name: "id restored", created: true, change: annotate(v1alpha1.IDAnnotation, guardedID), want: escalateAcme},
	})
}

func TestNeedsOfAPIKey(t *testing.T) {
	key := edit[*v1alpha1.APIKey]
	bearer := func(kind v1alpha1.BearerKind, name v1alpha1.ObjectName) func(declared.Object) {
		return key(func(k *v1alpha1.APIKey) { k.Spec.Bearer = v1alpha1.Bearer{Kind: kind, Name: name} })
	}
	expires := func(year int) func(declared.Object) {
		return key(func(k *v1alpha1.APIKey) {
			k.Spec.ExpiresAt = &metav1.Time{Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}
		})
	}
	rotates := key(func(k *v1alpha1.APIKey) { k.Spec.Rotation = &v1alpha1.Rotation{Every: "720h", Overlap: "48h"} })
	runNeeds(t, guardedAPIKey, []need{
		{name: "created for an Application", created: true, want: issueOnCI},
		{name: "created for a Member", created: true, change: bearer(v1alpha1.BearerMember, "maya"), want: issueOnMaya},
		{name: "created for the owner", created: true, change: bearer(v1alpha1.BearerOwner, ""), want: []string{"issue organizations.iam-operator.dev/acme in namespace home"}},
		{name: "created for another bearer, should the schema ever know one", created: true, change: bearer("Robot", "r"), want: []string{"issue organizations.iam-operator.dev/acme in namespace home"}},
		{name: "description and default Project", change: key(func(k *v1alpha1.APIKey) {
			k.Spec.Description, k.Spec.DefaultProjectRef = "used by CI", &v1alpha1.ProjectRef{Name: "web"}
		})},
		{name: "bearer, should the schema ever let it change", change: bearer(v1alpha1.BearerMember, "maya"), want: issueOnMaya},
		{name: "expiresAt later", before: expires(2027), change: expires(2028), want: issueOnCI},
		{name: "expiresAt earlier", before: expires(2027), change: expires(2026), want: issueOnCI},
		{name: "expiresAt removed", before: expires(2027), change: key(func(k *v1alpha1.APIKey) { k.Spec.ExpiresAt = nil }), want: issueOnCI},
		{name: "expiresAt in another zone", before: expires(2027), change: key(func(k *v1alpha1.APIKey) {
			k.Spec.ExpiresAt = &metav1.Time{Time: k.Spec.ExpiresAt.In(time.FixedZone("CEST", 7200))}
		})},
		{name: "expiresIn", change: key(func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn = "24h" }), want: issueOnCI},
		{name: "rotation added", change: rotates, want: issueOnCI},
		{name: "rotation changed", before: rotates, change: key(func(k *v1alpha1.APIKey) { k.Spec.Rotation.Every = "1h" }), want: issueOnCI},
		{name: "rotation kept", before: rotates, change: key(func(k *v1alpha1.APIKey) { k.Spec.Description = "used by CI" })},
		{
			name: "annotation of the Secret, by which others copy it",
			change: key(func(k *v1alpha1.APIKey) {
				k.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Annotations: map[string]string{"replicate-to": "attic"}}
			}),
			want: issueOnCI,
		},
		{name: "secretName, should the schema ever let it change", change: key(func(k *v1alpha1.APIKey) { k.Spec.SecretName = "other" }), want: issueOnCI},
		{name: "rotate-at added", change: annotate(v1alpha1.RotateAtAnnotation, "2026-10-01T00:00:00Z"), want: issueOnCI},
		{name: "rotate-at kept", before: annotate(v1alpha1.RotateAtAnnotation, "2026-10-01T00:00:00Z"), change: key(func(k *v1alpha1.APIKey) { k.Spec.Description = "used by CI" })},
		{name: "id added", change: annotate(v1alpha1.IDAnnotation, guardedID), want: escalateAcme},
	})
}

func TestNeedsOfOrganization(t *testing.T) {
	organization := edit[*v1alpha1.Organization]
	retention := func(written v1alpha1.Duration) func(declared.Object) {
		return organization(func(o *v1alpha1.Organization) { o.Spec.AuditLog = &v1alpha1.AuditLog{Retention: written} })
	}
	ownerUser := func(name v1alpha1.UserName) func(declared.Object) {
		return organization(func(o *v1alpha1.Organization) { o.Spec.Owner.KubernetesUsers = []v1alpha1.UserName{name} })
	}
	runNeeds(t, guardedOrganization, []need{
		{name: "created", created: true, want: escalateAcme},
		{name: "created with a Kubernetes user", created: true, change: ownerUser("ada@corp.example"), want: append(slices.Clone(escalateAcme), "impersonate users/ada@corp.example")},
		{name: "created with one's own Kubernetes user", created: true, change: ownerUser("requester"), want: escalateAcme},
		{name: "displayName, alias and default Project", change: organization(func(o *v1alpha1.Organization) {
			o.Spec.DisplayName, o.Spec.Alias, o.Spec.DefaultProject = "Acme", "acme", &v1alpha1.DefaultProject{Description: "what has no other"}
		})},
		{name: "owner's e-mail", change: organization(func(o *v1alpha1.Organization) { o.Spec.Owner.Email = "mallory@evil.example" }), want: escalateAcme},
		{name: "owner's name", change: organization(func(o *v1alpha1.Organization) { o.Spec.Owner.FirstName = "Eve" }), want: escalateAcme},
		{name: "owner's Kubernetes user", change: ownerUser("lea@corp.example"), want: append(slices.Clone(escalateAcme), "impersonate users/lea@corp.example")},
		{name: "allowedNamespaces", change: organization(func(o *v1alpha1.Organization) {
			o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}
		}), want: escalateAcme},
		{name: "security", change: organization(func(o *v1alpha1.Organization) { o.Spec.Security = &v1alpha1.Security{MFA: v1alpha1.MFAOptional} }), want: escalateAcme},
		{name: "quotas", change: organization(func(o *v1alpha1.Organization) { o.Spec.Quotas = &v1alpha1.Quotas{Members: new(int32(1))} }), want: escalateAcme},
		{name: "retention shortened", change: retention("24h"), want: escalateAcme},
		{name: "retention lengthened", change: retention("1440h")},
		{name: "retention spelt out", change: retention("720h")},
		{name: "retention removed, which was longer", before: retention("1440h"), change: organization(func(o *v1alpha1.Organization) { o.Spec.AuditLog = nil }), want: escalateAcme},
		{name: "retention removed, which was shorter", before: retention("24h"), change: organization(func(o *v1alpha1.Organization) { o.Spec.AuditLog = nil })},
		{name: "id added", change: annotate(v1alpha1.IDAnnotation, guardedID), want: escalateAcme},
	})
}

func TestNeedsOfPermissionSet(t *testing.T) {
	set := edit[*v1alpha1.PermissionSet]
	managed := set(func(s *v1alpha1.PermissionSet) { s.Labels = map[string]string{v1alpha1.ManagedLabel: "true"} })
	runNeeds(t, guardedPermissionSet, []need{
		{name: "created", created: true, want: escalateSet},
		{name: "description and categories", change: set(func(s *v1alpha1.PermissionSet) {
			s.Spec.Description, s.Spec.Categories = "parcels", []string{"Shipping"}
		})},
		{name: "permission added", change: set(func(s *v1alpha1.PermissionSet) { s.Spec.Permissions = append(s.Spec.Permissions, "*:*:*") }), want: escalateSet},
		{name: "permission removed", change: set(func(s *v1alpha1.PermissionSet) { s.Spec.Permissions = s.Spec.Permissions[:1] }), want: escalateSet},
		{name: "permissions in another order", change: set(func(s *v1alpha1.PermissionSet) { slices.Reverse(s.Spec.Permissions) })},
		{name: "scopeType", change: set(func(s *v1alpha1.PermissionSet) { s.Spec.ScopeType = v1alpha1.ScopeTypeOrganization }), want: escalateSet},
		{name: "includedInAllProducts", change: set(func(s *v1alpha1.PermissionSet) { s.Spec.IncludedInAllProducts = true }), want: escalateSet},
		{name: "name", change: set(func(s *v1alpha1.PermissionSet) { s.Spec.Name = "SHIPPING" }), want: escalateSet},
		{name: "managed label added", change: managed, want: escalateSet},
		{name: "managed label removed", before: managed, change: set(func(s *v1alpha1.PermissionSet) { s.Labels = nil }), want: escalateSet},
		{name: "another label", change: set(func(s *v1alpha1.PermissionSet) { s.Labels = map[string]string{"team": "a"} })},
		{name: "id added", change: annotate(v1alpha1.IDAnnotation, guardedID), want: escalateSet},
	})
}

// Projects and SSH keys give nothing away; only who restores an id has to have a right.
func TestNeedsOfProjectAndSSHKey(t *testing.T) {
	rows := []need{
		{name: "created", created: true},
		{name: "created with an id", created: true, change: annotate(v1alpha1.IDAnnotation, guardedID), want: escalateAcme},
		{name: "id changed", before: annotate(v1alpha1.IDAnnotation, guardedID), change: annotate(v1alpha1.IDAnnotation, "99999999-2222-4333-8444-555555555555"), want: escalateAcme},
		{name: "id removed", before: annotate(v1alpha1.IDAnnotation, guardedID), change: func(obj declared.Object) { obj.SetAnnotations(nil) }},
	}
	t.Run("Project", func(t *testing.T) {
		runNeeds(t, func() *v1alpha1.Project {
			return &v1alpha1.Project{ObjectMeta: guardedMeta("web"), Spec: v1alpha1.ProjectSpec{OrganizationRef: guardedOrganizationRef}}
		}, rows)
	})
	t.Run("SSHKey", func(t *testing.T) {
		runNeeds(t, func() *v1alpha1.SSHKey {
			return &v1alpha1.SSHKey{ObjectMeta: guardedMeta("laptop"), Spec: v1alpha1.SSHKeySpec{OrganizationRef: guardedOrganizationRef}}
		}, rows)
	})
}

// An Organization that is referred to without namespace is in the object's own.
func TestNeedsInTheHomeNamespace(t *testing.T) {
	p := guardedPolicy()
	p.Spec.OrganizationRef.Namespace = ""
	list, err := needsOf(facts{object: p})
	if err != nil {
		t.Fatal(err)
	}
	for _, need := range list {
		if need.Namespace != "shop" {
			t.Errorf("%s is not in the Organization's own namespace, which is the policy's", need)
		}
	}
}

func TestNeedsOfAnUnknownKind(t *testing.T) {
	if _, err := needsOf(facts{}); err == nil {
		t.Error("what the guard does not know passes")
	}
}

// What a right is for names the field, and what it gives away.
func TestNeedsSayWhatFor(t *testing.T) {
	p := guardedPolicy()
	addSet(p, 0, "ObjectStorageReadOnly")
	list, err := needsOf(facts{object: p})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, need := range list {
		got = append(got, need.For)
	}
	want := []string{
		"spec.rules[0] grants InstancesFullAccess and 1 more on Project web",
		"spec.rules[0] grants InstancesFullAccess on Project web",
		"spec.rules[0] grants ObjectStorageReadOnly on Project web",
		"spec.rules[1] grants IAMReadOnly on Organization acme",
		"spec.rules[1] grants IAMReadOnly on Organization acme",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the reasons are %q, want %q", got, want)
	}
}

// The largest policy that the schema lets pass has half a million grants. They are not all kept, and no answer changes.
func TestNeedsOfTheLargestPolicy(t *testing.T) {
	p := guardedPolicy()
	p.Spec.Rules = nil
	for i := range 50 {
		rule := v1alpha1.PolicyRule{Scope: v1alpha1.ScopeProjects}
		for j := range 100 {
			rule.PermissionSets = append(rule.PermissionSets, v1alpha1.PermissionSetName(fmt.Sprintf("S%dx%d", i, j)))
			rule.ProjectRefs = append(rule.ProjectRefs, v1alpha1.ProjectRef{Name: "web", Namespace: v1alpha1.NamespaceName(fmt.Sprintf("n%d", j))})
		}
		p.Spec.Rules = append(p.Spec.Rules, rule)
	}
	list, err := needsOf(facts{object: p})
	if err != nil {
		t.Fatal(err)
	}
	if classes := len(distinct(list, Need.forAll)); classes != 200 {
		t.Errorf("there are %d kinds of needs, want Projects and permission sets in each of 100 namespaces", classes)
	}
	if most := 100 + 100*(maxQuestions+1); len(list) != most {
		t.Errorf("%d needs are kept, want %d: one more for each namespace than are asked one by one", len(list), most)
	}
	if list, err := needsOf(facts{object: p, former: p}); err != nil || len(list) > 0 {
		t.Errorf("the same policy again needs %v, %v", list, err)
	}
}
