// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// sweeper asks, once the cache is filled, for every row whose object is not there: it went
// while the operator was away, and no event will ever tell.
type sweeper struct {
	*Environment
	orphans map[iam.Kind]chan event.GenericEvent
}

func (s *sweeper) run(ctx context.Context) error {
	for _, kind := range iam.Kinds() {
		page, err := s.Store.List(ctx, store.Query{Kind: kind})
		if err != nil {
			return fmt.Errorf("list the rows of kind %s: %w", kind, err)
		}
		for _, row := range page.Rows {
			if err := s.ask(ctx, row.Entity.GetHead().Object); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask wakes the reconciler of an object that the cache does not have. The reconciler
// confirms the absence before it removes anything.
func (s *sweeper) ask(ctx context.Context, object iam.Object) error {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(string(object.Kind)))
	typed, err := s.Client.Scheme().New(metadata.GroupVersionKind())
	if err != nil {
		return fmt.Errorf("a row comes from an object of unknown kind %q: %w", object.Kind, err)
	}
	obj := typed.(client.Object)
	err = s.Client.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: object.Name}, obj)
	if !apierrors.IsNotFound(err) {
		return err
	}
	metadata.SetNamespace(object.Namespace)
	metadata.SetName(object.Name)
	select {
	case s.orphans[object.Kind] <- event.GenericEvent{Object: metadata}:
	case <-ctx.Done():
	}
	return nil
}
