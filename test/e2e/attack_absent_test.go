// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
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

// With the configuration deleted, the API server stores each attempt of the matrix: what it declares is held, and the
// store has of each object what it had before.
func TestAttackWithoutWebhooks(t *testing.T) {
	allowSetWriters(t)
	w := newAttackWorld(t, startGuardedOperator(t))
	mallory := w.mallory(t, "absent", rights{"create organizations in home", "create organizations in rival"})
	laid := layOut(t, w)
	w.uninstall(t)
	held := map[controllers.Object]string{}
	for _, a := range laid {
		before, was := marshal(t, w.rows(t, a.obj)), declaration(t, a.obj)
		if err := a.try(t.Context(), mallory, w, a.obj); err != nil {
			t.Errorf("%s: not stored: %v", a.name, err)
			continue
		}
		if declares(t, a.obj, was) {
			held[a.obj.(controllers.Object)] = before
		}
	}
	if len(held) < 60 {
		t.Errorf("only %d attempts declare anything", len(held))
	}
	for obj := range held {
		awaitHeld(t, obj)
	}
	awaitQuiet(t, w.operator)
	for obj, before := range held {
		if after := marshal(t, w.rows(t, obj)); after != before {
			t.Errorf("%T %s reached the store: before %s, after %s", obj, obj.GetName(), before, after)
		}
	}
}

// declares says whether an attempt has changed what is declared of an object. A dry run does not, nor does a label.
func declares(t *testing.T, obj client.Object, was string) bool {
	t.Helper()
	digest := func(declaration string) string {
		fields := strings.Fields(declaration)
		return strings.Join(fields[:min(2, len(fields))], " ")
	}
	return digest(declaration(t, obj)) != digest(was)
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
