// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
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

const onOffice = `inIpRange(request.ip, "10.0.0.0/8")`

func policyAttacks() []attack {
	return []attack{
		{name: "policy: grant on the Organization", layer: byGuard, object: grants(onOrganization("IAMManager")),
			missing: rights{"bind organizations/acme in home", "bind permissionsets/iammanager in home"}},
		{name: "policy: grant on the Organization with the right to the Organization alone", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held: rights{"bind organizations/acme in home"}, missing: rights{"bind permissionsets/iammanager in home"}},
		{name: "policy: grant on the Organization with the right to the set alone", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held: rights{"bind permissionsets/iammanager in home"}, missing: rights{"bind organizations/acme in home"}},
		{name: "policy: grant on the Organization with the right to another set", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held: rights{"bind organizations/acme in home", "bind permissionsets/iamreadonly in home"}, missing: rights{"bind permissionsets/iammanager in home"}},
		{name: "policy: grant on the Organization with the rights in the wrong namespace", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held:    rights{"bind organizations/acme in guest", "bind permissionsets/iammanager in guest"},
			missing: rights{"bind organizations/acme in home", "bind permissionsets/iammanager in home"}},
		{name: "policy: grant on a project", layer: byGuard, object: grants(onProject("web", "InstancesFullAccess")),
			missing: rights{"bind projects/web in guest", "bind permissionsets/instancesfullaccess in guest"}},
		{name: "policy: grant on another project than one may give away", layer: byGuard, object: grants(onProject("other", "InstancesFullAccess")),
			held: rights{"bind projects/web in guest", "bind permissionsets/instancesfullaccess in guest"}, missing: rights{"bind projects/other in guest"}},
		{name: "policy: grant on the default project", layer: byGuard, object: grants(onProject("default", "InstancesFullAccess")),
			missing: rights{"bind projects/default in home", "bind permissionsets/instancesfullaccess in home"}},
		{name: "policy: grant on a project of the home namespace from the guest's", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			r := onProject("api", "InstancesFullAccess")
			r.ProjectRefs[0].Namespace = v1alpha1.NamespaceName(w.home)
			return policy(w.org, w.guest, name, deployers(), r)
		}, held: rights{"bind projects/api in guest", "bind permissionsets/instancesfullaccess in guest"},
			missing: rights{"bind projects/api in home", "bind permissionsets/instancesfullaccess in home"}},
		{name: "policy: grant on a project that is yet to come", layer: byGuard, object: grants(onProject("later", "InstancesFullAccess")),
			missing: rights{"bind projects/later in guest", "bind permissionsets/instancesfullaccess in guest"}},
		{name: "policy: grant a set that is yet to come", layer: byGuard, object: grants(onProject("web", "TheirSecretSet")),
			missing: rights{"bind projects/web in guest", "bind permissionsets/theirsecretset in guest"}},
		{name: "policy: a second rule hides behind one that is allowed", layer: byGuard, object: grants(onProject("web", "InstancesReadOnly"), onOrganization("IAMManager")),
			held:    rights{"bind projects/web in guest", "bind permissionsets/instancesreadonly in guest"},
			missing: rights{"bind organizations/acme in home", "bind permissionsets/iammanager in home"}},
		{name: "policy: grant oneself, by a Member to come", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			return policy(w.org, w.guest, name, &v1alpha1.Principal{Kind: v1alpha1.PrincipalMember, Name: "mallory"}, onProject("web", "InstancesReadOnly"))
		}, missing: rights{"bind projects/web in guest", "bind permissionsets/instancesreadonly in guest"}},
		{name: "policy: see by a dry run what would pass", layer: byGuard, way: byDryRun, object: grants(onProject("web", "InstancesReadOnly")),
			missing: rights{"bind projects/web in guest", "bind permissionsets/instancesreadonly in guest"}},
		{name: "policy: create one by server-side apply", layer: byGuard, way: byApply, object: grants(onProject("web", "InstancesReadOnly")),
			missing: rights{"bind projects/web in guest", "bind permissionsets/instancesreadonly in guest"}},
		{name: "policy: grant as somebody who may issue whatever there is", layer: byGuard, object: grants(onProject("web", "InstancesReadOnly")),
			held:    rights{"issue members in guest", "issue applications in guest", "issue organizations in home"},
			missing: rights{"bind projects/web in guest", "bind permissionsets/instancesreadonly in guest"}},
		{name: "policy: everything, with escalate on policies of the wrong namespace", layer: byGuard, object: grants(onOrganization("IAMManager")),
			held:    rights{"escalate policies in guest"},
			missing: rights{"bind organizations/acme in home", "bind permissionsets/iammanager in home"}, instead: rights{"escalate policies in home"}},
	}
}

