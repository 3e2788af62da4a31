// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// attacks are the rows of the matrix, by what is attacked.
func attacks() []attack {
	var rows []attack
	for _, some := range [][]attack{
		policyAttacks(), policyUpdateAttacks(), groupAttacks(), memberAttacks(), applicationAttacks(), keyAttacks(),
		organizationAttacks(), permissionSetAttacks(), idAttacks(), otherLayers(),
	} {
		rows = append(rows, some...)
	}
	return rows
}

func onProject(name v1alpha1.ObjectName, sets ...v1alpha1.PermissionSetName) v1alpha1.PolicyRule {
	return v1alpha1.PolicyRule{PermissionSets: sets, Scope: v1alpha1.ScopeProjects, ProjectRefs: []v1alpha1.ProjectRef{{Name: name}}}
}

func onOrganization(sets ...v1alpha1.PermissionSetName) v1alpha1.PolicyRule {
	return v1alpha1.PolicyRule{PermissionSets: sets, Scope: v1alpha1.ScopeOrganization}
}

func deployers() *v1alpha1.Principal {
	return &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "deployers"}
}

// grants makes a policy of the guest namespace for the group of deployers.
func grants(rules ...v1alpha1.PolicyRule) func(*attackWorld, string) client.Object {
	return func(w *attackWorld, name string) client.Object {
		return policy(w.org, w.guest, name, deployers(), rules...)
	}
}

// edits changes an object of a type.
func edits[T client.Object](edit func(w *attackWorld, obj T)) func(*attackWorld, client.Object) {
	return func(w *attackWorld, obj client.Object) { edit(w, obj.(T)) }
}

func rule(edit func(r *v1alpha1.PolicyRule)) func(*attackWorld, client.Object) {
	return edits(func(_ *attackWorld, p *v1alpha1.Policy) { edit(&p.Spec.Rules[0]) })
}

func bindSet(namespace, set string) right3 { return ours("bind", "permissionsets", namespace, set) }

const onOffice = `inIpRange(request.ip, "10.0.0.0/8")`

