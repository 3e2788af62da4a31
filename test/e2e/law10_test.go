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
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Law 10: namespaces finish deleting in any order, whatever refers to what between them,
// and leave no row behind.
func TestLaw10NamespacesDeleteInAnyOrder(t *testing.T) {
	o := startOperator(t)
	awaitNoLeftovers(t)
	for name, deletions := range map[string]func(w *world) [][]string{
		"home first":  func(w *world) [][]string { return [][]string{{w.home}, {w.guest}} },
		"guest first": func(w *world) [][]string { return [][]string{{w.guest}, {w.home}} },
		"together":    func(w *world) [][]string { return [][]string{{w.home, w.guest}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Most of it is waiting for the namespace controller.
			w := newWorld(t, 6)
			for _, batch := range deletions(w) {
				deleteNamespaces(t, batch...)
			}
			for _, kind := range iam.Kinds() {
				page, err := o.Store.List(t.Context(), store.Query{Kind: kind})
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range page.Rows {
					if object := row.Entity.GetHead().Object; object.Namespace == w.home || object.Namespace == w.guest {
						t.Errorf("a row of %s %s/%s is left", object.Kind, object.Namespace, object.Name)
					}
				}
			}
		})
	}
}

func deleteNamespaces(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		namespace := &corev1.Namespace{}
		namespace.Name = name
		if err := admin.Delete(t.Context(), namespace); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		namespace := &corev1.Namespace{}
		namespace.Name = name
		awaitGoneWithin(t, 5*patience, namespace)
	}
}

// Law 10: a deletion waits for what the same namespace holds, and says so; nothing counts
// meanwhile. What another namespace holds does not make it wait.
func TestLaw10DeletionWaitsForItsOwnNamespaceOnly(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 0)
	web, shop := project(w.organization, w.home, "web"), project(w.organization, w.guest, "shop")
	near, far := sshKey(w.organization, w.home, "near", "web"), sshKey(w.organization, w.guest, "far", "web")
	far.Spec.ProjectRef.Namespace = v1alpha1.NamespaceName(w.home)
	create(t, web, shop, near, far)
	awaitReady(t, web, shop, near, far)

	if err := admin.Delete(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	condition := awaitReason(t, web, v1alpha1.ReasonDeleting)
	if !strings.Contains(condition.Message, "1 of kind SSHKey") {
		t.Errorf("the message does not say what holds it: %s", condition.Message)
	}
	awaitReason(t, near, v1alpha1.ReasonReferenceNotFound)
	awaitReason(t, far, v1alpha1.ReasonReferenceNotFound)
	remove(t, near)
	awaitGone(t, web)

	if err := admin.Delete(t.Context(), w.organization); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, w.organization)
	awaitReason(t, shop, v1alpha1.ReasonNamespaceNotAllowed)
}

// Law 10: one message for what is missing and for what is another's.
func TestLaw10NamesDoNotLeak(t *testing.T) {
	startOperator(t)
	mine, theirs := newWorld(t, 0), newWorld(t, 0)
	secret := project(theirs.organization, theirs.home, "secret")
	create(t, secret)
	awaitReady(t, secret)
	message := func(name, target string) string {
		p := policy(mine.organization, mine.home, name, nil, v1alpha1.PolicyRule{
			PermissionSets: []v1alpha1.PermissionSetName{"InstancesReadOnly"}, Scope: v1alpha1.ScopeProjects,
			ProjectRefs: []v1alpha1.ProjectRef{{Name: v1alpha1.ObjectName(target), Namespace: v1alpha1.NamespaceName(theirs.home)}},
		})
		create(t, p)
		return strings.ReplaceAll(awaitReason(t, p, v1alpha1.ReasonReferenceNotFound).Message, target, "X")
	}
	if there, missing := message("there", "secret"), message("missing", "nowhere"); there != missing {
		t.Errorf("a foreign object and a missing one are told apart:\n%s\n%s", there, missing)
	}

	join := func(name string) string {
		p := project(&v1alpha1.Organization{ObjectMeta: objectMeta(theirs.home, name)}, mine.home, "joins-"+name)
		create(t, p)
		return strings.ReplaceAll(awaitReason(t, p, v1alpha1.ReasonNamespaceNotAllowed).Message, name, "X")
	}
	if there, missing := join("acme"), join("nobody"); there != missing {
		t.Errorf("an Organization that does not admit us and a missing one are told apart:\n%s\n%s", there, missing)
	}
}

// A contested name is kept by its holder; the other waits, and gets it when it is freed.
func TestConflictIsResolvedByItself(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 0)
	first, second := member(w.organization, w.home, "maya"), member(w.organization, w.guest, "rival")
	second.Spec.Username = "MAYA"
	create(t, first)
	awaitReady(t, first)
	create(t, second)
	awaitReason(t, second, v1alpha1.ReasonConflict)
	change(t, first, func(m *v1alpha1.Member) { m.Spec.Username = "maya.d" })
	awaitReady(t, second, first)

	claimant := organization(newNamespace(t, nil), "claimant")
	claimant.Spec.Alias = w.organization.Spec.Alias
	create(t, claimant)
	awaitReason(t, claimant, v1alpha1.ReasonConflict)
	eventually(t, "the holder keeps its alias", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(w.organization), w.organization)
		return err == nil && w.organization.Status.Alias == w.organization.Spec.Alias, fmt.Sprint(err)
	})
	remove(t, second)
	remove(t, first)
	remove(t, w.organization)
	awaitReady(t, claimant)
}
