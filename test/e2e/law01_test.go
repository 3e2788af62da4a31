// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Law 1: delete the database while 200 objects stand, some keys in the overlap of a
// rotation; the same ids, the same content and the same valid keys come back by themselves.
func TestLaw01Rebuild(t *testing.T) {
	o := startOperator(t)
	w := newWorld(t, 29)
	o.Clock.SetTime(o.Clock.Now().Add(720*time.Hour + time.Minute))
	for _, key := range w.keys {
		poke(t, key)
	}
	rotating := 0
	for _, key := range w.keys {
		eventually(t, "the key has rotated, or need not", func(ctx context.Context) (bool, string) {
			err := admin.Get(ctx, keyOf(key), key)
			return err == nil && (key.Spec.Rotation == nil || len(key.Status.Keys) == 2), fmt.Sprintf("%v, %+v", err, key.Status.Keys)
		})
		if key.Spec.Rotation != nil {
			rotating++
		}
	}
	if rotating == 0 || len(w.objects) < 200 {
		t.Fatalf("%d objects and %d keys in overlap are too few", len(w.objects), rotating)
	}
	before := settledContent(t, o)
	revision, err := o.Store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.halt(t)

	loseDatabase(t, o)
	o.start(t)
	awaitContent(t, o, before)
	after, err := o.Store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.Incarnation == revision.Incarnation {
		t.Error("a rebuilt store has the incarnation of the one that was lost")
	}
	for _, key := range w.keys {
		for _, minted := range key.Status.Keys {
			row, err := o.Store.Get(t.Context(), iam.KindAPIKey, minted.AccessKey)
			if err != nil || !row.Entity.(*iam.APIKey).Live(o.Clock.Now()) {
				t.Errorf("key %s of %s is not valid any more: %v", minted.AccessKey, key.Name, err)
			}
		}
	}
}

func loseDatabase(t *testing.T, o *operator) {
	t.Helper()
	files, err := filepath.Glob(o.Database + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no database at %s: %v", o.Database, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func awaitContent(t *testing.T, o *operator, want string) {
	t.Helper()
	eventually(t, "the store's content comes back", func(context.Context) (bool, string) {
		got := content(t, o.Store)
		return got == want, difference(want, got)
	})
}

// Law 1, as a property: a store that was fed change by change equals one that is built
// from the objects as they are in the end.
func TestLaw01IncrementalEqualsRebuilt(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	o := startOperator(t)
	w := newWorld(t, 6)
	for range 120 {
		w.disturb(t, random)
	}
	before := settledContent(t, o)
	o.halt(t)
	loseDatabase(t, o)
	o.start(t)
	awaitContent(t, o, before)
}

// disturb does to one object what somebody may do at any time.
func (w *world) disturb(t *testing.T, random *rand.Rand) {
	t.Helper()
	obj := w.objects[1+random.IntN(len(w.objects)-1)]
	switch random.IntN(4) {
	case 0:
		// Gone, for good or for a while.
		if err := admin.Delete(t.Context(), obj); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	case 1:
		again := obj.DeepCopyObject().(controllers.Object)
		again.SetResourceVersion("")
		again.SetUID("")
		again.SetFinalizers(nil)
		// It may be there still, or on its way out.
		_ = admin.Create(t.Context(), again, client.FieldOwner("somebody"))
	case 2:
		edit(t, obj, random)
	case 3:
		change(t, w.organization, func(o *v1alpha1.Organization) {
			from := v1alpha1.NamespacesSelector
			if o.Spec.AllowedNamespaces.From == from {
				o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSame}
				return
			}
			o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: from, Selector: selects("joins", w.home)}
		})
	}
}

// edit changes a spec as far as its kind allows, if the object is there.
func edit(t *testing.T, obj controllers.Object, random *rand.Rand) {
	t.Helper()
	held := obj.DeepCopyObject().(controllers.Object)
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(obj), held); err != nil {
		return
	}
	word := fmt.Sprintf("word %d", random.IntN(5))
	switch o := held.(type) {
	case *v1alpha1.Project:
		o.Spec.Description = word
	case *v1alpha1.Member:
		o.Spec.State = []v1alpha1.MemberState{"", v1alpha1.StateActive, v1alpha1.StateLocked}[random.IntN(3)]
		o.Spec.Username = fmt.Sprintf("user%d", random.IntN(8))
	case *v1alpha1.Group:
		o.Spec.Membership = []v1alpha1.GroupMembership{"", v1alpha1.MembershipAllUsers}[random.IntN(2)]
		if o.Spec.Membership != "" {
			o.Spec.Members = nil
		}
	case *v1alpha1.Application:
		o.Spec.Groups = o.Spec.Groups[:random.IntN(len(o.Spec.Groups)+1)]
	case *v1alpha1.Policy:
		o.Spec.Description = word
		o.Spec.Rules = o.Spec.Rules[:random.IntN(len(o.Spec.Rules)+1)]
	case *v1alpha1.APIKey:
		o.Spec.Description = word
	case *v1alpha1.SSHKey:
		o.Spec.State = []v1alpha1.SSHKeyState{"", v1alpha1.SSHKeyDisabled}[random.IntN(2)]
	}
	// A conflict, or an object on its way out, is as good as no edit.
	_ = admin.Update(t.Context(), held, client.FieldOwner("somebody"))
}

// Law 1, the other way: what is not in Kubernetes is not in the store. An object whose
// finalizer was stripped while the operator was down leaves no row, and an event says so.
func TestLaw01BothWays(t *testing.T) {
	o := startOperator(t)
	w := newWorld(t, 2)
	awaitQuiet(t, o)
	victims := map[iam.Kind]controllers.Object{}
	for _, obj := range w.objects {
		victims[kindOf(obj)] = obj
	}
	delete(victims, iam.KindOrganization)
	o.halt(t)
	for _, obj := range victims {
		change(t, obj, func(obj controllers.Object) { obj.SetFinalizers(nil) })
		if err := admin.Delete(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, obj.DeepCopyObject().(controllers.Object))
	}
	o.start(t)
	for kind, obj := range victims {
		object := &iam.Object{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
		eventually(t, fmt.Sprintf("%s %s leaves no row", kind, obj.GetName()), func(ctx context.Context) (bool, string) {
			page, err := o.Store.List(ctx, store.Query{Kind: kind, Object: object})
			return err == nil && len(page.Rows) == 0, fmt.Sprintf("%v, %d rows", err, len(page.Rows))
		})
		id := string(obj.GetUID())
		if key, ok := obj.(*v1alpha1.APIKey); ok {
			id = key.Status.AccessKey
		}
		events, err := o.Store.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ResourceID: id, Action: iam.ActionDeleted}})
		if err != nil || len(events) != 1 || events[0].Principal.Name != iam.Unknown || stateOf(events[0]) != iam.AuthorshipAbsent {
			t.Errorf("the deletion of %s %s is told by %d events: %v, %+v", kind, obj.GetName(), len(events), err, events)
		}
	}
}

func kindOf(obj controllers.Object) iam.Kind {
	gvk, err := admin.GroupVersionKindFor(obj)
	if err != nil {
		panic(err)
	}
	return iam.Kind(gvk.Kind)
}
