// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/iam-operator/iam-operator/internal/declared"
)

// layer is what must refuse an attack.
type layer string

const (
	byGuard     layer = "escalation guard"
	byValidator layer = "validating webhook"
	bySchema    layer = "schema"
	byRBAC      layer = "Kubernetes RBAC"
)

// way is how an attacker writes.
type way string

const (
	byWriting way = "" // a creation or an update
	byPatch   way = "merge patch"
	byApply   way = "server-side apply"
	byDryRun  way = "dry run"
	byStatus  way = "status"
)

// attack is a row of the matrix. It reads: somebody who may write every object, but of the verbs by which one gives
// something away has only those held, makes the object, or the edit of the target, by the way; the layer refuses it,
// and names the missing rights or the reason. With the missing rights, or as the twin, it succeeds.
type attack struct {
	name  string
	layer layer
	way   way
	// target makes what is there before, which an administrator creates; nil when the attack creates the object.
	target func(w *attackWorld, name string) client.Object
	// object is what the attack creates, and what it says of the target in a server-side apply.
	object func(w *attackWorld, name string) client.Object
	// edit changes the target.
	edit func(w *attackWorld, obj client.Object)
	// held are rights that the attacker has, and that do not suffice.
	held rights
	// missing are the rights that the refusal must name, and with which the same attempt succeeds.
	missing rights
	// instead are other rights with which it succeeds.
	instead rights
	// reason is in the refusal, where it is not the guard's.
	reason string
	// twin is the honest form of what no right makes good; nil where there is none.
	twin func(w *attackWorld, obj client.Object)
	// prepare runs after the target is there, or before the object is made.
	prepare func(t *testing.T, w *attackWorld, obj client.Object)
}

// TestAttackMatrix makes each attempt three times: refused, and nothing stored; then with the missing right, by which it
// succeeds; and with the guard switched off, when nothing but the guard may have been in the way.
//
// What needs another world is beside it. With nobody to ask: TestAttackWhileDown makes each of these attempts, and
// TestAdmissionDown shows that deletions finish all the same. With the configuration deleted: TestAttackWithoutWebhooks
// makes each of them, and TestAdmissionMissing and TestAdmissionMissingIsSubmittedAgain show what becomes of what was
// stored then. TestAttackIsStored has the attempts that the API server has to store and the loop refuses (namespaces that
// are not admitted, deleted names, contested ones), TestAttackBesideTheSpec finalizers, ownerReferences and status.
// TestAttackByPasswordOracle asks for passwords.
func TestAttackMatrix(t *testing.T) {
	rows := attacks()
	if len(rows) < 60 {
		t.Fatalf("%d rows are too few", len(rows))
	}
	allowSetWriters(t)
	t.Run("guarded", func(t *testing.T) {
		w := newAttackWorld(t, startGuardedOperator(t))
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) { row.guarded(t, w, fmt.Sprintf("row%d", i)) })
		}
	})
	t.Run("guard off", func(t *testing.T) {
		w := newAttackWorld(t, startUnguardedOperator(t))
		for i, row := range rows {
			if row.layer == byGuard {
				t.Run(row.name, func(t *testing.T) { row.unguarded(t, w, fmt.Sprintf("open%d", i)) })
			}
		}
	})
}

// guarded makes the attempt as it must be refused, and then as it must succeed.
func (a *attack) guarded(t *testing.T, w *attackWorld, name string) {
	mallory := w.mallory(t, name, a.held)
	obj := a.subject(t, w, name)
	before := declaration(t, obj)
	a.refused(t, w, name, a.try(t.Context(), mallory, w, obj))
	if after := declaration(t, obj); after != before {
		t.Fatalf("something was stored:\n before %s\n after  %s", before, after)
	}
	if a.missing != nil {
		a.allowed(t, w, name+"-twin", a.missing)
	}
	if a.instead != nil {
		a.allowed(t, w, name+"-other", a.instead)
	}
	if a.twin != nil {
		a.honest(t, w, mallory, name+"-honest")
	}
}

// allowed makes the attempt as somebody who also has what was missing.
func (a *attack) allowed(t *testing.T, w *attackWorld, name string, given rights) {
	t.Helper()
	somebody := w.mallory(t, name, slices.Concat(a.held, given))
	if err := a.try(t.Context(), somebody, w, a.subject(t, w, name)); err != nil {
		t.Fatalf("refused although %v is there: %v", given, err)
	}
}

// honest makes the twin of the attempt with the same rights.
func (a *attack) honest(t *testing.T, w *attackWorld, mallory client.Client, name string) {
	t.Helper()
	twin := *a
	twin.edit = a.twin
	if a.target == nil {
		twin.object = func(w *attackWorld, name string) client.Object {
			obj := a.object(w, name)
			a.twin(w, obj)
			return obj
		}
	}
	if err := twin.try(t.Context(), mallory, w, twin.subject(t, w, name)); err != nil {
		t.Fatalf("the honest twin was refused: %v", err)
	}
}

