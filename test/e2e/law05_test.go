// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/store"
)

// grantWorld is an application in a guest namespace that a policy grants one custom set on
// one Project to, through a group.
type grantWorld struct {
	*operator
	home, guest string
	org         *v1alpha1.Organization
	app         *v1alpha1.Application
	person      *v1alpha1.Member
	group       *v1alpha1.Group
	project     *v1alpha1.Project
	set         *v1alpha1.PermissionSet
	policy      *v1alpha1.Policy
	key         *v1alpha1.APIKey
}

func newGrantWorld(t *testing.T, o *operator) *grantWorld {
	t.Helper()
	w := &grantWorld{operator: o, home: newNamespace(t, nil)}
	w.guest = newNamespace(t, map[string]string{"joins": w.home})
	w.org = organization(w.home, "acme")
	w.org.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: selects("joins", w.home)}
	w.app = application(w.org, w.guest, "deployer")
	w.person = member(w.org, w.guest, "maya")
	w.group = group(w.org, w.guest, "deployers",
		v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "maya"}, v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberApplication, Name: "deployer"})
	w.project = project(w.org, w.guest, "web")
	name := "Set" + alias(w.home)
	w.set = &v1alpha1.PermissionSet{Spec: v1alpha1.PermissionSetSpec{
		Name: v1alpha1.PermissionSetName(name), ScopeType: v1alpha1.ScopeTypeProjects, Permissions: []v1alpha1.Permission{"shop:order:read"},
	}}
	w.set.Name = "set" + alias(w.home)
	w.policy = policy(w.org, w.guest, "grant", &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "deployers"}, v1alpha1.PolicyRule{
		PermissionSets: []v1alpha1.PermissionSetName{w.set.Spec.Name}, Scope: v1alpha1.ScopeProjects, ProjectRefs: []v1alpha1.ProjectRef{{Name: "web"}},
	})
	w.key = apiKey(w.org, w.guest, "laptop", v1alpha1.Bearer{Kind: v1alpha1.BearerMember, Name: "maya"})
	create(t, w.org, w.app, w.person, w.group, w.project, w.set, w.policy, w.key)
	t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), w.set)) })
	awaitReady(t, w.org, w.app, w.person, w.group, w.project, w.set, w.policy, w.key)
	w.awaitGrants(t, 1)
	return w
}

func (w *grantWorld) awaitGrants(t *testing.T, want int) {
	t.Helper()
	access := w.key.Status.AccessKey
	eventually(t, fmt.Sprintf("the key has %d grants", want), func(ctx context.Context) (bool, string) {
		grants, err := store.EffectiveGrants(ctx, w.Store, access, w.Clock.Now())
		return err == nil && len(grants) == want, fmt.Sprintf("%v, %+v", err, grants)
	})
}