func policyAttacks() []attack {
	return []attack{
		{name: "policy: grant on the Organization", layer: byGuard, object: grants(onOrganization("IAMManager")),
			missing: []right3{ours("bind", "organizations", "home", "acme"), bindSet("home", "iammanager")}},
		{name: "policy: grant on the Organization with the right to the Organization alone", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held: []right3{ours("bind", "organizations", "home", "acme")}, missing: []right3{bindSet("home", "iammanager")}},
		{name: "policy: grant on the Organization with the right to the set alone", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held: []right3{bindSet("home", "iammanager")}, missing: []right3{ours("bind", "organizations", "home", "acme")}},
		{name: "policy: grant on the Organization with the right to another set", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held: []right3{ours("bind", "organizations", "home", "acme"), bindSet("home", "iamreadonly")}, missing: []right3{bindSet("home", "iammanager")}},
		{name: "policy: grant on the Organization with the rights in the wrong namespace", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held:    []right3{ours("bind", "organizations", "guest", "acme"), bindSet("guest", "iammanager")},
			missing: []right3{ours("bind", "organizations", "home", "acme"), bindSet("home", "iammanager")}},
		{name: "policy: grant on a project", layer: byGuard, object: grants(onProject("web", "InstancesFullAccess")),
			missing: []right3{ours("bind", "projects", "guest", "web"), bindSet("guest", "instancesfullaccess")}},
		{name: "policy: grant on another project than one may give away", layer: byGuard, object: grants(onProject("other", "InstancesFullAccess")),
			held: []right3{ours("bind", "projects", "guest", "web"), bindSet("guest", "instancesfullaccess")}, missing: []right3{ours("bind", "projects", "guest", "other")}},
		{name: "policy: grant on the default project", layer: byGuard, object: grants(onProject("default", "InstancesFullAccess")),
			missing: []right3{ours("bind", "projects", "home", "default"), bindSet("home", "instancesfullaccess")}},
		{name: "policy: grant on a project of the home namespace from the guest's", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			r := onProject("api", "InstancesFullAccess")
			r.ProjectRefs[0].Namespace = v1alpha1.NamespaceName(w.home)
			return policy(w.org, w.guest, name, deployers(), r)
		}, held: []right3{ours("bind", "projects", "guest", "api"), bindSet("guest", "instancesfullaccess")},
			missing: []right3{ours("bind", "projects", "home", "api"), bindSet("home", "instancesfullaccess")}},
		{name: "policy: grant on a project that is yet to come", layer: byGuard, object: grants(onProject("later", "InstancesFullAccess")),
			missing: []right3{ours("bind", "projects", "guest", "later"), bindSet("guest", "instancesfullaccess")}},
		{name: "policy: grant a set that is yet to come", layer: byGuard, object: grants(onProject("web", "TheirSecretSet")),
			missing: []right3{ours("bind", "projects", "guest", "web"), bindSet("guest", "theirsecretset")}},
		{name: "policy: a second rule hides behind one that is allowed", layer: byGuard, object: grants(onProject("web", "InstancesReadOnly"), onOrganization("IAMManager")),
			held:    []right3{ours("bind", "projects", "guest", "web"), bindSet("guest", "instancesreadonly")},
			missing: []right3{ours("bind", "organizations", "home", "acme"), bindSet("home", "iammanager")}},
		{name: "policy: grant oneself, by a Member to come", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			return policy(w.org, w.guest, name, &v1alpha1.Principal{Kind: v1alpha1.PrincipalMember, Name: "mallory"}, onProject("web", "InstancesReadOnly"))
		}, missing: []right3{ours("bind", "projects", "guest", "web"), bindSet("guest", "instancesreadonly")}},
		{name: "policy: see by a dry run what would pass", layer: byGuard, way: byDryRun, object: grants(onProject("web", "InstancesReadOnly")),
			missing: []right3{ours("bind", "projects", "guest", "web"), bindSet("guest", "instancesreadonly")}},
		{name: "policy: everything, with escalate on policies of the wrong namespace", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held:    []right3{ours("escalate", "policies", "guest", "")},
			missing: []right3{ours("bind", "organizations", "home", "acme"), bindSet("home", "iammanager")}, instead: []right3{ours("escalate", "policies", "home", "")}},
	}
}

