// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

func groupAttacks() []attack {
	mallory := v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "mallory"}
	withMembers := func(members ...v1alpha1.GroupMember) func(*attackWorld, string) client.Object {
		return func(w *attackWorld, name string) client.Object { return group(w.org, w.guest, name, members...) }
	}
	dynamic := func(membership v1alpha1.GroupMembership) func(*attackWorld, string) client.Object {
		return func(w *attackWorld, name string) client.Object {
			g := group(w.org, w.guest, name)
			g.Spec.Membership = membership
			return g
		}
	}
	everybody := rights{"bind organizations/acme in home", "bind groups/% in guest"}
	bind := rights{"bind groups/% in guest"}
	join := []v1alpha1.GroupRef{{Name: "deployers"}}
	deployers := rights{"bind groups/deployers in guest"}
	add := edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Members = append(g.Spec.Members, mallory) })
	joiner := func(w *attackWorld, name string) client.Object {
		m := member(w.org, w.guest, name)
		m.Spec.Groups = join
		return m
	}
	joining := func(w *attackWorld, name string) client.Object {
		a := application(w.org, w.guest, name)
		a.Spec.Groups = join
		return a
	}
	return []attack{
		{name: "group: create one with members", layer: byGuard, object: withMembers(mallory), missing: bind},
		{name: "group: add a member", layer: byGuard, target: withMembers(), edit: add, missing: bind, instead: rights{"escalate policies in home"}},
		{name: "group: add a member by a merge patch", layer: byGuard, way: byPatch, target: withMembers(), edit: add, missing: bind},
		{name: "group: take a member's place", layer: byGuard, target: withMembers(v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "maya"}),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Members[0] = mallory }), missing: bind},
		{name: "group: add an application", layer: byGuard, target: withMembers(mallory),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) {
				g.Spec.Members = append(g.Spec.Members, v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberApplication, Name: "mine"})
			}), missing: bind},
		{name: "group: apply an entry beside another manager's", layer: byGuard, way: byApply, target: withMembers(v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "maya"}),
			object: withMembers(mallory), missing: bind},
		{name: "group: add a member with the right to another group", layer: byGuard, target: withMembers(), edit: add,
			held: rights{"bind groups/deployers in guest", "bind groups/% in home"}, missing: bind},
		{name: "group: join from a member's side", layer: byGuard,
			target: func(w *attackWorld, name string) client.Object { return member(w.org, w.guest, name) },
			edit:   edits(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Groups = join }), missing: rights{"bind groups/deployers in guest"}},
		{name: "group: join one of another namespace from a member's side", layer: byGuard,
			target: func(w *attackWorld, name string) client.Object { return member(w.org, w.guest, name) },
			edit: edits(func(w *attackWorld, m *v1alpha1.Member) {
				m.Spec.Groups = []v1alpha1.GroupRef{{Name: "admins", Namespace: v1alpha1.NamespaceName(w.home)}}
			}), held: rights{"bind groups/admins in guest"}, missing: rights{"bind groups/admins in home"}},
		{name: "group: join from an application's side", layer: byGuard,
			target: func(w *attackWorld, name string) client.Object { return application(w.org, w.guest, name) },
			edit:   edits(func(_ *attackWorld, a *v1alpha1.Application) { a.Spec.Groups = join }), missing: rights{"bind groups/deployers in guest"}},
		{name: "group: an application that joins at birth", layer: byGuard, object: joining, missing: deployers},
		{name: "group: a member that joins at birth", layer: byGuard, object: joiner, held: rights{"issue members/% in guest"}, missing: deployers},
		{name: "group: apply a membership from a member's side", layer: byGuard, way: byApply, target: func(w *attackWorld, name string) client.Object { return member(w.org, w.guest, name) },
			object: joiner, missing: deployers},
		{name: "group: apply a membership from an application's side", layer: byGuard, way: byApply, target: func(w *attackWorld, name string) client.Object { return application(w.org, w.guest, name) },
			object: joining, missing: deployers},
		{name: "group: take in all users", layer: byGuard, target: withMembers(),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipAllUsers }), missing: everybody},
		{name: "group: take in all applications", layer: byGuard, target: withMembers(),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipAllApplications }), missing: everybody},
		{name: "group: take in all users with the right to the group alone", layer: byGuard, target: withMembers(),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipAllUsers }),
			held: bind, missing: everybody[:1]},
		{name: "group: take in all users instead of all applications", layer: byGuard, target: dynamic(v1alpha1.MembershipAllApplications),
			edit:    edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipAllUsers }),
			missing: everybody, instead: rights{"escalate policies in home"}},
		{name: "group: apply that it takes in all users", layer: byGuard, way: byApply, target: withMembers(), object: dynamic(v1alpha1.MembershipAllUsers), missing: everybody},
		{name: "group: take in all users of one that is granted a set", layer: byGuard, target: withMembers(),
			prepare: func(t *testing.T, w *attackWorld, obj client.Object) {
				granted := policy(w.org, w.guest, obj.GetName(), &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: v1alpha1.ObjectName(obj.GetName())}, onOrganization("IAMReadOnly"))
				create(t, granted)
				awaitReady(t, granted)
			},
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipAllUsers }),
			held: everybody, missing: rights{"bind permissionsets/iamreadonly in home"}},
		{name: "group: create one of everybody", layer: byGuard, object: dynamic(v1alpha1.MembershipAllUsers), missing: everybody},
		{name: "group: create anew, with oneself in it, one that a policy still mentions", layer: byGuard,
			object:  func(w *attackWorld, name string) client.Object { return group(w.org, w.guest, "gone-"+name, mallory) },
			missing: rights{"bind groups/gone-% in guest"}},
	}
}

