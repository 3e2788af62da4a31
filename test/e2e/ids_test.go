// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Nobody takes the id of another by asking for it: neither its rights through a key, nor
// its place when the database is built anew.
func TestATakenIDIsNobodyElses(t *testing.T) {
	w := newGrantWorld(t, startOperator(t))
	victim := string(w.person.UID)
	for name, thief := range map[string]controllers.Object{
		"of its kind":      member(w.org, w.guest, "thief"),
		"of another kind":  application(w.org, w.guest, "thief"),
		"as a third thing": project(w.org, w.guest, "thief"),
	} {
		t.Run(name, func(t *testing.T) {
			thief.SetAnnotations(map[string]string{v1alpha1.IDAnnotation: victim})
			create(t, thief)
			awaitReason(t, thief, v1alpha1.ReasonConflict)
			if id := thief.GetObjectStatus().ID; id != "" {
				t.Errorf("its status records id %s", id)
			}
		})
	}
	king := application(w.org, w.guest, "king")
	king.Annotations = map[string]string{v1alpha1.IDAnnotation: w.org.Status.OwnerID}
	create(t, king)
	awaitReason(t, king, v1alpha1.ReasonConflict)
	key := apiKey(w.org, w.guest, "stolen", v1alpha1.Bearer{Kind: v1alpha1.BearerMember, Name: "thief"})
	create(t, key)
	awaitReason(t, key, v1alpha1.ReasonReferenceNotFound)
	w.awaitGrants(t, 1)

	before := settledContent(t, w.operator)
	w.halt(t)
	loseDatabase(t, w.operator)
	w.start(t)
	awaitContent(t, w.operator, before)
}

// An id that is free is restored, and stays when the annotation goes.
func TestAFreeIDIsRestored(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 0)
	const id = "5f0c8a52-8f53-4b0e-9d4b-0d9f7f9a1c11"
	restored, late := application(w.organization, w.home, "restored"), application(w.organization, w.guest, "late")
	restored.Annotations = map[string]string{v1alpha1.IDAnnotation: id}
	late.Annotations = map[string]string{v1alpha1.IDAnnotation: id}
	create(t, restored)
	awaitReady(t, restored)
	create(t, late)
	awaitReason(t, late, v1alpha1.ReasonConflict)
	change(t, restored, func(a *v1alpha1.Application) { a.Annotations = nil; a.Spec.Description = "restored" })
	awaitReady(t, restored)
	if restored.Status.ID != id {
		t.Errorf("the id became %s", restored.Status.ID)
	}
	remove(t, restored)
	awaitReady(t, late)
	if late.Status.ID != id {
		t.Errorf("the freed id was not restored: %s", late.Status.ID)
	}
}

// The built-in sets stay as they are documented, whatever somebody adds; and what was
// added never counts.
func TestCatalogueIsPutBack(t *testing.T) {
	o := startOperator(t)
	set := &v1alpha1.PermissionSet{}
	set.Name = "objectstoragereadonly"
	awaitReady(t, set)
	wanted := set.Spec.DeepCopy()
	change(t, set, func(s *v1alpha1.PermissionSet) {
		s.Spec.Permissions = append(s.Spec.Permissions, "object_storage:*:delete")
		s.Spec.IncludedInAllProducts = true
	})
	eventually(t, "the set is put back", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(set), set)
		return err == nil && len(set.Spec.Permissions) == len(wanted.Permissions) && !set.Spec.IncludedInAllProducts, fmt.Sprint(err, set.Spec)
	})
	awaitReady(t, set)
	events, err := o.Store.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ResourceID: set.Status.ID}})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if event.Action != "created" {
			t.Errorf("the edit counted: %s", event.Method)
		}
	}
	if len(set.Finalizers) > 0 {
		t.Error("a built-in set holds up an uninstall by its finalizer")
	}
}
