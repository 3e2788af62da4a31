// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// The cache's indexes.
const (
	referenceIndex = "iam-operator.dev/references"
	claimIndex     = "iam-operator.dev/claims"
)

// concurrency is how many objects of a kind are reconciled at once. The store has one
// writer, but each object also waits for the API server.
const concurrency = 16

// register sets up the controller of a kind: its indexes, and the watches that wake its
// objects when what they refer to comes, goes or changes, or when a name is freed.
func register[T Object](ctx context.Context, mgr ctrl.Manager, r *Reconciler[T], extend func(*builder.Builder)) (chan event.GenericEvent, error) {
	indexer := mgr.GetFieldIndexer()
	err := indexer.IndexField(ctx, r.prototype, referenceIndex, func(obj client.Object) []string {
		return referenceKeys(r.kind.references(obj.(T)))
	})
	if err != nil {
		return nil, fmt.Errorf("index the references of %s: %w", r.name, err)
	}
	err = indexer.IndexField(ctx, r.prototype, claimIndex, func(obj client.Object) []string { return r.claims(obj.(T)) })
	if err != nil {
		return nil, fmt.Errorf("index the claims of %s: %w", r.name, err)
	}

	orphans := make(chan event.GenericEvent)
	b := ctrl.NewControllerManagedBy(mgr).
		Named(strings.ToLower(string(r.name))).
		For(r.prototype, builder.WithPredicates(declaredChanged())).
		Watches(r.prototype, handler.EnqueueRequestsFromMapFunc(r.wakeContenders), builder.WithPredicates(claimsChanged(r.claims))).
		WatchesRawSource(source.Channel(orphans, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency})
	for _, prototype := range referable() {
		b.Watches(prototype, handler.EnqueueRequestsFromMapFunc(r.wakeReferrers), builder.WithPredicates(referableChanged()))
	}
	if r.Admission {
		b.Watches(&admissionv1.ValidatingWebhookConfiguration{}, handler.EnqueueRequestsFromMapFunc(r.wakeHeld))
	}
	if extend != nil {
		extend(b)
	}
	if err := b.Complete(r); err != nil {
		return nil, fmt.Errorf("set up the controller of %s: %w", r.name, err)
	}
	return orphans, nil
}

// referable lists the kinds that others refer to.
func referable() []client.Object {
	return []client.Object{
		&v1alpha1.Organization{}, &v1alpha1.Project{}, &v1alpha1.Member{}, &v1alpha1.Group{},
		&v1alpha1.Application{}, &v1alpha1.PermissionSet{}, &corev1.Namespace{},
	}
}

func referenceKeys(refs []reference) []string {
	keys := map[string]struct{}{}
	for _, ref := range refs {
		keys[ref.String()] = struct{}{}
	}
	return slices.Sorted(maps.Keys(keys))
}

// wakeReferrers asks for all objects of the kind that refer to an object.
func (r *Reconciler[T]) wakeReferrers(ctx context.Context, obj client.Object) []ctrl.Request {
	gvk, err := apiutil.GVKForObject(obj, r.Client.Scheme())
	if err != nil {
		log.FromContext(ctx).Error(err, "An object of an unknown kind was watched", "name", obj.GetName())
		return nil
	}
	key := reference{iam.Kind(gvk.Kind), obj.GetNamespace(), obj.GetName()}.String()
	return r.requests(ctx, referenceIndex, key)
}

// claims lists the names that an object wants for itself alone, its id among them.
func (r *Reconciler[T]) claims(obj T) []string { return append(r.kind.claims(obj), idClaim(idOf(obj))) }

// wakeContenders asks for all objects that claim a name which this one claims or holds.
func (r *Reconciler[T]) wakeContenders(ctx context.Context, obj client.Object) []ctrl.Request {
	var requests []ctrl.Request
	for _, claim := range r.claims(obj.(T)) {
		requests = append(requests, r.requests(ctx, claimIndex, claim)...)
	}
	return requests
}