func memberAttacks() []attack {
	issue := rights{"issue members/% in guest"}
	somebody := func(w *attackWorld, name string) client.Object { return member(w.org, w.guest, name) }
	changed := func(edit func(w *attackWorld, m *v1alpha1.Member)) func(*attackWorld, client.Object) {
		return edits(edit)
	}
	annotated := func(name string) func(*attackWorld, client.Object) {
		return changed(func(_ *attackWorld, m *v1alpha1.Member) {
			m.Annotations = map[string]string{name: "2026-01-01T00:00:00Z"}
		})
	}
	passwordOf := &v1alpha1.MemberPassword{SecretRef: &v1alpha1.SecretKeyRef{Name: "mallorys", Key: "password"}}
	readSecret := "get secrets/mallorys in guest"
	withPassword := func(w *attackWorld, name string) client.Object {
		m := member(w.org, w.guest, name)
		m.Spec.Password = passwordOf
		return m
	}
	oneself := func(w *attackWorld) []v1alpha1.UserName { return []v1alpha1.UserName{v1alpha1.UserName(w.user)} }
	victim := func(*attackWorld) []v1alpha1.UserName { return []v1alpha1.UserName{"victim@corp.example"} }
	as := func(users func(*attackWorld) []v1alpha1.UserName) func(*attackWorld, string) client.Object {
		return func(w *attackWorld, name string) client.Object {
			m := member(w.org, w.guest, name)
			m.Spec.KubernetesUsers = users(w)
			return m
		}
	}
	return []attack{
		{name: "member: create one", layer: byGuard, object: somebody, missing: issue},
		{name: "member: create one with the right to grant everything", layer: byGuard, object: somebody, held: rights{"escalate policies in home", "issue organizations in home"}, missing: issue},
		{name: "member: create one that is oneself", layer: byGuard, object: as(oneself), missing: issue},
		{name: "member: create one that is somebody else", layer: byGuard, object: as(victim), held: issue, missing: rights{"impersonate users/victim@corp.example"}},
		{name: "member: create one with a password Secret that one may not read", layer: byGuard, object: withPassword, held: issue, missing: rights{readSecret}},
		{name: "member: create one with the right to another name", layer: byGuard, object: somebody, held: rights{"issue members/maya in guest", "issue members/% in home"}, missing: issue},
		{name: "member: create one with the right to issue to applications", layer: byGuard, object: somebody, held: rights{"issue applications/% in guest"}, missing: issue},
		{name: "member: invite a guest", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			m := member(w.org, w.guest, name)
			m.Spec.Type, m.Spec.Username = v1alpha1.TypeGuest, ""
			return m
		}, missing: issue},
		{name: "member: one's own e-mail on somebody", layer: byGuard, target: somebody, edit: changed(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Email = "mallory@evil.example" }), missing: issue},
		{name: "member: apply an e-mail that another manager owns", layer: byGuard, way: byApply, target: somebody, object: func(w *attackWorld, name string) client.Object {
			m := member(w.org, w.guest, name)
			m.Spec.Email = "mallory@evil.example"
			return m
		}, missing: issue},
		{name: "member: another's username", layer: byGuard, target: somebody, edit: changed(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Username += "x" }), missing: issue},
		{name: "member: apply a username that another manager owns", layer: byGuard, way: byApply, target: somebody, object: func(w *attackWorld, name string) client.Object {
			m := member(w.org, w.guest, name)
			m.Spec.Username += "x"
			return m
		}, missing: issue},
		{name: "member: apply one's own password Secret on somebody", layer: byGuard, way: byApply, target: somebody, object: withPassword, held: rights{readSecret}, missing: issue},
		{name: "member: another key of the password Secret", layer: byGuard, target: withPassword, held: issue,
			edit: changed(func(_ *attackWorld, m *v1alpha1.Member) {
				m.Spec.Password = &v1alpha1.MemberPassword{SecretRef: &v1alpha1.SecretKeyRef{Name: "mallorys", Key: "other"}}
			}), missing: rights{readSecret}},
		{name: "member: one's own password Secret on somebody", layer: byGuard, target: somebody, held: rights{readSecret},
			edit: changed(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Password = passwordOf }), missing: issue},
		{name: "member: a password Secret that one may not read", layer: byGuard, target: somebody, held: issue,
			edit: changed(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Password = passwordOf }), missing: rights{readSecret}},
		{name: "member: have a password generated", layer: byGuard, target: somebody, edit: changed(func(_ *attackWorld, m *v1alpha1.Member) {
			m.Spec.Password = &v1alpha1.MemberPassword{Generate: &v1alpha1.GeneratedPassword{SecretName: "mallorys"}}
		}), missing: issue},
		{name: "member: one's own Kubernetes user on somebody", layer: byGuard, target: somebody,
			edit: changed(func(w *attackWorld, m *v1alpha1.Member) { m.Spec.KubernetesUsers = oneself(w) }), missing: issue},
		{name: "member: apply one's own Kubernetes user on somebody", layer: byGuard, way: byApply, target: somebody, object: as(oneself), missing: issue},
		{name: "member: one's own Kubernetes user in the place of another", layer: byGuard, target: as(victim),
			edit: changed(func(w *attackWorld, m *v1alpha1.Member) { m.Spec.KubernetesUsers = oneself(w) }), missing: issue},
		{name: "member: take away a Kubernetes user", layer: byGuard, target: as(victim),
			edit: changed(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.KubernetesUsers = nil }), missing: issue},
		{name: "member: claim another's Kubernetes user", layer: byGuard, target: somebody, held: issue,
			edit:    changed(func(w *attackWorld, m *v1alpha1.Member) { m.Spec.KubernetesUsers = victim(w) }),
			missing: rights{"impersonate users/victim@corp.example"}},
		{name: "member: claim another's Kubernetes user in one's own Organization", layer: byGuard, held: rights{"issue members in rival", "escalate organizations in rival"},
			object: func(w *attackWorld, name string) client.Object {
				m := member(w.other, w.rival, name)
				m.Spec.KubernetesUsers = victim(w)
				return m
			}, missing: rights{"impersonate users/victim@corp.example"}},
		{name: "member: claim another's Kubernetes user with the right to be somebody else", layer: byGuard, target: somebody, held: append(rights{"impersonate users/mallory@corp.example"}, issue...),
			edit:    changed(func(w *attackWorld, m *v1alpha1.Member) { m.Spec.KubernetesUsers = victim(w) }),
			missing: rights{"impersonate users/victim@corp.example"}},
		{name: "member: claim a ServiceAccount as one's Kubernetes user", layer: byGuard, target: somebody, held: issue,
			edit: changed(func(w *attackWorld, m *v1alpha1.Member) {
				m.Spec.KubernetesUsers = []v1alpha1.UserName{v1alpha1.UserName("system:serviceaccount:" + w.home + ":robot")}
			}), missing: rights{"impersonate serviceaccounts/robot in home"}},
		{name: "member: lift a lock that arose", layer: byGuard, target: somebody, edit: annotated(v1alpha1.UnlockAtAnnotation), missing: issue},
		{name: "member: forget a second factor", layer: byGuard, target: somebody, edit: annotated(v1alpha1.ResetMFAAtAnnotation), missing: issue},
		{name: "member: apply that a lock is lifted", layer: byGuard, way: byApply, target: somebody, object: func(w *attackWorld, name string) client.Object {
			m := member(w.org, w.guest, name)
			m.Annotations = map[string]string{v1alpha1.UnlockAtAnnotation: "2026-01-01T00:00:00Z"}
			return m
		}, missing: issue},
		{name: "member: lift a declared lock", layer: byGuard, target: func(w *attackWorld, name string) client.Object {
			m := member(w.org, w.guest, name)
			m.Spec.State = v1alpha1.StateLocked
			return m
		}, edit: changed(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateActive }), missing: issue},
	}
}