func policyUpdateAttacks() []attack {
	web := onProject("web", "InstancesReadOnly")
	guarded := web
	guarded.Condition = onOffice
	project, set := "bind projects/web in guest", "bind permissionsets/instancesreadonly in guest"
	return []attack{
		{name: "policy: add a rule", layer: byGuard, target: grants(web),
			edit: edits(func(_ *attackWorld, p *v1alpha1.Policy) {
				p.Spec.Rules = append(p.Spec.Rules, onProject("web", "InstancesFullAccess"))
			}),
			missing: rights{project, "bind permissionsets/instancesfullaccess in guest"}},
		{name: "policy: add a set to a rule", layer: byGuard, target: grants(web),
			edit:    rule(func(r *v1alpha1.PolicyRule) { r.PermissionSets = append(r.PermissionSets, "InstancesFullAccess") }),
			missing: rights{project, "bind permissionsets/instancesfullaccess in guest"}},
		{name: "policy: add a project to a rule", layer: byGuard, target: grants(web),
			edit: rule(func(r *v1alpha1.PolicyRule) {
				r.ProjectRefs = append(r.ProjectRefs, v1alpha1.ProjectRef{Name: "default"})
			}),
			missing: rights{"bind projects/default in home", "bind permissionsets/instancesreadonly in home"}},
		{name: "policy: from a project to the Organization", layer: byGuard, target: grants(web),
			edit:    rule(func(r *v1alpha1.PolicyRule) { r.Scope, r.ProjectRefs = v1alpha1.ScopeOrganization, nil }),
			missing: rights{"bind organizations/acme in home", "bind permissionsets/instancesreadonly in home"}},
		{name: "policy: drop a condition", layer: byGuard, target: grants(guarded), edit: rule(func(r *v1alpha1.PolicyRule) { r.Condition = "" }), missing: rights{project, set}},
		{name: "policy: weaken a condition", layer: byGuard, target: grants(guarded), edit: rule(func(r *v1alpha1.PolicyRule) { r.Condition = "true" }), missing: rights{project, set}},
		{name: "policy: switch the principal", layer: byGuard, target: grants(web),
			edit: edits(func(_ *attackWorld, p *v1alpha1.Policy) {
				p.Spec.Principal = &v1alpha1.Principal{Kind: v1alpha1.PrincipalApplication, Name: "deployer"}
			}), missing: rights{project, set}},
		{name: "policy: give a principal to one that has none", layer: byGuard,
			target: func(w *attackWorld, name string) client.Object { return policy(w.org, w.guest, name, nil, web) },
			edit:   edits(func(_ *attackWorld, p *v1alpha1.Policy) { p.Spec.Principal = deployers() }), missing: rights{project, set}},
		{name: "policy: a merge patch", layer: byGuard, way: byPatch, target: grants(guarded), edit: rule(func(r *v1alpha1.PolicyRule) { r.Condition = "" }), missing: rights{project, set}},
		{name: "policy: a dry run of an edit", layer: byGuard, way: byDryRun, target: grants(guarded), edit: rule(func(r *v1alpha1.PolicyRule) { r.Condition = "" }), missing: rights{project, set}},
		{name: "policy: give a condition to a rule", layer: byGuard, target: grants(web), edit: rule(func(r *v1alpha1.PolicyRule) { r.Condition = onOffice }), missing: rights{project, set}},
		{name: "policy: apply rules that another manager owns", layer: byGuard, way: byApply, target: grants(guarded), object: grants(web), missing: rights{project, set}},
		{name: "policy: apply the scope of the Organization", layer: byGuard, way: byApply, target: grants(web), object: grants(onOrganization("InstancesReadOnly")),
			missing: rights{"bind organizations/acme in home", "bind permissionsets/instancesreadonly in home"}},
		{name: "policy: apply the default project", layer: byGuard, way: byApply, target: grants(web), object: grants(onProject("default", "InstancesReadOnly")),
			missing: rights{"bind projects/default in home", "bind permissionsets/instancesreadonly in home"}},
		{name: "policy: apply a principal that another manager owns", layer: byGuard, way: byApply, target: grants(web), object: func(w *attackWorld, name string) client.Object {
			return policy(w.org, w.guest, name, &v1alpha1.Principal{Kind: v1alpha1.PrincipalApplication, Name: "deployer"}, web)
		}, missing: rights{project, set}},
		{name: "policy: bind a successor of a deleted group by an edit of the description", layer: byGuard,
			target:  heir(v1alpha1.PrincipalGroup),
			prepare: succeed(func(w *attackWorld, name string) controllers.Object { return group(w.org, w.guest, name) }),
			edit:    edits(func(_ *attackWorld, p *v1alpha1.Policy) { p.Spec.Description = "only words" }), missing: rights{project, set}},
		{name: "policy: bind a successor of a deleted application by an edit of the description", layer: byGuard,
			target:  heir(v1alpha1.PrincipalApplication),
			prepare: succeed(func(w *attackWorld, name string) controllers.Object { return application(w.org, w.guest, name) }),
			edit:    edits(func(_ *attackWorld, p *v1alpha1.Policy) { p.Spec.Description = "only words" }), missing: rights{project, set}},
	}
}

// heir makes a policy for a principal of its own.
func heir(kind v1alpha1.PrincipalKind) func(*attackWorld, string) client.Object {
	return func(w *attackWorld, name string) client.Object {
		return policy(w.org, w.guest, name, &v1alpha1.Principal{Kind: kind, Name: v1alpha1.ObjectName("heir-" + name)}, onProject("web", "InstancesReadOnly"))
	}
}

// succeed makes the principal of such a policy, deletes it once it has the grant, and makes another of its name.
func succeed(principal func(*attackWorld, string) controllers.Object) func(*testing.T, *attackWorld, client.Object) {
	return func(t *testing.T, w *attackWorld, obj client.Object) {
		t.Helper()
		first := principal(w, "heir-"+obj.GetName())
		create(t, first)
		awaitReady(t, first, obj.(*v1alpha1.Policy))
		remove(t, first)
		awaitReason(t, obj.(*v1alpha1.Policy), v1alpha1.ReasonPrincipalDeleted)
		create(t, principal(w, first.GetName()))
	}
}
