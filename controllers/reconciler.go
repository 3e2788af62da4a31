// SPDX-License-Identifier: Apache-2.0

// Package controllers reconciles the declared objects into the canonical store and into
// Secrets. One generic Reconciler does what all kinds have in common; a kind adds a file
// with what its objects mean, and what they refer to.
package controllers

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// Object is an object of one of our kinds.
type Object interface {
	client.Object
	// GetObjectStatus gives the part of the status that all kinds share.
	GetObjectStatus() *v1alpha1.ObjectStatus
}

// outcome is what an object comes to.
type outcome struct {
	// entities are all the rows that the object accounts for; what is not among them is
	// removed. An object that must not count accounts for none.
	entities []iam.Entity
	// known says that the entities are right even though the rest met an error: what people
	// may do never waits for a ConfigMap or a Secret to be written.
	known bool
	// lookAgainAt is when time alone may change the outcome; nil means never.
	lookAgainAt *time.Time
}

// kind is what one kind adds to the Reconciler.
type kind[T Object] interface {
	// sync finds what the object comes to, fills its status, and does what has to be done
	// outside the store. A failure may come with an outcome: what holds in spite of it.
	sync(ctx context.Context, obj T) (outcome, error)
	// remove does what has to be done outside the store before the object goes. Its rows
	// are gone by then. A waiting failure holds the object back.
	remove(ctx context.Context, obj T) error
	// references lists what the object refers to, found or not.
	references(obj T) []reference
	// claims lists the names that the object wants for itself alone.
	claims(obj T) []string
}

// Reconciler reconciles the objects of one kind: rows first, in one transaction with
// their audit events, then the status, and neither when nothing changed.
type Reconciler[T Object] struct {
	*Environment
	name iam.Kind
	kind kind[T]
	// prototype and prototypeList are empty; they are copied, never filled.
	prototype     T
	prototypeList client.ObjectList
}

// behind is when to look again after the API server said that the cache was behind.
const behind = 50 * time.Millisecond

// Reconcile brings the store and the status in line with one object.
func (r *Reconciler[T]) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	result, err := r.reconcile(ctx, request)
	if apierrors.IsConflict(err) {
		// Nothing to tell people about, nor to back off from.
		return ctrl.Result{RequeueAfter: behind}, nil
	}
	return result, err
}

func (r *Reconciler[T]) reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	obj := r.newObject()
	err := r.Client.Get(ctx, request.NamespacedName, obj)
	switch {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, r.forget(ctx, request)
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("read %s %s: %w", r.name, request, err)
	case !obj.GetDeletionTimestamp().IsZero():
		return ctrl.Result{}, r.remove(ctx, obj)
	}
	return r.sync(ctx, obj)
}

// forget removes the rows of an object that is gone without having asked us. The cache may
// be behind, so the absence is confirmed by a live read.
func (r *Reconciler[T]) forget(ctx context.Context, request ctrl.Request) error {
	err := r.APIReader.Get(ctx, request.NamespacedName, r.newObject())
	if err == nil || !apierrors.IsNotFound(err) {
		return client.IgnoreNotFound(err)
	}
	object := iam.Object{Kind: r.name, Namespace: request.Namespace, Name: request.Name}
	_, err = r.writeRows(ctx, object, nil, nil)
	return err
}

func (r *Reconciler[T]) sync(ctx context.Context, obj T) (ctrl.Result, error) {
	before := obj.DeepCopyObject().(T)
	if err := r.addFinalizer(ctx, obj); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.awaitAdmission(ctx, obj); err != nil {
		return ctrl.Result{}, r.hold(ctx, obj, before, err)
	}
	result, wrote, err := r.apply(ctx, obj, before)
	if apierrors.IsConflict(err) {
		return ctrl.Result{}, err
	}
	if statusErr := r.conclude(ctx, obj, before, err); statusErr != nil {
		return ctrl.Result{}, statusErr
	}
	if !settled(err) {
		return ctrl.Result{}, err
	}
	// What waits for all that it asks for is still somebody's, unless part of it was told of.
	if err == nil || wrote && len(result.entities) > 0 {
		if err := r.forgetAuthors(ctx, obj); err != nil {
			return ctrl.Result{}, err
		}
	}
	return lookAgain(result.lookAgainAt, r.Clock.Now()), nil
}