func applicationAttacks() []attack {
	issue := rights{"issue applications/% in guest"}
	robot := []v1alpha1.ServiceAccountRef{{Name: "mallorys-robot"}}
	plain := func(w *attackWorld, name string) client.Object { return application(w.org, w.guest, name) }
	posing := func(w *attackWorld, name string) client.Object {
		a := application(w.org, w.guest, name)
		a.Spec.ServiceAccounts = []v1alpha1.ServiceAccountRef{{Name: v1alpha1.ObjectName("robot-" + name)}}
		return a
	}
	return []attack{
		{name: "application: create one that is one's own ServiceAccount", layer: byGuard, object: posing, missing: issue},
		{name: "application: one's own ServiceAccount on somebody's", layer: byGuard, target: plain,
			edit: edits(func(_ *attackWorld, a *v1alpha1.Application) { a.Spec.ServiceAccounts = robot }), missing: issue},
		{name: "application: one's own ServiceAccount beside the one that is there", layer: byGuard, target: posing,
			edit: edits(func(_ *attackWorld, a *v1alpha1.Application) {
				a.Spec.ServiceAccounts = append(a.Spec.ServiceAccounts, robot...)
			}), missing: issue},
		{name: "application: one's own ServiceAccount on somebody's with the right to issue to members", layer: byGuard, target: plain, held: rights{"issue members in guest", "escalate policies in home"},
			edit: edits(func(_ *attackWorld, a *v1alpha1.Application) { a.Spec.ServiceAccounts = robot }), missing: issue},
		{name: "application: create anew, as one's own ServiceAccount, one that a policy still mentions", layer: byGuard, missing: rights{"issue applications/heir-% in guest"},
			object: func(w *attackWorld, name string) client.Object { return posing(w, "heir-"+name) },
			prepare: func(t *testing.T, w *attackWorld, obj client.Object) {
				create(t, heir(v1alpha1.PrincipalApplication)(w, strings.TrimPrefix(obj.GetName(), "heir-")))
			}},
		{name: "application: create anew one that a group still lists", layer: byGuard, missing: rights{"bind groups/team-% in guest"},
			object: plain, prepare: func(t *testing.T, w *attackWorld, obj client.Object) {
				team := group(w.org, w.guest, "team-"+obj.GetName(), v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberApplication, Name: v1alpha1.ObjectName(obj.GetName())})
				create(t, team)
				awaitCondition(t, team, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotFound)
			}},
		{name: "application: apply a ServiceAccount beside another manager's", layer: byGuard, way: byApply, target: plain, object: posing, missing: issue},
	}
}