func (r *Reconciler[T]) requests(ctx context.Context, index, key string) []ctrl.Request {
	objects, err := listByIndex[T](ctx, r.Client, r.prototypeList, index, key)
	if err != nil {
		// The cache answers from memory; it fails only while it stops.
		log.FromContext(ctx).Error(err, "Objects to wake could not be listed", "index", index, "key", key)
	}
	requests := make([]ctrl.Request, len(objects))
	for i, obj := range objects {
		requests[i].NamespacedName = client.ObjectKeyFromObject(obj)
	}
	return requests
}

// declaredChanged passes what people change, and not our own writes of the status. The
// status counts when somebody else emptied it.
func declaredChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld, e.ObjectNew
		return before.GetGeneration() != after.GetGeneration() ||
			!maps.Equal(before.GetAnnotations(), after.GetAnnotations()) ||
			!maps.Equal(before.GetLabels(), after.GetLabels()) ||
			statusLost(before, after) ||
			after.GetDeletionTimestamp().IsZero() && len(after.GetFinalizers()) < len(before.GetFinalizers())
	}}
}

// letThrough passes that an object begins or ends to wait for admission.
func letThrough() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ours := e.ObjectOld.(Object)
			return ours && declared.IsHeld(before) != declared.IsHeld(e.ObjectNew.(Object))
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

func statusLost(before, after client.Object) bool {
	old, ours := before.(Object)
	return ours && old.GetObjectStatus().ID != "" && after.(Object).GetObjectStatus().ID == "" && after.(Object).GetObjectStatus().ObservedGeneration <= 0
}

// referableChanged passes what changes the meaning of a reference: an object that comes
// or goes, an Organization's spec, a namespace's labels.
func referableChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld, e.ObjectNew
		if before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero() || before.GetUID() != after.GetUID() {
			return true
		}
		if obj, ours := after.(Object); ours && hasSettledID(obj) != hasSettledID(before.(Object)) {
			return true
		}
		switch after.(type) {
		case *v1alpha1.Organization:
			return before.GetGeneration() != after.GetGeneration() || letThrough().Update(e)
		case *v1alpha1.Group, *v1alpha1.PermissionSet:
			return before.GetGeneration() != after.GetGeneration()
		case *corev1.Namespace:
			return !maps.Equal(before.GetLabels(), after.GetLabels())
		}
		return false
	}}
}

// watchFromBelow wakes what objects of a kind belong to, when one of them changes, and
// when the namespace that it is in is admitted or admitted no more.
func watchFromBelow(b *builder.Builder, reader client.Reader, object client.Object, prototype client.ObjectList, wake func(client.Object) []reconcile.Request) {
	b.Watches(object, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
		return wake(obj)
	}), builder.WithPredicates(predicate.Or(declaredChanged(), letThrough())))
	b.Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, namespace client.Object) []reconcile.Request {
		list := prototype.DeepCopyObject().(client.ObjectList)
		err := reader.List(ctx, list, client.InNamespace(namespace.GetName()), client.UnsafeDisableDeepCopy)
		var requests []reconcile.Request
		err = firstError(err, eachItem(list, func(item client.Object) { requests = append(requests, wake(item)...) }))
		if err != nil {
			log.FromContext(ctx).Error(err, "The objects of a namespace could not be listed", "namespace", namespace.GetName())
		}
		return requests
	}), builder.WithPredicates(referableChanged()))
}

// claimsChanged passes what frees a name: a deletion, a change of the claims, or a holder
// that does not count any more.
func claimsChanged[T Object](claims func(T) []string) predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld.(T), e.ObjectNew.(T)
			return !slices.Equal(claims(before), claims(after)) ||
				declared.ReadyReason(before.GetObjectStatus()) != declared.ReadyReason(after.GetObjectStatus()) ||
				e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
	}
}

func eachItem(list client.ObjectList, do func(client.Object)) error {
	return meta.EachListItem(list, func(item runtime.Object) error {
		do(item.(client.Object))
		return nil
	})
}

func compareNames(a, b client.Object) int {
	if c := strings.Compare(a.GetNamespace(), b.GetNamespace()); c != 0 {
		return c
	}
	return strings.Compare(a.GetName(), b.GetName())
}
