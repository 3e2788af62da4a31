// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// catalogueSets holds the built-in permission sets by the names of their objects.
var catalogueSets = sync.OnceValue(func() map[string]*v1alpha1.PermissionSet {
	sets := map[string]*v1alpha1.PermissionSet{}
	for _, set := range iam.Catalogue() {
		object := permissionSetOf(set)
		sets[object.Name] = object
	}
	return sets
})

// isCatalogueSet says whether an object has the name of a built-in permission set.
func isCatalogueSet(obj Object) bool {
	set, ok := obj.(*v1alpha1.PermissionSet)
	return ok && catalogueSets()[set.Name] != nil
}

// catalogue keeps the PermissionSets of the built-in catalogue in the cluster as they are
// documented: made at start, put back when somebody edits or deletes one.
type catalogue struct{ *Environment }

// Reconcile puts one set of the catalogue back, if it is not there as it should be.
func (c catalogue) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	wanted := catalogueSets()[request.Name]
	if wanted == nil {
		return ctrl.Result{}, nil
	}
	held := &v1alpha1.PermissionSet{}
	err := c.Client.Get(ctx, request.NamespacedName, held)
	switch {
	case apierrors.IsNotFound(err):
		err = client.IgnoreAlreadyExists(c.Client.Create(ctx, wanted.DeepCopy()))
	case err == nil:
		err = c.putBack(ctx, held, wanted)
	}
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: behind}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("keep PermissionSet %s as it is documented: %w", request.Name, err)
	}
	return ctrl.Result{}, nil
}

// putBack writes the whole spec: applied, a list would keep what somebody else added. What
// cannot be changed is made anew.
func (c catalogue) putBack(ctx context.Context, held, wanted *v1alpha1.PermissionSet) error {
	if !held.DeletionTimestamp.IsZero() {
		return nil
	}
	if held.Spec.Name != wanted.Spec.Name || held.Spec.ScopeType != wanted.Spec.ScopeType {
		return client.IgnoreNotFound(c.Client.Delete(ctx, held, client.Preconditions{UID: &held.UID, ResourceVersion: &held.ResourceVersion}))
	}
	next := held.DeepCopy()
	next.Spec = *wanted.Spec.DeepCopy()
	if next.Labels == nil {
		next.Labels = map[string]string{}
	}
	next.Labels[v1alpha1.ManagedLabel] = "true"
	controllerutil.RemoveFinalizer(next, v1alpha1.Finalizer)
	if equality.Semantic.DeepEqual(held, next) {
		return nil
	}
	next.ManagedFields = nil // The cache does not have them whole; those that are there stay.
	return c.Client.Update(ctx, next)
}

func permissionSetOf(set iam.CatalogueSet) *v1alpha1.PermissionSet {
	wanted := &v1alpha1.PermissionSet{Spec: v1alpha1.PermissionSetSpec{
		Name:        v1alpha1.PermissionSetName(set.Name),
		ScopeType:   v1alpha1.PermissionSetScopeType(set.ScopeType),
		Description: set.Description,
		Categories:  set.Categories,
	}}
	wanted.Name = strings.ToLower(set.Name)
	wanted.Labels = map[string]string{v1alpha1.ManagedLabel: "true"}
	for _, permission := range set.Permissions {
		wanted.Spec.Permissions = append(wanted.Spec.Permissions, v1alpha1.Permission(permission.String()))
	}
	return wanted
}

func (c catalogue) register(mgr ctrl.Manager) error {
	initial := make(chan event.GenericEvent)
	err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		for name := range catalogueSets() {
			set := &v1alpha1.PermissionSet{}
			set.Name = name
			select {
			case initial <- event.GenericEvent{Object: set}:
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	}))
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("catalogue").
		For(&v1alpha1.PermissionSet{}, builder.WithPredicates(declaredChanged())).
		WatchesRawSource(source.Channel(initial, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency}).
		Complete(c)
}
