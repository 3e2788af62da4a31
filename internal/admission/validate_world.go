// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// world is what there is besides the object that is judged.
type world struct {
	// cache may be behind.
	cache client.Reader
	// live is the API server.
	live client.Reader
}

// get reads an object. What is not in the cache may have come just now: whoever applies a
// folder is faster than the cache.
func (w world) get(ctx context.Context, key client.ObjectKey, into client.Object) (bool, error) {
	err := w.cache.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		err = w.live.Get(ctx, key, into)
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %T %s: %w", into, key, err)
	}
	return into.GetDeletionTimestamp().IsZero(), nil
}

// tenant gives the Organization that an object belongs to, which for an Organization is what
// is stored of it. It is nil where there is none, and where it does not admit the object's
// namespace: by what is refused here, nobody is to learn about an Organization of others.
func (w world) tenant(ctx context.Context, obj declared.Object) (*v1alpha1.Organization, error) {
	name := organizationOf(obj)
	if name.namespace == "" {
		return nil, nil // a permission set
	}
	organization := &v1alpha1.Organization{}
	found, err := w.get(ctx, client.ObjectKey{Namespace: name.namespace, Name: name.name}, organization)
	if err != nil || !found {
		return nil, err
	}
	admitted, err := w.admits(ctx, organization, obj.GetNamespace())
	if err != nil || !admitted {
		return nil, err
	}
	return organization, nil
}

// admits says whether objects of a namespace may join an Organization.
func (w world) admits(ctx context.Context, organization *v1alpha1.Organization, namespace string) (bool, error) {
	allowed := organization.Spec.AllowedNamespaces
	switch {
	case namespace == organization.Namespace:
		return true, nil
	case allowed == nil || allowed.From == v1alpha1.NamespacesSame:
		return false, nil
	case allowed.From == v1alpha1.NamespacesAll:
		return true, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
	if err != nil {
		return false, nil // Nobody joins by a selector that can't be read; the Organization's status says so.
	}
	ns := &corev1.Namespace{}
	// A namespace that is going still has its objects.
	if _, err := w.get(ctx, client.ObjectKey{Name: namespace}, ns); err != nil {
		return false, err
	}
	return ns.Name != "" && selector.Matches(labels.Set(ns.Labels)), nil
}

// namespaceUID tells an Organization's namespace from a successor of the same name; empty where it is not known.
func (w world) namespaceUID(ctx context.Context, organization *v1alpha1.Organization) string {
	if organization == nil {
		return ""
	}
	ns := &corev1.Namespace{}
	if _, err := w.get(ctx, client.ObjectKey{Name: organization.Namespace}, ns); err != nil {
		return ""
	}
	return string(ns.UID)
}

// belongs says whether an object belongs to an Organization.
func (w world) belongs(ctx context.Context, organization *v1alpha1.Organization, obj declared.Object) (bool, error) {
	if organizationOf(obj) != (organizationName{organization.Namespace, organization.Name}) {
		return false, nil
	}
	return w.admits(ctx, organization, obj.GetNamespace())
}
