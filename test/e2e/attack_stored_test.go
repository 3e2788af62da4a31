// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// storedAttack is an attempt that the API server has to store, since each end alone is somebody's to write: references
// may come in any order, and who admits whom may change. The loop refuses it, for a reason, and it reaches nobody.
type storedAttack struct {
	name string
	// held are rights that the attacker has.
	held rights
	// prepare makes what is there before.
	prepare func(t *testing.T, w *attackWorld, name string)
	// object is what the attacker stores.
	object func(w *attackWorld, name string) controllers.Object
	// judged is whose status says why nothing comes of it; the object's own when nil.
	judged func(w *attackWorld, name string) controllers.Object
	reason string
	// harmless says whether a row that is left gives nobody anything; no row may be when nil.
	harmless func(iam.Entity) bool
	// twin is what the same attacker may have; nil where there is nothing of the kind.
	twin func(w *attackWorld, name string) controllers.Object
}

// rows are what the store has of an object.
func (w *attackWorld) rows(t *testing.T, obj client.Object) []iam.Entity {
	t.Helper()
	gvk, err := apiutil.GVKForObject(obj, admin.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	kind := iam.Kind(gvk.Kind)
	page, err := w.Store.List(t.Context(), store.Query{Kind: kind, Object: &iam.Object{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}})
	if err != nil {
		t.Fatal(err)
	}
	var entities []iam.Entity
	for _, row := range page.Rows {
		entities = append(entities, row.Entity)
	}
	return entities
}

// outsiders are attempts to get into an Organization from a namespace that it does not admit, by somebody who may do
// whatever they like in that namespace.
func outsiders() []storedAttack {
	deployer := v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "deployer"}
	kinds := []struct {
		name string
		make func(org *v1alpha1.Organization, namespace, name string) controllers.Object
	}{
		{"project", func(o *v1alpha1.Organization, ns, name string) controllers.Object { return project(o, ns, name) }},
		{"member", func(o *v1alpha1.Organization, ns, name string) controllers.Object { return member(o, ns, name) }},
		{"application", func(o *v1alpha1.Organization, ns, name string) controllers.Object { return application(o, ns, name) }},
		{"group", func(o *v1alpha1.Organization, ns, name string) controllers.Object { return group(o, ns, name) }},
		{"policy", func(o *v1alpha1.Organization, ns, name string) controllers.Object {
			return policy(o, ns, name, nil, onProject("default", "InstancesReadOnly"))
		}},
		{"key", func(o *v1alpha1.Organization, ns, name string) controllers.Object {
			return apiKey(o, ns, name, deployer)
		}},
		{"SSH key", func(o *v1alpha1.Organization, ns, name string) controllers.Object {
			return sshKey(o, ns, name, v1alpha1.DefaultProjectName)
		}},
	}
	var rows []storedAttack
	for _, kind := range kinds {
		rows = append(rows, storedAttack{
			name: kind.name + ": join from a namespace that is not admitted", reason: v1alpha1.ReasonNamespaceNotAllowed,
			held:   rights{"issue members in rival", "issue applications in rival", "issue members in guest", "issue applications in guest"},
			object: func(w *attackWorld, name string) controllers.Object { return kind.make(w.org, w.rival, name) },
			twin:   func(w *attackWorld, name string) controllers.Object { return kind.make(w.org, w.guest, name) },
		})
	}
	return rows
}

func storedAttacks() []storedAttack {
	lord := rights{"bind projects in rival", "bind permissionsets in rival", "bind organizations in rival", "bind groups in rival", "issue members in rival"}
	web := onProject("web", "InstancesReadOnly")
	powerless := func(entity iam.Entity) bool { return entity.(*iam.Policy).PrincipalID == "" }
	mentioned := func(kind v1alpha1.PrincipalKind, principal func(*attackWorld, string) controllers.Object) storedAttack {
		return storedAttack{
			reason: v1alpha1.ReasonPrincipalDeleted, harmless: powerless, object: principal,
			judged: func(w *attackWorld, name string) controllers.Object {
				return policy(w.org, w.guest, name, &v1alpha1.Principal{Kind: kind, Name: v1alpha1.ObjectName(name)}, web)
			},
			prepare: func(t *testing.T, w *attackWorld, name string) {
				t.Helper()
				granted := policy(w.org, w.guest, name, &v1alpha1.Principal{Kind: kind, Name: v1alpha1.ObjectName(name)}, web)
				first := principal(w, name)
				create(t, first, granted)
				awaitReady(t, first, granted)
				remove(t, first)
			},
		}
	}
	ofGroup := mentioned(v1alpha1.PrincipalGroup, func(w *attackWorld, name string) controllers.Object { return group(w.org, w.guest, name) })
	ofGroup.name = "group: create anew one that a policy still mentions"
	ofApplication := mentioned(v1alpha1.PrincipalApplication, func(w *attackWorld, name string) controllers.Object { return application(w.org, w.guest, name) })
	ofApplication.name = "application: create anew one that a policy still mentions"
	ofMember := mentioned(v1alpha1.PrincipalMember, func(w *attackWorld, name string) controllers.Object { return member(w.org, w.guest, name) })
	ofMember.name, ofMember.held = "member: create anew one that a policy still mentions", rights{"issue members in guest"}
	return slices.Concat(outsiders(), []storedAttack{ofGroup, ofApplication, ofMember,
		{name: "policy: grant another Organization's group one's own project", held: lord, reason: v1alpha1.ReasonReferenceNotFound, harmless: powerless,
			object: func(w *attackWorld, name string) controllers.Object {
				return policy(w.other, w.rival, name, &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "deployers", Namespace: v1alpha1.NamespaceName(w.guest)}, onProject("shop", "InstancesReadOnly"))
			}},
		{name: "group: put another Organization's member in it", held: lord, reason: v1alpha1.ReasonReferenceNotFound,
			harmless: func(entity iam.Entity) bool { return len(entity.(*iam.Group).Members) == 0 },
			object: func(w *attackWorld, name string) controllers.Object {
				return group(w.other, w.rival, name, v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "maya"})
			}},
		{name: "member: take another's username", held: rights{"issue members in home"}, reason: v1alpha1.ReasonConflict,
			object: func(w *attackWorld, name string) controllers.Object {
				return edited(member(w.org, w.home, name), func(m *v1alpha1.Member) { m.Spec.Username = "MAYA" })
			}, twin: func(w *attackWorld, name string) controllers.Object { return member(w.org, w.home, name) }},
		{name: "application: take another's ServiceAccount", held: rights{"issue applications in guest"}, reason: v1alpha1.ReasonConflict,
			object: func(w *attackWorld, name string) controllers.Object {
				return edited(application(w.org, w.guest, name), func(a *v1alpha1.Application) {
					a.Spec.ServiceAccounts = []v1alpha1.ServiceAccountRef{{Name: "deployer"}}
				})
			}, twin: func(w *attackWorld, name string) controllers.Object { return application(w.org, w.guest, name) }},
	})
}