func policyUpdateAttacks() []attack {
	web := onProject("web", "InstancesReadOnly")
	guarded := web
	guarded.Condition = onOffice
	project, set := ours("bind", "projects", "guest", "web"), bindSet("guest", "instancesreadonly")
	return []attack{
		{name: "policy: add a rule", layer: byGuard, target: grants(web),
			edit: edits(func(_ *attackWorld, p *v1alpha1.Policy) {
				p.Spec.Rules = append(p.Spec.Rules, onProject("web", "InstancesFullAccess"))
			}),
			missing: []right3{project, bindSet("guest", "instancesfullaccess")}},
		{name: "policy: add a set to a rule", layer: byGuard, target: grants(web),
			edit:    rule(func(r *v1alpha1.PolicyRule) { r.PermissionSets = append(r.PermissionSets, "InstancesFullAccess") }),
			missing: []right3{project, bindSet("guest", "instancesfullaccess")}},
		{name: "policy: add a project to a rule", layer: byGuard, target: grants(web),
			edit: rule(func(r *v1alpha1.PolicyRule) {
				r.ProjectRefs = append(r.ProjectRefs, v1alpha1.ProjectRef{Name: "default"})
			}),
			missing: []right3{ours("bind", "projects", "home", "default"), bindSet("home", "instancesreadonly")}},
		{name: "policy: from a project to the Organization", layer: byGuard, target: grants(web),
			edit:    rule(func(r *v1alpha1.PolicyRule) { r.Scope, r.ProjectRefs = v1alpha1.ScopeOrganization, nil }),
			missing: []right3{ours("bind", "organizations", "home", "acme"), bindSet("home", "instancesreadonly")}},
		{name: "policy: drop a condition", layer: byGuard, target: grants(guarded), edit: rule(func(r *v1alpha1.PolicyRule) { r.Condition = "" }), missing: []right3{project, set}},
		{name: "policy: weaken a condition", layer: byGuard, target: grants(guarded), edit: rule(func(r *v1alpha1.PolicyRule) { r.Condition = "true" }), missing: []right3{project, set}},
		{name: "policy: switch the principal", layer: byGuard, target: grants(web),
			edit: edits(func(_ *attackWorld, p *v1alpha1.Policy) {
				p.Spec.Principal = &v1alpha1.Principal{Kind: v1alpha1.PrincipalApplication, Name: "deployer"}
			}), missing: []right3{project, set}},
		{name: "policy: give a principal to one that has none", layer: byGuard,
			target: func(w *attackWorld, name string) client.Object { return policy(w.org, w.guest, name, nil, web) },
			edit:   edits(func(_ *attackWorld, p *v1alpha1.Policy) { p.Spec.Principal = deployers() }), missing: []right3{project, set}},
		{name: "policy: a merge patch", layer: byGuard, way: byPatch, target: grants(guarded), edit: rule(func(r *v1alpha1.PolicyRule) { r.Condition = "" }), missing: []right3{project, set}},
		{name: "policy: a dry run of an edit", layer: byGuard, way: byDryRun, target: grants(guarded), edit: rule(func(r *v1alpha1.PolicyRule) { r.Condition = "" }), missing: []right3{project, set}},
		{name: "policy: apply rules that another manager owns", layer: byGuard, way: byApply, target: grants(guarded), object: grants(web), missing: []right3{project, set}},
		{name: "policy: bind a successor of a deleted group by an edit of the description", layer: byGuard,
			target: func(w *attackWorld, name string) client.Object {
				return policy(w.org, w.guest, name, &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: v1alpha1.ObjectName("heirs-" + name)}, web)
			},
			prepare: func(t *testing.T, w *attackWorld, obj client.Object) {
				heirs := group(w.org, w.guest, "heirs-"+obj.GetName())
				create(t, heirs)
				awaitReady(t, heirs, obj.(*v1alpha1.Policy))
				remove(t, heirs)
				awaitReason(t, obj.(*v1alpha1.Policy), v1alpha1.ReasonPrincipalDeleted)
				create(t, group(w.org, w.guest, "heirs-"+obj.GetName()))
			},
			edit: edits(func(_ *attackWorld, p *v1alpha1.Policy) { p.Spec.Description = "only words" }), missing: []right3{project, set}},
	}
}

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
	everybody := []right3{ours("bind", "organizations", "home", "acme"), ours("bind", "groups", "guest", "%")}
	bind := []right3{ours("bind", "groups", "guest", "%")}
	join := []v1alpha1.GroupRef{{Name: "deployers"}}
	return []attack{
		{name: "group: create one with members", layer: byGuard, object: withMembers(mallory), missing: bind},
		{name: "group: add a member", layer: byGuard, target: withMembers(),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Members = append(g.Spec.Members, mallory) }), missing: bind},
		{name: "group: add an application", layer: byGuard, target: withMembers(mallory),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) {
				g.Spec.Members = append(g.Spec.Members, v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberApplication, Name: "mine"})
			}), missing: bind},
		{name: "group: apply an entry beside another manager's", layer: byGuard, way: byApply, target: withMembers(v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "maya"}),
			object: withMembers(mallory), missing: bind},
		{name: "group: add a member with the right to another group", layer: byGuard, target: withMembers(),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Members = append(g.Spec.Members, mallory) }),
			held: []right3{ours("bind", "groups", "guest", "deployers"), ours("bind", "groups", "home", "%")}, missing: bind},
		{name: "group: join from a member's side", layer: byGuard,
			target: func(w *attackWorld, name string) client.Object { return member(w.org, w.guest, name) },
			edit:   edits(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Groups = join }), missing: []right3{ours("bind", "groups", "guest", "deployers")}},
		{name: "group: join one of another namespace from a member's side", layer: byGuard,
			target: func(w *attackWorld, name string) client.Object { return member(w.org, w.guest, name) },
			edit: edits(func(w *attackWorld, m *v1alpha1.Member) {
				m.Spec.Groups = []v1alpha1.GroupRef{{Name: "admins", Namespace: v1alpha1.NamespaceName(w.home)}}
			}), held: []right3{ours("bind", "groups", "guest", "admins")}, missing: []right3{ours("bind", "groups", "home", "admins")}},
		{name: "group: join from an application's side", layer: byGuard,
			target: func(w *attackWorld, name string) client.Object { return application(w.org, w.guest, name) },
			edit:   edits(func(_ *attackWorld, a *v1alpha1.Application) { a.Spec.Groups = join }), missing: []right3{ours("bind", "groups", "guest", "deployers")}},
		{name: "group: an application that joins at birth", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			a := application(w.org, w.guest, name)
			a.Spec.Groups = join
			return a
		}, missing: []right3{ours("bind", "groups", "guest", "deployers")}},
		{name: "group: take in all users", layer: byGuard, target: withMembers(),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipAllUsers }), missing: everybody},
		{name: "group: take in all applications", layer: byGuard, target: withMembers(),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipAllApplications }), missing: everybody},
		{name: "group: take in all users with the right to the group alone", layer: byGuard, target: withMembers(),
			edit: edits(func(_ *attackWorld, g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipAllUsers }),
			held: bind, missing: everybody[:1]},
		{name: "group: create one of everybody", layer: byGuard, object: dynamic(v1alpha1.MembershipAllUsers), missing: everybody},
		{name: "group: create anew, with oneself in it, one that a policy still mentions", layer: byGuard,
			object:  func(w *attackWorld, name string) client.Object { return group(w.org, w.guest, "gone-"+name, mallory) },
			missing: []right3{ours("bind", "groups", "guest", "gone-%")}},
	}
}

