// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// pointer is one reference of an object.
type pointer struct {
	path            *field.Path
	kind            iam.Kind
	namespace, name string
}

// references warns of what an object refers to that is not there, in the words of the loop.
func (w *warner) references(ctx context.Context, obj declared.Object) {
	if _, ok := obj.(*v1alpha1.Organization); ok {
		return
	}
	if w.tenant == nil && obj.GetNamespace() != "" {
		w.withoutOrganization(obj)
		return // Then nothing else can be of its Organization.
	}
	for _, to := range pointersOf(obj) {
		if w.full() {
			return
		}
		if there, err := w.there(ctx, to); err == nil && !there {
			if to.kind == iam.KindPermissionSet {
				w.warn(to.path, "PermissionSet %s not found; it is granted once there is one", to.name)
				continue
			}
			w.warn(to.path, "%s %s not found in namespace %s of this Organization; it counts once there is one", to.kind, to.name, to.namespace)
		}
	}
}

func (w *warner) withoutOrganization(obj declared.Object) {
	of, path := organizationOf(obj), field.NewPath("spec", "organizationRef")
	if of.namespace == obj.GetNamespace() {
		w.warn(path, "Organization %s not found in namespace %s; the object counts once there is one", of.name, of.namespace)
		return
	}
	w.warn(path, "Organization %s in namespace %s does not exist, or does not admit namespace %s in its spec.allowedNamespaces; the object counts once it does",
		of.name, of.namespace, obj.GetNamespace())
}

// there says whether something is there, and of the Organization.
func (w *warner) there(ctx context.Context, to pointer) (bool, error) {
	if to.kind == iam.KindPermissionSet {
		name := v1alpha1.PermissionSetName(to.name)
		if set, err := w.permissionSet(ctx, w.cache, name); err != nil || set != nil {
			return set != nil, err
		}
		set, err := w.permissionSet(ctx, w.live, name)
		return set != nil, err
	}
	obj := newObject(to.kind)
	into, ok := obj.(client.Object)
	if !ok {
		return false, nil
	}
	found, err := w.get(ctx, client.ObjectKey{Namespace: to.namespace, Name: to.name}, into)
	if err != nil || !found {
		return false, err
	}
	return w.belongs(ctx, w.tenant, obj)
}

// pointersOf lists what an object refers to besides its Organization.
func pointersOf(obj declared.Object) []pointer {
	spec := field.NewPath("spec")
	switch obj := obj.(type) {
	case *v1alpha1.Member:
		return groupPointers(obj, spec, obj.Spec.Groups)
	case *v1alpha1.Application:
		return groupPointers(obj, spec, obj.Spec.Groups)
	case *v1alpha1.Group:
		to := make([]pointer, len(obj.Spec.Members))
		for i, member := range obj.Spec.Members {
			to[i] = pointer{spec.Child("members").Index(i), iam.Kind(member.Kind), obj.Namespace, string(member.Name)}
		}
		return to
	case *v1alpha1.SSHKey:
		return projectPointers(obj, spec.Child("projectRef"), obj.Spec.ProjectRef)
	case *v1alpha1.APIKey:
		return keyPointers(obj, spec)
	case *v1alpha1.Policy:
		return policyPointers(obj, spec)
	}
	return nil
}

func groupPointers(obj declared.Object, spec *field.Path, groups []v1alpha1.GroupRef) []pointer {
	to := make([]pointer, len(groups))
	for i, ref := range groups {
		to[i] = pointer{spec.Child("groups").Index(i), iam.KindGroup, or(string(ref.Namespace), obj.GetNamespace()), string(ref.Name)}
	}
	return to
}

// projectPointers is a reference to a Project, unless it is the default one, which is always there.
func projectPointers(obj declared.Object, path *field.Path, ref v1alpha1.ProjectRef) []pointer {
	if ref.Name == v1alpha1.DefaultProjectName {
		return nil
	}
	return []pointer{{path, iam.KindProject, or(string(ref.Namespace), obj.GetNamespace()), string(ref.Name)}}
}

func keyPointers(k *v1alpha1.APIKey, spec *field.Path) []pointer {
	var to []pointer
	if bearer := k.Spec.Bearer; bearer.Kind != v1alpha1.BearerOwner {
		to = append(to, pointer{spec.Child("bearer"), iam.Kind(bearer.Kind), k.Namespace, string(bearer.Name)})
	}
	if k.Spec.DefaultProjectRef != nil {
		to = append(to, projectPointers(k, spec.Child("defaultProjectRef"), *k.Spec.DefaultProjectRef)...)
	}
	return to
}

func policyPointers(p *v1alpha1.Policy, spec *field.Path) []pointer {
	var to []pointer
	if p.Spec.Principal != nil {
		of := principalOf(p)
		to = append(to, pointer{spec.Child("principal"), iam.Kind(of.kind), of.namespace, of.name})
	}
	for i, rule := range p.Spec.Rules {
		path := declared.RulePath(i)
		for j, name := range rule.PermissionSets {
			to = append(to, pointer{path.Child("permissionSets").Index(j), iam.KindPermissionSet, "", string(name)})
		}
		for j, ref := range rule.ProjectRefs {
			to = append(to, projectPointers(p, path.Child("projectRefs").Index(j), ref)...)
		}
	}
	return to
}