// What nobody can refuse at admission is refused by the loop.
func TestAttackIsStored(t *testing.T) {
	allowSetWriters(t)
	w := newAttackWorld(t, startGuardedOperator(t))
	for i, row := range storedAttacks() {
		t.Run(row.name, func(t *testing.T) {
			name := fmt.Sprintf("stored%d", i)
			mallory := w.mallory(t, name, row.held)
			if row.prepare != nil {
				row.prepare(t, w, name)
			}
			obj := row.object(w, name)
			if err := mallory.Create(t.Context(), obj); err != nil {
				t.Fatalf("not stored: %v", err)
			}
			judged := obj
			if row.judged != nil {
				judged = row.judged(w, name)
				awaitReady(t, obj)
			}
			awaitReason(t, judged, row.reason)
			for _, entity := range w.rows(t, judged) {
				if row.harmless == nil || !row.harmless(entity) {
					t.Errorf("it reached the store: %+v", entity)
				}
			}
			if row.twin == nil {
				return
			}
			twin := row.twin(w, name+"-twin")
			if err := mallory.Create(t.Context(), twin); err != nil {
				t.Fatalf("the honest twin was refused: %v", err)
			}
			awaitReady(t, twin)
		})
	}
}

// Finalizers, owners and what the status says, written by people beside the spec, change nothing of what counts.
func TestAttackBesideTheSpec(t *testing.T) {
	allowSetWriters(t)
	w := newAttackWorld(t, startGuardedOperator(t))
	mallory := w.mallory(t, "beside", nil)
	owner := application(w.org, w.guest, "owner")
	create(t, owner)
	for name, edit := range map[string]func(a *v1alpha1.Application){
		"finalizer-of-ones-own": func(a *v1alpha1.Application) { a.Finalizers = append(a.Finalizers, "evil.example/keep") },
		"no-finalizer":          func(a *v1alpha1.Application) { a.Finalizers = nil },
		"an-owner": func(a *v1alpha1.Application) {
			a.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Application", Name: owner.Name, UID: owner.UID, BlockOwnerDeletion: ptr.To(true)}}
		},
		"a-status": func(a *v1alpha1.Application) { a.Status.ID, a.Status.Conditions = string(w.org.UID), nil },
	} {
		t.Run(name, func(t *testing.T) {
			app := application(w.org, w.guest, name)
			create(t, app)
			awaitReady(t, app)
			before := marshal(t, w.rows(t, app))
			change := func(with client.Client, edit func(*v1alpha1.Application)) {
				row := attack{target: func(*attackWorld, string) client.Object { return app }, edit: edits(func(_ *attackWorld, a *v1alpha1.Application) { edit(a) })}
				if err := row.try(t.Context(), with, w, app); err != nil {
					t.Fatal(err)
				}
			}
			change(mallory, edit)
			eventually(t, "the operator has its finalizer", func(ctx context.Context) (bool, string) {
				err := admin.Get(ctx, keyOf(app), app)
				return err == nil && controllerutil.ContainsFinalizer(app, v1alpha1.Finalizer), fmt.Sprint(err, app.Finalizers)
			})
			awaitQuiet(t, w.operator)
			awaitReady(t, app)
			if after := marshal(t, w.rows(t, app)); after != before || app.Status.ID != string(app.UID) {
				t.Errorf("the row was\n%s\nand is\n%s, with id %s in the status", before, after, app.Status.ID)
			}
			// However it hangs there, what is deleted counts no more.
			if err := mallory.Delete(t.Context(), app); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it counts no more", func(context.Context) (bool, string) {
				rows := w.rows(t, app)
				return len(rows) == 0, fmt.Sprint(rows)
			})
			// Only the finalizer of one's own is left to hold it, and the object may go at any moment.
			release := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
			if err := client.IgnoreNotFound(admin.Patch(t.Context(), app, release)); err != nil {
				t.Fatal(err)
			}
			awaitGone(t, app)
		})
	}
}