func memberAttacks() []attack {
	issue := []right3{ours("issue", "members", "guest", "%")}
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
	readSecret := right3{"get", "", "secrets", "guest", "mallorys"}
	return []attack{
		{name: "member: create one", layer: byGuard, object: somebody, missing: issue},
		{name: "member: create one with the right to another name", layer: byGuard, object: somebody, held: []right3{ours("issue", "members", "guest", "maya"), ours("issue", "members", "home", "%")}, missing: issue},
		{name: "member: create one with the right to issue to applications", layer: byGuard, object: somebody, held: []right3{ours("issue", "applications", "guest", "%")}, missing: issue},
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
		{name: "member: one's own password Secret on somebody", layer: byGuard, target: somebody, held: []right3{readSecret},
			edit: changed(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Password = passwordOf }), missing: issue},
		{name: "member: a password Secret that one may not read", layer: byGuard, target: somebody, held: issue,
			edit: changed(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Password = passwordOf }), missing: []right3{readSecret}},
		{name: "member: have a password generated", layer: byGuard, target: somebody, edit: changed(func(_ *attackWorld, m *v1alpha1.Member) {
			m.Spec.Password = &v1alpha1.MemberPassword{Generate: &v1alpha1.GeneratedPassword{SecretName: "mallorys"}}
		}), missing: issue},
		{name: "member: one's own Kubernetes user on somebody", layer: byGuard, target: somebody,
			edit: changed(func(w *attackWorld, m *v1alpha1.Member) {
				m.Spec.KubernetesUsers = []v1alpha1.UserName{v1alpha1.UserName(w.user)}
			}), missing: issue},
		{name: "member: claim another's Kubernetes user", layer: byGuard, target: somebody, held: issue,
			edit: changed(func(_ *attackWorld, m *v1alpha1.Member) {
				m.Spec.KubernetesUsers = []v1alpha1.UserName{"victim@corp.example"}
			}),
			missing: []right3{{"impersonate", "", "users", "", "victim@corp.example"}}},
		{name: "member: claim a ServiceAccount as one's Kubernetes user", layer: byGuard, target: somebody, held: issue,
			edit: changed(func(w *attackWorld, m *v1alpha1.Member) {
				m.Spec.KubernetesUsers = []v1alpha1.UserName{v1alpha1.UserName("system:serviceaccount:" + w.home + ":robot")}
			}), missing: []right3{{"impersonate", "", "serviceaccounts", "home", "robot"}}},
		{name: "member: lift a lock that arose", layer: byGuard, target: somebody, edit: annotated(v1alpha1.UnlockAtAnnotation), missing: issue},
		{name: "member: forget a second factor", layer: byGuard, target: somebody, edit: annotated(v1alpha1.ResetMFAAtAnnotation), missing: issue},
		{name: "member: lift a declared lock", layer: byGuard, target: func(w *attackWorld, name string) client.Object {
			m := member(w.org, w.guest, name)
			m.Spec.State = v1alpha1.StateLocked
			return m
		}, edit: changed(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateActive }), missing: issue},
	}
}

