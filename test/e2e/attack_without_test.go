// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// With the configuration deleted, the API server stores each attempt of the matrix: what it declares is held, and nothing
// of it reaches the store.
func TestAttackWithoutWebhooksReachesNobody(t *testing.T) {
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
