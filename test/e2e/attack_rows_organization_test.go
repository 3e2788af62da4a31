// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

func organizationAttacks() []attack {
	escalate := rights{"escalate organizations/% in home"}
	tenant := func(w *attackWorld, name string) client.Object { return organization(w.home, name) }
	changed := func(edit func(w *attackWorld, o *v1alpha1.Organization)) func(*attackWorld, client.Object) {
		return edits(edit)
	}
	claimed := func(_ *attackWorld, o *v1alpha1.Organization) {
		o.Spec.Owner.KubernetesUsers = []v1alpha1.UserName{"victim@corp.example"}
	}
	return []attack{
		{name: "organization: create one, as somebody who deleted it first would", layer: byGuard, object: tenant, held: rights{"create organizations in home"}, missing: escalate},
		{name: "organization: become the owner", layer: byGuard, target: tenant, edit: changed(func(_ *attackWorld, o *v1alpha1.Organization) { o.Spec.Owner.Email = "mallory@evil.example" }), missing: escalate},
		{name: "organization: become the owner with the right to bind and to issue", layer: byGuard, target: tenant,
			held: rights{"bind organizations in home", "issue organizations in home", "escalate policies in home"},
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
		{name: "organization: become the owner by a merge patch", layer: byGuard, way: byPatch, target: tenant, edit: changed(func(_ *attackWorld, o *v1alpha1.Organization) { o.Spec.Owner.Email = "mallory@evil.example" }), missing: escalate},
		{name: "organization: claim another's Kubernetes user as the owner's", layer: byGuard, target: tenant, held: escalate, edit: changed(claimed), missing: rights{"impersonate users/victim@corp.example"}},
		{name: "organization: claim another's Kubernetes user as the owner's of one's own", layer: byGuard, held: rights{"create organizations in rival", "escalate organizations in rival"},
			object: func(w *attackWorld, name string) client.Object {
				o := organization(w.rival, name)
				claimed(w, o)
				return o
			}, missing: rights{"impersonate users/victim@corp.example"}},
		{name: "organization: claim a ServiceAccount as the owner's Kubernetes user", layer: byGuard, target: tenant, held: escalate,
			edit: changed(func(w *attackWorld, o *v1alpha1.Organization) {
				o.Spec.Owner.KubernetesUsers = []v1alpha1.UserName{v1alpha1.UserName("system:serviceaccount:" + w.home + ":robot")}
			}), missing: rights{"impersonate serviceaccounts/robot in home"}},
		{name: "organization: admit one's own namespace", layer: byGuard, target: tenant,
			edit: changed(func(w *attackWorld, o *v1alpha1.Organization) {
				o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: selects("kubernetes.io/metadata.name", w.rival)}
			}), missing: escalate},
		{name: "organization: apply that every namespace is admitted", layer: byGuard, way: byApply, target: tenant, object: func(w *attackWorld, name string) client.Object {
			o := organization(w.home, name)
			o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}
			return o
		}, missing: escalate},
		{name: "organization: apply security that another manager owns", layer: byGuard, way: byApply, target: func(w *attackWorld, name string) client.Object {
			o := organization(w.home, name)
			o.Spec.Security = &v1alpha1.Security{MFA: v1alpha1.MFARequired}
			return o
		}, object: func(w *attackWorld, name string) client.Object {
			o := organization(w.home, name)
			o.Spec.Security = &v1alpha1.Security{MFA: v1alpha1.MFAOptional}
			return o
		}, missing: escalate},
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
	all := rights{"escalate permissionsets"}
	widened := func(s *v1alpha1.PermissionSet) { s.Spec.Permissions = append(s.Spec.Permissions, "shop:*:*") }
	changed := func(edit func(s *v1alpha1.PermissionSet)) func(*attackWorld, client.Object) {
		return edits(func(_ *attackWorld, s *v1alpha1.PermissionSet) { edit(s) })
	}
	return []attack{
		{name: "permission set: create one", layer: byGuard, object: set, missing: all},
		{name: "permission set: widen one", layer: byGuard, target: set, edit: changed(widened), missing: all},
		{name: "permission set: widen one with the right to bind it", layer: byGuard, target: set, held: rights{"bind permissionsets"}, edit: changed(widened), missing: all},
		{name: "permission set: apply permissions beside another manager's", layer: byGuard, way: byApply, target: set, object: func(w *attackWorld, name string) client.Object {
			s := set(w, strings.TrimPrefix(name, alias(w.home)))
			widened(s.(*v1alpha1.PermissionSet))
			return s
		}, missing: all},
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
	escalate := rights{"escalate organizations/acme in home"}
	return []attack{
		{name: "id: restore an application's", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			return restored(application(w.org, w.guest, name), "01")
		}, missing: escalate},
		{name: "id: restore a project's", layer: byGuard, object: func(w *attackWorld, name string) client.Object { return restored(project(w.org, w.guest, name), "02") }, missing: escalate},
		{name: "id: restore an SSH key's", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			return restored(sshKey(w.org, w.guest, name, "web"), "03")
		}, missing: escalate},
		{name: "id: restore a member's", layer: byGuard, held: rights{"issue members in guest"}, object: func(w *attackWorld, name string) client.Object { return restored(member(w.org, w.guest, name), "06") }, missing: escalate},
		{name: "id: restore a policy's", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			return restored(policy(w.org, w.guest, name, nil, onProject("web", "InstancesReadOnly")), "07")
		}, missing: escalate},
		{name: "id: restore an application's by server-side apply", layer: byGuard, way: byApply, object: func(w *attackWorld, name string) client.Object {
			return restored(application(w.org, w.guest, name), "08")
		}, missing: escalate},
		{name: "id: restore one with the right to do so in one's own Organization", layer: byGuard, held: rights{"escalate organizations in rival", "escalate policies in home"},
			object: func(w *attackWorld, name string) client.Object {
				return restored(application(w.org, w.guest, name), "09")
			}, missing: escalate},
		{name: "id: restore a permission set's", layer: byGuard, object: func(w *attackWorld, name string) client.Object {
			full := alias(w.home) + alias(name)
			return restored(customSet(full, v1alpha1.ScopeTypeProjects, "shop:order:read"), "10")
		}, missing: rights{"escalate permissionsets"}},
		{name: "id: restore a group's with the right to the group", layer: byGuard, object: func(w *attackWorld, name string) client.Object { return restored(group(w.org, w.guest, name), "04") },
			held: rights{"bind groups/% in guest"}, missing: escalate},
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
		{name: "member: move to another Organization", layer: bySchema, reason: "organizationRef cannot change", target: func(w *attackWorld, name string) client.Object { return member(w.org, w.guest, name) }, twin: describe,
			edit: edits(func(w *attackWorld, m *v1alpha1.Member) { m.Spec.OrganizationRef = of(w.other, w.guest) })},
		{name: "organization: create one without the right to", layer: byRBAC, reason: `cannot create resource "organizations"`, instead: rights{"create organizations in home", "escalate organizations/% in home"},
			object: func(w *attackWorld, name string) client.Object { return organization(w.home, name) }},
		{name: "member: write a password Secret itself", layer: byRBAC, reason: `cannot update resource "secrets"`, instead: rights{"update secrets/% in guest"},
			target: func(w *attackWorld, name string) client.Object { return passwordSecret(w.guest, name, goodPassword) },
			edit:   edits(func(_ *attackWorld, s *corev1.Secret) { s.Data["password"] = []byte(anotherPassword) })},
		{name: "key: put a Secret in the place of its own", layer: byRBAC, reason: `cannot create resource "secrets"`, instead: rights{"create secrets in guest"},
			object: func(w *attackWorld, name string) client.Object {
				return &corev1.Secret{ObjectMeta: objectMeta(w.guest, name), StringData: map[string]string{"secret-key": "00000000-0000-4000-8000-000000000000"}}
			}},
		{name: "status: write one's own id", layer: byRBAC, way: byStatus, target: app,
			edit: edits(func(_ *attackWorld, a *v1alpha1.Application) { a.Status.ID = "5f0c8a52-8f53-4b0e-9d4b-0d9f7f9a1cff" })},
		{name: "id: change it once there is one", layer: byValidator, reason: "at creation only", target: app, held: rights{"escalate organizations/acme in home"}, twin: describe,
			edit: func(_ *attackWorld, obj client.Object) {
				obj.SetAnnotations(map[string]string{v1alpha1.IDAnnotation: "5f0c8a52-8f53-4b0e-9d4b-0d9f7f9a1c05"})
			}},
		{name: "key: mint the owner's outside of the home namespace", layer: byValidator, reason: "own namespace only", held: rights{"issue organizations/acme in home"},
			object: func(w *attackWorld, name string) client.Object {
				return apiKey(w.org, w.guest, name, v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
			}},
		{name: "member: be called as the owner is", layer: byValidator, reason: "choose another username", held: rights{"issue members in guest"},
			object: func(w *attackWorld, name string) client.Object {
				m := member(w.org, w.guest, name)
				m.Spec.Username = string(w.org.Spec.Owner.Email)
				return m
			}, twin: edits(func(_ *attackWorld, m *v1alpha1.Member) { m.Spec.Username = m.Name })},
	}
}