func applicationAttacks() []attack {
	issue := []right3{ours("issue", "applications", "guest", "%")}
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
		{name: "application: apply a ServiceAccount beside another manager's", layer: byGuard, way: byApply, target: plain, object: posing, missing: issue},
	}
}

func keyAttacks() []attack {
	key := func(bearer v1alpha1.Bearer) func(*attackWorld, string) client.Object {
		return func(w *attackWorld, name string) client.Object { return apiKey(w.org, w.guest, name, bearer) }
	}
	deployer := v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "deployer"}
	owner := v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}
	mint := []right3{ours("issue", "applications", "guest", "deployer")}
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
	return []attack{
		{name: "key: mint one for an application", layer: byGuard, object: key(deployer), missing: mint},
		{name: "key: mint one for a member", layer: byGuard, object: key(v1alpha1.Bearer{Kind: v1alpha1.BearerMember, Name: "maya"}), missing: []right3{ours("issue", "members", "guest", "maya")}},
		{name: "key: mint one for a member with the right to applications", layer: byGuard, object: key(v1alpha1.Bearer{Kind: v1alpha1.BearerMember, Name: "maya"}),
			held: []right3{ours("issue", "applications", "guest", "")}, missing: []right3{ours("issue", "members", "guest", "maya")}},
		{name: "key: mint one for the owner", layer: byGuard, object: func(w *attackWorld, name string) client.Object { return apiKey(w.org, w.home, name, owner) },
			missing: []right3{ours("issue", "organizations", "home", "acme")}},
		{name: "key: mint one for the owner with the right to all principals", layer: byGuard, object: func(w *attackWorld, name string) client.Object { return apiKey(w.org, w.home, name, owner) },
			held: []right3{ours("issue", "members", "home", ""), ours("issue", "applications", "home", "")}, missing: []right3{ours("issue", "organizations", "home", "acme")}},
		{name: "key: mint one for a bearer that is yet to come", layer: byGuard, object: key(v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "later"}), missing: []right3{ours("issue", "applications", "guest", "later")}},
		{name: "key: let one live longer", layer: byGuard, target: existing, edit: changed(func(k *v1alpha1.APIKey) {
			later := metav1.NewTime(k.Spec.ExpiresAt.Add(24 * time.Hour))
			k.Spec.ExpiresAt = &later
		}), missing: mint},
		{name: "key: let one live for ever", layer: byGuard, target: existing, edit: changed(func(k *v1alpha1.APIKey) { k.Spec.ExpiresAt = nil }), missing: mint},
		{name: "key: have one rotate", layer: byGuard, target: existing, edit: changed(func(k *v1alpha1.APIKey) {
			k.Spec.ExpiresAt, k.Spec.Rotation = nil, &v1alpha1.Rotation{Every: "24h", Overlap: "1h"}
		}), missing: mint},
		{name: "key: rotate one now", layer: byGuard, target: existing, edit: changed(func(k *v1alpha1.APIKey) {
			k.Annotations = map[string]string{v1alpha1.RotateAtAnnotation: "2026-01-01T00:00:00Z"}
		}), missing: mint},
		{name: "key: have its Secret copied elsewhere", layer: byGuard, target: existing, edit: changed(func(k *v1alpha1.APIKey) {
			k.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Annotations: map[string]string{"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}
		}), missing: mint},
	}
}