// unguarded makes the attempt without any guard in the way.
func (a *attack) unguarded(t *testing.T, w *attackWorld, name string) {
	mallory := w.mallory(t, name, a.held)
	if err := a.try(t.Context(), mallory, w, a.subject(t, w, name)); err != nil {
		t.Fatalf("something besides the guard was in the way, so the row proves nothing of the guard: %v", err)
	}
}

// subject gives the object of an attack before it, stored where it has a target.
func (a *attack) subject(t *testing.T, w *attackWorld, name string) client.Object {
	t.Helper()
	made := a.target
	if made == nil {
		made = a.object
	}
	obj := made(w, name)
	if obj.GetNamespace() == "" {
		t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), obj)) })
	}
	if a.target != nil {
		create(t, obj)
	}
	if a.prepare != nil {
		a.prepare(t, w, obj)
	}
	return obj
}

// try makes the attempt, on what is stored now. It is made anew when the operator wrote the status in between.
func (a *attack) try(ctx context.Context, c client.Client, w *attackWorld, obj client.Object) error {
	return retry.OnError(retry.DefaultRetry, apierrors.IsConflict, func() error {
		return a.tryOnce(ctx, c, w, obj.DeepCopyObject().(client.Object))
	})
}

func (a *attack) tryOnce(ctx context.Context, c client.Client, w *attackWorld, obj client.Object) error {
	switch {
	case a.way == byApply:
		return applyFields(ctx, c, a.object(w, obj.GetName()))
	case a.target == nil && a.way == byDryRun:
		return c.Create(ctx, obj, client.DryRunAll)
	case a.target == nil:
		return c.Create(ctx, obj)
	}
	if err := admin.Get(ctx, keyOf(obj), obj); err != nil {
		return err
	}
	before := obj.DeepCopyObject().(client.Object)
	a.edit(w, obj)
	switch a.way {
	case byPatch:
		return c.Patch(ctx, obj, client.MergeFrom(before))
	case byStatus:
		return c.Status().Update(ctx, obj)
	case byDryRun:
		return c.Update(ctx, obj, client.DryRunAll)
	default:
		return c.Update(ctx, obj)
	}
}

// applyFields applies just what an object says, taking over fields of others.
func applyFields(ctx context.Context, c client.Client, obj client.Object) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return err
	}
	gvk, err := apiutil.GVKForObject(obj, c.Scheme())
	if err != nil {
		return err
	}
	applied := &unstructured.Unstructured{Object: map[string]any{"spec": content["spec"]}}
	applied.SetGroupVersionKind(gvk)
	applied.SetName(obj.GetName())
	applied.SetNamespace(obj.GetNamespace())
	applied.SetLabels(obj.GetLabels())
	applied.SetAnnotations(obj.GetAnnotations())
	return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("attacker"), client.ForceOwnership)
}

// declaration is what is stored of an object that somebody declared; empty when it is not there.
func declaration(t *testing.T, obj client.Object) string {
	t.Helper()
	stored := obj.DeepCopyObject().(client.Object)
	err := admin.Get(t.Context(), keyOf(obj), stored)
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	content := stored.GetResourceVersion() // Nobody but people writes what is not ours.
	if ours, ok := stored.(declared.Object); ok {
		content = declared.Digest(ours)
	}
	return fmt.Sprintf("%s %s %v %v", stored.GetUID(), content, stored.GetLabels(), stored.GetOwnerReferences())
}

// refused checks that the layer refused, for its reason.
func (a *attack) refused(t *testing.T, w *attackWorld, name string, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("the %s let it pass", a.layer)
	}
	webhook := strings.Contains(err.Error(), "admission webhook")
	guard := webhook && apierrors.IsForbidden(err) && strings.Contains(err.Error(), "may not give this away")
	refusedBy := map[layer]bool{
		byGuard: guard, byValidator: webhook && !guard, byRBAC: !webhook && apierrors.IsForbidden(err), bySchema: !webhook && apierrors.IsInvalid(err),
	}
	if !refusedBy[a.layer] {
		t.Fatalf("not refused by the %s, but: %v", a.layer, err)
	}
	for _, right := range a.missing {
		if missing := w.in(right, name); !names(err.Error(), missing) {
			t.Errorf("the refusal does not name %q: %v", missing, err)
		}
	}
	if !strings.Contains(err.Error(), a.reason) {
		t.Errorf("the refusal does not say %q: %v", a.reason, err)
	}
}

// names says whether a refusal names a right by its verb, its object and its namespace.
func names(refusal, right string) bool {
	of := accessOf(right)
	object := of.Resource
	if of.Group != "" {
		object += "." + of.Group
	}
	object += "/" + of.Name // Every refusal is about an object, also where the right to all of them is given.
	return strings.Contains(refusal, of.Verb+" on ") && strings.Contains(refusal, object) &&
		(of.Namespace == "" || strings.Contains(refusal, "in namespace "+of.Namespace))
}
