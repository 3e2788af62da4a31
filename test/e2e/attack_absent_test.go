// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// absentAttack is an attempt of the matrix while the guard is not there.
type absentAttack struct {
	attack
	obj client.Object
}

// layOut makes the targets of all that the guard alone refuses, and waits until the operator has settled.
func layOut(t *testing.T, w *attackWorld) []*absentAttack {
	t.Helper()
	var laid []*absentAttack
	for i, row := range attacks() {
		if row.layer == byGuard {
			laid = append(laid, &absentAttack{row, row.subject(t, w, fmt.Sprintf("absent%d", i))})
		}
	}
	for _, a := range laid {
		if a.target == nil {
			continue
		}
		eventually(t, "the operator has seen "+a.name, func(ctx context.Context) (bool, string) {
			err := admin.Get(ctx, keyOf(a.obj), a.obj)
			status := a.obj.(controllers.Object).GetObjectStatus()
			return err == nil && status.ObservedGeneration == a.obj.GetGeneration(), fmt.Sprint(err, status)
		})
	}
	awaitQuiet(t, w.operator)
	return laid
}

// With nobody to ask, the API server refuses each attempt of the matrix.
func TestAttackWhileDown(t *testing.T) {
	allowSetWriters(t)
	w := newAttackWorld(t, startGuardedOperator(t))
	mallory := w.mallory(t, "down", rights{"create organizations in home", "create organizations in rival"})
	laid := layOut(t, w)
	w.halt(t)
	for _, a := range laid {
		t.Run(a.name, func(t *testing.T) {
			before := declaration(t, a.obj)
			if err := a.try(t.Context(), mallory, w, a.obj); !isDown(err) {
				t.Errorf("answered by %v", err)
			}
			if after := declaration(t, a.obj); after != before {
				t.Errorf("something was stored:\n before %s\n after  %s", before, after)
			}
		})
	}
}

// With the configuration deleted, the API server stores each attempt of the matrix: what it declares is held, and nothing
// of it reaches the store.
func TestAttackWithoutWebhooks(t *testing.T) {
	allowSetWriters(t)
	w := newAttackWorld(t, startGuardedOperator(t))
	mallory := w.mallory(t, "absent", rights{"create organizations in home", "create organizations in rival"})
	laid := layOut(t, w)
	before := content(t, w.Store)
	w.uninstall(t)
	var stored []controllers.Object
	for _, a := range laid {
		if a.way == byDryRun {
			continue // It stores nothing.
		}
		was := a.obj.DeepCopyObject().(declared.Object)
		if err := a.try(t.Context(), mallory, w, a.obj); err != nil {
			t.Errorf("%s: not stored: %v", a.name, err)
			continue
		}
		obj := a.obj.(controllers.Object)
		if err := admin.Get(t.Context(), keyOf(obj), obj); err != nil {
			t.Fatal(err)
		}
		// A label declares nothing to the loop, and so there is nothing to hold.
		if a.target == nil || declared.Digest(obj) != declared.Digest(was) {
			stored = append(stored, obj)
		}
	}
	if len(stored) < 60 {
		t.Errorf("only %d attempts declare anything", len(stored))
	}
	for _, obj := range stored {
		awaitHeld(t, obj)
	}
	awaitQuiet(t, w.operator)
	if after := content(t, w.Store); after != before {
		t.Errorf("something reached the store: %s", difference(before, after))
	}
}

// awaitHeld waits until an object says that it waits for admission. That may be for an annotation, which no generation
// tells of.
func awaitHeld(t *testing.T, obj controllers.Object) {
	t.Helper()
	eventually(t, fmt.Sprintf("%T %s is held", obj, obj.GetName()), func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(obj), obj)
		ready := meta.FindStatusCondition(obj.GetObjectStatus().Conditions, v1alpha1.ConditionReady)
		return err == nil && ready != nil && ready.Reason == v1alpha1.ReasonAdmissionMissing, fmt.Sprint(err, ready)
	})
}