func organizationAttacks() []attack {
	escalate := []right3{ours("escalate", "organizations", "home", "%")}
	tenant := func(w *attackWorld, name string) client.Object { return organization(w.home, name) }
	changed := func(edit func(w *attackWorld, o *v1alpha1.Organization)) func(*attackWorld, client.Object) {
		return edits(edit)
	}
	return []attack{
		{name: "organization: create one, as somebody who deleted it first would", layer: byGuard, object: tenant, held: []right3{ours("create", "organizations", "home", "")}, missing: escalate},
		{name: "organization: become the owner", layer: byGuard, target: tenant, edit: changed(func(_ *attackWorld, o *v1alpha1.Organization) { o.Spec.Owner.Email = "mallory@evil.example" }), missing: escalate},
		{name: "organization: become the owner with the right to bind and to issue", layer: byGuard, target: tenant,
			held: []right3{ours("bind", "organizations", "home", ""), ours("issue", "organizations", "home", ""), ours("escalate", "policies", "home", "")},
			edit: changed(func(_ *attackWorld, o *v1alpha1.Organization) { o.Spec.Owner.Email = "mallory@evil.example" }), missing: escalate},
		{name: "organization: be the owner at the API server", layer: byGuard, target: tenant,
			edit: changed(func(w *attackWorld, o *v1alpha1.Organization) {
				o.Spec.Owner.KubernetesUsers = []v1alpha1.UserName{v1alpha1.UserName(w.user)}
			}), missing: escalate},
		{name: "organization: weaken its security", layer: byGuard, target: func(w *attackWorld, name string) client.Object {
			o := organization(w.home, name)
			o.Spec.Security = &v1alpha1.Security{MFA: v1alpha1.MFARequired}
			return o
		}, edit: changed(func(_ *attackWorld, o *v1alpha1.Organization) { o.Spec.Security = nil }), missing: escalate},
		{name: "organization: admit every namespace", layer: byGuard, target: tenant,
			edit: changed(func(_ *attackWorld, o *v1alpha1.Organization) {
				o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}
			}), missing: escalate},
		{name: "organization: apply an owner that another manager owns", layer: byGuard, way: byApply, target: tenant, object: func(w *attackWorld, name string) client.Object {
			o := organization(w.home, name)
			o.Spec.Owner.Email = "mallory@evil.example"
			return o
		}, missing: escalate},
		{name: "organization: shorten the memory of its audit log", layer: byGuard, target: tenant,
			edit: changed(func(_ *attackWorld, o *v1alpha1.Organization) { o.Spec.AuditLog = &v1alpha1.AuditLog{Retention: "24h"} }), missing: escalate},
		{name: "organization: lift a quota", layer: byGuard, target: func(w *attackWorld, name string) client.Object {
			o := organization(w.home, name)
			five := int32(5)
			o.Spec.Quotas = &v1alpha1.Quotas{Members: &five}
			return o
		}, edit: changed(func(_ *attackWorld, o *v1alpha1.Organization) { o.Spec.Quotas = nil }), missing: escalate},
	}
}

func permissionSetAttacks() []attack {
	set := func(w *attackWorld, name string) client.Object {
		full := alias(w.home) + alias(name)
		s := &v1alpha1.PermissionSet{ObjectMeta: objectMeta("", full), Spec: v1alpha1.PermissionSetSpec{
			Name: v1alpha1.PermissionSetName(full), ScopeType: v1alpha1.ScopeTypeProjects, Permissions: []v1alpha1.Permission{"shop:order:read"},
		}}
		return s
	}
	all := []right3{{"escalate", v1alpha1.GroupVersion.Group, "permissionsets", "", ""}}
	changed := func(edit func(s *v1alpha1.PermissionSet)) func(*attackWorld, client.Object) {
		return edits(func(_ *attackWorld, s *v1alpha1.PermissionSet) { edit(s) })
	}
	return []attack{
		{name: "permission set: create one", layer: byGuard, object: set, missing: all},
		{name: "permission set: widen one", layer: byGuard, target: set, edit: changed(func(s *v1alpha1.PermissionSet) { s.Spec.Permissions = append(s.Spec.Permissions, "shop:*:*") }), missing: all},
		{name: "permission set: be in all products", layer: byGuard, target: set, edit: changed(func(s *v1alpha1.PermissionSet) { s.Spec.IncludedInAllProducts = true }), missing: all},
		{name: "permission set: pass for a built-in one", layer: byGuard, target: set,
			edit: changed(func(s *v1alpha1.PermissionSet) { s.Labels = map[string]string{v1alpha1.ManagedLabel: "true"} }), missing: all},
	}
}