func keyAttacks() []attack {
	key := func(bearer v1alpha1.Bearer) func(*attackWorld, string) client.Object {
		return func(w *attackWorld, name string) client.Object { return apiKey(w.org, w.guest, name, bearer) }
	}
	deployer := v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "deployer"}
	owner := v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}
	mint := rights{"issue applications/deployer in guest"}
	existing := func(w *attackWorld, name string) client.Object {
		k := apiKey(w.org, w.guest, name, deployer)
		at := metav1.Now().Add(time.Hour)
		expires := metav1.NewTime(at).Rfc3339Copy()
		k.Spec.ExpiresAt = &expires
		return k
	}
	changed := func(edit func(k *v1alpha1.APIKey)) func(*attackWorld, client.Object) {
		return edits(func(_ *attackWorld, k *v1alpha1.APIKey) { edit(k) })
	}
	owners := func(w *attackWorld, name string) client.Object { return apiKey(w.org, w.home, name, owner) }
	rotated := changed(func(k *v1alpha1.APIKey) {
		k.Annotations = map[string]string{v1alpha1.RotateAtAnnotation: "2026-01-01T00:00:00Z"}
	})
	return []attack{
		{name: "key: mint one for an application", layer: byGuard, object: key(deployer), missing: mint},
		{name: "key: mint one for a member", layer: byGuard, object: key(v1alpha1.Bearer{Kind: v1alpha1.BearerMember, Name: "maya"}), missing: rights{"issue members/maya in guest"}},
		{name: "key: mint one for a member with the right to applications", layer: byGuard, object: key(v1alpha1.Bearer{Kind: v1alpha1.BearerMember, Name: "maya"}),
			held: rights{"issue applications in guest"}, missing: rights{"issue members/maya in guest"}},
		{name: "key: mint one for the owner", layer: byGuard, object: owners,
			missing: rights{"issue organizations/acme in home"}},
		{name: "key: mint one for the owner with the right to all principals", layer: byGuard, object: owners,
			held: rights{"issue members in home", "issue applications in home"}, missing: rights{"issue organizations/acme in home"}},
		{name: "key: mint one for a bearer that is yet to come", layer: byGuard, object: key(v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "later"}), missing: rights{"issue applications/later in guest"}},
		{name: "key: mint one with the right to grant everything", layer: byGuard, object: key(deployer), held: rights{"escalate policies in home", "issue organizations in home"}, missing: mint},
		{name: "key: mint one by server-side apply", layer: byGuard, way: byApply, object: key(deployer), missing: mint},
		{name: "key: see by a dry run what would be minted", layer: byGuard, way: byDryRun, object: key(deployer), missing: mint},
		{name: "key: rotate a member's", layer: byGuard, target: key(v1alpha1.Bearer{Kind: v1alpha1.BearerMember, Name: "maya"}), edit: rotated, held: mint, missing: rights{"issue members/maya in guest"}},
		{name: "key: rotate the owner's", layer: byGuard, target: owners, edit: rotated, held: mint, missing: rights{"issue organizations/acme in home"}},
		{name: "key: apply that the owner's is rotated", layer: byGuard, way: byApply, target: owners, missing: rights{"issue organizations/acme in home"},
			object: func(w *attackWorld, name string) client.Object {
				k := owners(w, name)
				rotated(w, k)
				return k
			}},
		{name: "key: apply an expiry that another manager owns", layer: byGuard, way: byApply, target: existing, missing: mint,
			object: func(w *attackWorld, name string) client.Object {
				k := apiKey(w.org, w.guest, name, deployer)
				later := metav1.NewTime(time.Now().Add(48 * time.Hour)).Rfc3339Copy()
				k.Spec.ExpiresAt = &later
				return k
			}},
		{name: "key: have it live from its creation", layer: byGuard, target: existing,
			edit: changed(func(k *v1alpha1.APIKey) { k.Spec.ExpiresAt, k.Spec.ExpiresIn = nil, "8760h" }), missing: mint},
		{name: "key: let one live longer", layer: byGuard, target: existing, edit: changed(func(k *v1alpha1.APIKey) {
			later := metav1.NewTime(k.Spec.ExpiresAt.Add(24 * time.Hour))
			k.Spec.ExpiresAt = &later
		}), missing: mint},
		{name: "key: let one live for ever", layer: byGuard, target: existing, edit: changed(func(k *v1alpha1.APIKey) { k.Spec.ExpiresAt = nil }), missing: mint},
		{name: "key: have one rotate", layer: byGuard, target: existing, edit: changed(func(k *v1alpha1.APIKey) {
			k.Spec.ExpiresAt, k.Spec.Rotation = nil, &v1alpha1.Rotation{Every: "24h", Overlap: "1h"}
		}), missing: mint},
		{name: "key: rotate one now", layer: byGuard, target: existing, edit: rotated, missing: mint},
		{name: "key: have its Secret copied elsewhere", layer: byGuard, target: existing, edit: changed(func(k *v1alpha1.APIKey) {
			k.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Annotations: map[string]string{"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}
		}), missing: mint},
	}
}
