// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// contest is the question who holds a name that several objects claim.
type contest[T Object] struct {
	// claim is the name, as the kind's claims give it.
	claim string
	// what calls it in the message.
	what string
	// holds says whether an object's status records that it holds the name.
	holds func(T) bool
	// counts says whether an object may contend at all; nil means that it may.
	counts func(T) (bool, error)
}

// judge gives a waiting failure when another object holds the name: the one whose status
// records it, else the older, else the one with the smaller UID (architecture, section 4).
// The message does not say who, since that may be none of the reader's business.
func judge[T Object](ctx context.Context, e *Environment, obj T, list client.ObjectList, c contest[T]) error {
	contenders, err := listByIndex[T](ctx, e.Client, list, claimIndex, c.claim)
	if err != nil {
		return fmt.Errorf("list who claims %s: %w", c.what, err)
	}
	for _, other := range contenders {
		if other.GetUID() == obj.GetUID() || !other.GetDeletionTimestamp().IsZero() {
			continue
		}
		counts, err := c.contends(ctx, e, other)
		if err != nil {
			return err
		}
		if counts && comesFirst(other, obj, c.holds) {
			return waiting(v1alpha1.ReasonConflict, "%s is held by another object; choose another, or wait until it is freed", c.what)
		}
	}
	return nil
}

// contends says whether an object may contend: not for what it wants and nobody judged.
func (c contest[T]) contends(ctx context.Context, e *Environment, obj T) (bool, error) {
	if !c.holds(obj) {
		if unjudged, err := e.isUnjudged(ctx, obj); err != nil || unjudged {
			return false, err
		}
	}
	if c.counts == nil {
		return true, nil
	}
	return c.counts(obj)
}

func comesFirst[T Object](a, b T, holds func(T) bool) bool {
	if holds(a) != holds(b) {
		return holds(a)
	}
	createdA, createdB := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	if !createdA.Equal(&createdB) {
		return createdA.Before(&createdB)
	}
	return a.GetUID() < b.GetUID()
}

// listByIndex lists the objects that the cache's index has under a key.
func listByIndex[T Object](ctx context.Context, reader client.Reader, prototype client.ObjectList, index, key string) ([]T, error) {
	list := prototype.DeepCopyObject().(client.ObjectList)
	// What is found is only read, so the cache's own objects will do.
	if err := reader.List(ctx, list, client.MatchingFields{index: key}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var objects []T
	err := eachItem(list, func(item client.Object) { objects = append(objects, item.(T)) })
	slices.SortFunc(objects, func(a, b T) int { return compareNames(a, b) })
	return objects, err
}