func idAttacks() []attack {
	const victim = "5f0c8a52-8f53-4b0e-9d4b-0d9f7f9a1c"
	restored := func(obj client.Object, last string) client.Object {
		obj.SetAnnotations(map[string]string{v1alpha1.IDAnnotation: victim + last})
		return obj
	}
	escalate := []right3{ours("escalate", "organizations", "home", "acme")}
	return []attack{
		{name: "id: restore an application's", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			return restored(application(w.org, w.guest, name), "01")
		}, missing: escalate},
		{name: "id: restore a project's", layer: byGuard, object: func(w *attackWorld, name string) client.Object { return restored(project(w.org, w.guest, name), "02") }, missing: escalate},
		{name: "id: restore an SSH key's", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			return restored(sshKey(w.org, w.guest, name, "web"), "03")
		}, missing: escalate},
		{name: "id: restore a group's with the right to the group", layer: byGuard, object: func(w *attackWorld, name string) client.Object { return restored(group(w.org, w.guest, name), "04") },
			held: []right3{ours("bind", "groups", "guest", "%")}, missing: escalate},
	}
}

func otherLayers() []attack {
	key := func(w *attackWorld, name string) client.Object {
		return apiKey(w.org, w.guest, name, v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "deployer"})
	}
	app := func(w *attackWorld, name string) client.Object { return application(w.org, w.guest, name) }
	describe := func(_ *attackWorld, obj client.Object) {
		switch o := obj.(type) {
		case *v1alpha1.APIKey:
			o.Spec.Description = "honest"
		case *v1alpha1.Application:
			o.Spec.Description = "honest"
		case *v1alpha1.Member:
			o.Spec.FirstName = "Honest"
		}
	}
	return []attack{
		{name: "key: hand it to another bearer", layer: bySchema, reason: "bearer cannot change", target: key, twin: describe,
			edit: edits(func(_ *attackWorld, k *v1alpha1.APIKey) { k.Spec.Bearer.Name = "other" })},
		{name: "application: move to another Organization", layer: bySchema, reason: "organizationRef cannot change", target: app, twin: describe,
			edit: edits(func(_ *attackWorld, a *v1alpha1.Application) { a.Spec.OrganizationRef.Name = "other" })},
		{name: "member: from guest to member", layer: bySchema, reason: "type cannot change", target: func(w *attackWorld, name string) client.Object { return member(w.org, w.guest, name) }, twin: describe,
			edit: edits(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Type, m.Spec.Username = v1alpha1.TypeGuest, "" })},
		{name: "status: write one's own id", layer: byRBAC, way: byStatus, target: app,
			edit: edits(func(_ *attackWorld, a *v1alpha1.Application) { a.Status.ID = "5f0c8a52-8f53-4b0e-9d4b-0d9f7f9a1cff" })},
		{name: "id: change it once there is one", layer: byValidator, reason: "at creation only", target: app, held: []right3{ours("escalate", "organizations", "home", "acme")}, twin: describe,
			edit: func(_ *attackWorld, obj client.Object) {
				obj.SetAnnotations(map[string]string{v1alpha1.IDAnnotation: "5f0c8a52-8f53-4b0e-9d4b-0d9f7f9a1c05"})
			}},
		{name: "key: mint the owner's outside of the home namespace", layer: byValidator, reason: "own namespace only", held: []right3{ours("issue", "organizations", "home", "acme")},
			object: func(w *attackWorld, name string) client.Object {
				return apiKey(w.org, w.guest, name, v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
			}},
		{name: "member: be called as the owner is", layer: byValidator, reason: "choose another username", held: []right3{ours("issue", "members", "guest", "")},
			object: func(w *attackWorld, name string) client.Object {
				m := member(w.org, w.guest, name)
				m.Spec.Username = string(w.org.Spec.Owner.Email)
				return m
			}, twin: edits(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Username = m.Name })},
	}
}
