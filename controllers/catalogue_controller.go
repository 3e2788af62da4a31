// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// catalogue keeps the PermissionSets of the built-in catalogue in the cluster as they are
// documented: made at start, put back when somebody edits or deletes one.
type catalogue struct {
	*Environment
	sets map[string]iam.CatalogueSet
}

func newCatalogue(environment *Environment) *catalogue {
	c := &catalogue{Environment: environment, sets: map[string]iam.CatalogueSet{}}
	for _, set := range iam.Catalogue() {
		c.sets[strings.ToLower(set.Name)] = set
	}
	return c
}

// Reconcile applies one set of the catalogue, if it is not there as it should be.
func (c *catalogue) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	set, managed := c.sets[request.Name]
	if !managed {
		return ctrl.Result{}, nil
	}
	wanted := permissionSetOf(set)
	held := &v1alpha1.PermissionSet{}
	err := c.Client.Get(ctx, request.NamespacedName, held)
	if apierrors.IsNotFound(err) {
		return ctrl.Result{}, client.IgnoreAlreadyExists(c.Client.Create(ctx, wanted, fieldOwner))
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read PermissionSet %s: %w", request.Name, err)
	}
	if held.Labels[v1alpha1.ManagedLabel] == "true" && equality.Semantic.DeepEqual(held.Spec, wanted.Spec) {
		return ctrl.Result{}, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wanted)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("convert PermissionSet %s: %w", request.Name, err)
	}
	patch := &unstructured.Unstructured{Object: map[string]any{"spec": content["spec"]}}
	patch.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(string(iam.KindPermissionSet)))
	patch.SetName(wanted.Name)
	patch.SetLabels(wanted.Labels)
	if err := c.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(patch), fieldOwner, client.ForceOwnership); err != nil {
		return ctrl.Result{}, fmt.Errorf("apply PermissionSet %s: %w", request.Name, err)
	}
	return ctrl.Result{}, nil
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

func (c *catalogue) register(mgr ctrl.Manager) error {
	initial := make(chan event.GenericEvent)
	err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		for name := range c.sets {
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