// Law 5: each cause by itself takes the grant away, and whoever looks is told.
func TestLaw05FailClosed(t *testing.T) {
	o := startOperator(t)
	for name, cause := range map[string]func(t *testing.T, w *grantWorld){
		"the project is gone": func(t *testing.T, w *grantWorld) {
			remove(t, w.project)
			awaitReason(t, w.policy, v1alpha1.ReasonReferenceNotFound)
		},
		"the permission set is gone": func(t *testing.T, w *grantWorld) {
			remove(t, w.set)
			awaitReason(t, w.policy, v1alpha1.ReasonReferenceNotFound)
		},
		"the group is gone": func(t *testing.T, w *grantWorld) {
			remove(t, w.group)
			awaitReason(t, w.policy, v1alpha1.ReasonPrincipalDeleted)
		},
		"the bearer is gone": func(t *testing.T, w *grantWorld) {
			remove(t, w.person)
			awaitReason(t, w.key, v1alpha1.ReasonBearerDeleted)
		},
		"the bearer left the group": func(t *testing.T, w *grantWorld) {
			change(t, w.group, func(g *v1alpha1.Group) { g.Spec.Members = g.Spec.Members[1:] })
		},
		"the bearer is locked": func(t *testing.T, w *grantWorld) {
			change(t, w.person, func(m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateLocked })
			awaitCondition(t, w.person, v1alpha1.ConditionLocked, "True", v1alpha1.ReasonDeclared)
		},
		"the key expired": func(t *testing.T, w *grantWorld) {
			change(t, w.key, func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn = "1h" })
			awaitReady(t, w.key)
			now := w.Clock.Now()
			w.Clock.SetTime(now.Add(2 * time.Hour))
			t.Cleanup(func() { w.Clock.SetTime(now) })
		},
		"the condition does not compile": func(t *testing.T, w *grantWorld) {
			change(t, w.policy, func(p *v1alpha1.Policy) { p.Spec.Rules[0].Condition = "request.nothing == 1" })
			awaitReason(t, w.policy, v1alpha1.ReasonInvalidSpec)
		},
		"the generation is refused": func(t *testing.T, w *grantWorld) {
			change(t, w.policy, func(p *v1alpha1.Policy) {
				p.Spec.Rules[0].PermissionSets = append(p.Spec.Rules[0].PermissionSets, "IAMReadOnly")
			})
			awaitReason(t, w.policy, v1alpha1.ReasonInvalidSpec)
		},
		"the policy is terminating":         func(t *testing.T, w *grantWorld) { terminate(t, w.policy) },
		"the bearer is terminating":         func(t *testing.T, w *grantWorld) { terminate(t, w.person) },
		"the key is terminating":            func(t *testing.T, w *grantWorld) { terminate(t, w.key) },
		"the project is terminating":        func(t *testing.T, w *grantWorld) { terminate(t, w.project) },
		"the permission set is terminating": func(t *testing.T, w *grantWorld) { terminate(t, w.set) },
		"the group is terminating":          func(t *testing.T, w *grantWorld) { terminate(t, w.group) },
		"the organization is terminating": func(t *testing.T, w *grantWorld) {
			terminate(t, w.org)
			awaitReason(t, w.policy, v1alpha1.ReasonNamespaceNotAllowed)
		},
		"the namespace is admitted no more": func(t *testing.T, w *grantWorld) {
			namespace := &corev1.Namespace{}
			namespace.Name = w.guest
			change(t, namespace, func(n *corev1.Namespace) { delete(n.Labels, "joins") })
			awaitReason(t, w.key, v1alpha1.ReasonNamespaceNotAllowed)
		},
		"the organization admits nobody more": func(t *testing.T, w *grantWorld) {
			change(t, w.org, func(o *v1alpha1.Organization) { o.Spec.AllowedNamespaces = nil })
			awaitReason(t, w.key, v1alpha1.ReasonNamespaceNotAllowed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newGrantWorld(t, o)
			cause(t, w)
			w.awaitGrants(t, 0)
		})
	}
}

// terminate deletes an object that another's finalizer holds.
func terminate(t *testing.T, obj client.Object) {
	t.Helper()
	const other = "example.com/holds"
	change(t, obj, func(obj client.Object) { obj.SetFinalizers(append(obj.GetFinalizers(), other)) })
	t.Cleanup(func() {
		// A patch meets no conflict with the operator, which may be at the object as well.
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
		if err := admin.Patch(context.Background(), obj, patch); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	if err := admin.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

// One rule that can't work does not stop the others.
func TestLaw05TheRestStands(t *testing.T) {
	w := newGrantWorld(t, startOperator(t))
	change(t, w.policy, func(p *v1alpha1.Policy) {
		bad := *p.Spec.Rules[0].DeepCopy()
		bad.Condition = "1 +"
		lost := *p.Spec.Rules[0].DeepCopy()
		lost.ProjectRefs = []v1alpha1.ProjectRef{{Name: "nowhere"}, {Name: v1alpha1.DefaultProjectName}}
		p.Spec.Rules = append(p.Spec.Rules, bad, lost)
	})
	awaitReason(t, w.policy, v1alpha1.ReasonInvalidSpec)
	w.awaitGrants(t, 2)
}