// conclude writes what came of the object into its status.
func (r *Reconciler[T]) conclude(ctx context.Context, obj, before T, err error) error {
	status := obj.GetObjectStatus()
	if settled(err) {
		status.LastHandledReconcileAt = cut(obj.GetAnnotations()[v1alpha1.ReconcileAtAnnotation], maxReconcileAt)
	}
	setConditions(status, obj.GetGeneration(), err, r.Clock.Now())
	if settled(err) && !declared.IsHeld(obj) {
		status.ObservedMarks = declared.MarksDigest(obj)
	}
	r.report(obj, before, err)
	return r.writeStatus(ctx, before, obj)
}

// apply brings the store in line with what the object comes to, and says whether it had to
// be written.
func (r *Reconciler[T]) apply(ctx context.Context, obj, before T) (result outcome, wrote bool, err error) {
	if err = r.settleID(ctx, obj); err == nil {
		result, err = r.kind.sync(ctx, obj)
	} else {
		// The id may be held by an object of another kind, whose end nobody here is told of.
		result.lookAgainAt = r.pollConflict(err)
	}
	if settled(err) || result.known {
		var writeErr error
		if wrote, writeErr = r.writeRows(ctx, r.objectOf(obj), result.entities, before, r.kind.references(obj)...); writeErr != nil {
			err = writeErr
		}
	}
	return result, wrote, err
}

// maxReconcileAt is as much of the annotation as the status has room for. Anybody may write
// more, which must not keep the status from being written.
const maxReconcileAt = 256

// settled says that trying again would lead to the same: all went well, or the status
// explains what stands in the way.
func settled(err error) bool {
	_, explained := asFailure(err)
	return err == nil || explained
}

// remove takes the rows away first: revocation never waits for a finalizer.
func (r *Reconciler[T]) remove(ctx context.Context, obj T) error {
	object := iam.Object{Kind: r.name, Namespace: obj.GetNamespace(), Name: obj.GetName()}
	if _, err := r.writeRows(ctx, object, nil, obj); err != nil {
		return err
	}
	if !controllerutil.ContainsFinalizer(obj, v1alpha1.Finalizer) {
		return nil
	}
	before := obj.DeepCopyObject().(T)
	err := r.kind.remove(ctx, obj)
	if _, explained := asFailure(err); explained {
		// What stands in the way is of this namespace; a watch tells when it is gone.
		setConditions(obj.GetObjectStatus(), obj.GetGeneration(), err, r.Clock.Now())
		return r.writeStatus(ctx, before, obj)
	}
	if err != nil {
		return err
	}
	controllerutil.RemoveFinalizer(obj, v1alpha1.Finalizer)
	return client.IgnoreNotFound(r.Client.Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
}

func (r *Reconciler[T]) addFinalizer(ctx context.Context, obj T) error {
	if isCatalogueSet(obj) || controllerutil.ContainsFinalizer(obj, v1alpha1.Finalizer) {
		return nil
	}
	before := obj.DeepCopyObject().(T)
	controllerutil.AddFinalizer(obj, v1alpha1.Finalizer)
	err := r.Client.Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return fmt.Errorf("add the finalizer: %w", err)
	}
	return nil
}

func (r *Reconciler[T]) newObject() T { return r.prototype.DeepCopyObject().(T) }

func (r *Reconciler[T]) objectOf(obj T) iam.Object {
	return iam.Object{Kind: r.name, Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: string(obj.GetUID())}
}

// writeStatus applies the status when it differs from what the cache holds.
func (r *Reconciler[T]) writeStatus(ctx context.Context, before, after T) error {
	sortConditions(before.GetObjectStatus().Conditions)
	if equality.Semantic.DeepEqual(statusOf(before), statusOf(after)) {
		return nil
	}
	return r.applyStatus(ctx, after)
}

func statusOf(obj Object) any { return reflect.ValueOf(obj).Elem().FieldByName("Status").Interface() }

func lookAgain(at *time.Time, now time.Time) ctrl.Result {
	if at == nil {
		return ctrl.Result{}
	}
	// A time that has come between the decision and now still needs a look.
	return ctrl.Result{RequeueAfter: max(at.Sub(now), time.Millisecond)}
}
