// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/store"
)

// admit puts the label by which a world's Organization admits its guest namespace, or takes it away.
func (w *world) admit(t *testing.T, admitted bool) {
	t.Helper()
	namespace := &corev1.Namespace{}
	namespace.Name = w.guest
	change(t, namespace, func(n *corev1.Namespace) {
		delete(n.Labels, "joins")
		if admitted {
			n.Labels["joins"] = w.home
		}
	})
}

func awaitLines(t *testing.T, namespace, name string, want int) {
	t.Helper()
	configMap := &corev1.ConfigMap{}
	eventually(t, fmt.Sprintf("%s has %d keys", name, want), func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, configMap)
		return err == nil && strings.Count(configMap.Data["authorized_keys"], "\n") == want, fmt.Sprint(err, configMap.Data)
	})
}

// What lets people in by SSH is gone as soon as it does not count: with the key's
// namespace, with the Project's namespace, and while the Project waits to be deleted.
func TestAuthorizedKeysAreWithdrawnAtOnce(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 0)
	web, shop := project(w.organization, w.home, "web"), project(w.organization, w.guest, "shop")
	near, far, theirs := sshKey(w.organization, w.home, "near", "web"), sshKey(w.organization, w.guest, "far", "web"), sshKey(w.organization, w.guest, "theirs", "shop")
	far.Spec.ProjectRef.Namespace = v1alpha1.NamespaceName(w.home)
	common := sshKey(w.organization, w.guest, "common", v1alpha1.DefaultProjectName)
	create(t, web, shop, near, far, theirs, common)
	awaitReady(t, web, shop, near, far, theirs, common)
	awaitLines(t, w.home, "web-authorized-keys", 2)
	awaitLines(t, w.guest, "shop-authorized-keys", 1)
	awaitLines(t, w.home, "default-authorized-keys", 1)

	w.admit(t, false)
	awaitLines(t, w.home, "web-authorized-keys", 1)
	awaitLines(t, w.guest, "shop-authorized-keys", 0)
	awaitLines(t, w.home, "default-authorized-keys", 0)
	w.admit(t, true)
	awaitLines(t, w.home, "web-authorized-keys", 2)
	awaitLines(t, w.guest, "shop-authorized-keys", 1)
	awaitLines(t, w.home, "default-authorized-keys", 1)

	if err := admin.Delete(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	awaitReason(t, web, v1alpha1.ReasonDeleting)
	awaitLines(t, w.home, "web-authorized-keys", 0)
}

// A name goes to who waits for it when its holder's namespace is admitted no more, and
// stays there when it is admitted again.
func TestConflictFollowsAdmission(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 0)
	far := member(w.organization, w.guest, "lea")
	create(t, far)
	awaitReady(t, far)
	near := member(w.organization, w.home, "lea")
	create(t, near)
	awaitReason(t, near, v1alpha1.ReasonConflict)
	w.admit(t, false)
	awaitReason(t, far, v1alpha1.ReasonNamespaceNotAllowed)
	awaitReady(t, near)
	w.admit(t, true)
	awaitReason(t, far, v1alpha1.ReasonConflict)
	awaitReady(t, near)
}

// A group counts those who join it from a namespace only while that is admitted.
func TestGroupCountsWhoIsAdmitted(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 0)
	g := group(w.organization, w.home, "auditors")
	far := member(w.organization, w.guest, "lea")
	far.Spec.Groups = []v1alpha1.GroupRef{{Name: "auditors", Namespace: v1alpha1.NamespaceName(w.home)}}
	create(t, g, far)
	counts := func(want int32) {
		eventually(t, fmt.Sprintf("the group has %d members", want), func(ctx context.Context) (bool, string) {
			err := admin.Get(ctx, keyOf(g), g)
			return err == nil && g.Status.Members == want, fmt.Sprint(err, g.Status)
		})
	}
	counts(1)
	w.admit(t, false)
	counts(0)
	w.admit(t, true)
	counts(1)
	remove(t, far)
	counts(0)
}

// A permission set that is refused is as good as none, and its policy says so.
func TestPolicyOfARefusedPermissionSet(t *testing.T) {
	w := newGrantWorld(t, startOperator(t))
	change(t, w.set, func(s *v1alpha1.PermissionSet) { s.Spec.Permissions = []v1alpha1.Permission{"iam:user:create"} })
	awaitReason(t, w.set, v1alpha1.ReasonInvalidSpec)
	awaitReason(t, w.policy, v1alpha1.ReasonReferenceNotFound)
	if w.policy.Status.Effective {
		t.Error("the policy looks effective")
	}
	w.awaitGrants(t, 0)
	change(t, w.set, func(s *v1alpha1.PermissionSet) { s.Spec.Permissions = []v1alpha1.Permission{"shop:order:read"} })
	awaitReady(t, w.policy)
	w.awaitGrants(t, 1)
}

// Every event about an Organization's things is read in its home, whatever came first.
func TestEventsAreAtHome(t *testing.T) {
	o := startOperator(t)
	w := newWorld(t, 4)
	events, err := o.Store.Events(t.Context(), store.EventQuery{EventScope: store.EventScope{OrganizationID: string(w.organization.UID)}, Limit: store.MaxPageSize})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if event.Namespace != w.home || event.Organization.Name != "acme" || event.NamespaceUID == "" {
			t.Errorf("%s of %s is in namespace %q of Organization %q", event.Method, event.Resources[0].Name, event.Namespace, event.Organization.Name)
		}
	}
	if len(events) < len(w.objects) {
		t.Errorf("%d events for %d objects", len(events), len(w.objects))
	}
}
