// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// contentKind is a kind of objects that an Organization or a Project holds.
type contentKind struct {
	name   string
	object client.Object
	list   client.ObjectList
}

func sshKeyContent() contentKind {
	return contentKind{"SSHKey", &v1alpha1.SSHKey{}, &v1alpha1.SSHKeyList{}}
}

func organizationContent() []contentKind {
	return []contentKind{
		{"Project", &v1alpha1.Project{}, &v1alpha1.ProjectList{}},
		{"Member", &v1alpha1.Member{}, &v1alpha1.MemberList{}},
		{"Group", &v1alpha1.Group{}, &v1alpha1.GroupList{}},
		{"Application", &v1alpha1.Application{}, &v1alpha1.ApplicationList{}},
		{"APIKey", &v1alpha1.APIKey{}, &v1alpha1.APIKeyList{}},
		{"Policy", &v1alpha1.Policy{}, &v1alpha1.PolicyList{}},
		sshKeyContent(),
	}
}

// holdForContent holds a deletion back while objects of the same namespace refer to what
// is deleted; never for those of other namespaces, and for none once the namespace itself
// goes, so that no tenant can hold up another.
func (e *Environment) holdForContent(ctx context.Context, obj client.Object, key reference, kinds ...contentKind) error {
	namespace := &corev1.Namespace{}
	living, err := e.find(ctx, reference{kindNamespace, "", obj.GetNamespace()}, namespace)
	if err != nil || !living {
		return err
	}
	var held []string
	for _, content := range kinds {
		list := content.list.DeepCopyObject().(client.ObjectList)
		err := e.Client.List(ctx, list, client.InNamespace(obj.GetNamespace()), client.MatchingFields{referenceIndex: key.String()}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return fmt.Errorf("list what %s holds: %w", key, err)
		}
		count := 0
		if err := eachItem(list, func(client.Object) { count++ }); err != nil {
			return err
		}
		if count > 0 {
			held = append(held, fmt.Sprintf("%d of kind %s", count, content.name))
		}
	}
	if len(held) == 0 {
		return nil
	}
	return waiting(v1alpha1.ReasonDeleting, "Nothing of it counts any more; it goes when these objects of its namespace are deleted: %s", strings.Join(held, ", "))
}

// watchContent wakes what holds an object when that object goes.
func watchContent(b *builder.Builder, wake func(client.Object) []reconcile.Request, kinds ...contentKind) {
	gone := predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	}
	for _, content := range kinds {
		b.Watches(content.object, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
			return wake(obj)
		}), builder.WithPredicates(gone))
	}
}

func requestFor(ref reference) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: ref.namespace, Name: ref.name}}}
}
