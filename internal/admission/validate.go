// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// breaches lists the rules that an object breaks: those that it alone tells, which the loop
// applies again, and those that take its former version, its Organization or the permission
// sets. tenant is its Organization; what would need one that there is not is left to the loop.
func (v *validator) breaches(ctx context.Context, a *attempt, tenant *v1alpha1.Organization) (field.ErrorList, error) {
	errs := declaredErrors(a.Object)
	errs = append(errs, declared.AnnotationErrors(a.Object)...)
	errs = append(errs, idErrors(a)...)
	switch obj := a.Object.(type) {
	case *v1alpha1.Member:
		if tenant != nil {
			if reserved := declared.ReservedUsername(obj, tenant.Spec.Owner.Email); reserved != nil {
				errs = append(errs, reserved)
			}
		}
	case *v1alpha1.APIKey:
		lifetimes, err := v.lifetimeErrors(ctx, a, obj, tenant)
		if err != nil {
			return nil, err
		}
		errs = append(errs, lifetimes...)
	case *v1alpha1.Policy:
		scopes, err := v.scopeErrors(ctx, obj)
		if err != nil {
			return nil, err
		}
		errs = append(errs, scopes...)
	}
	exceeded, err := v.quotaErrors(ctx, a, tenant)
	return append(errs, exceeded...), err
}

// declaredErrors lists the rules that an object breaks as far as it alone tells.
func declaredErrors(obj declared.Object) field.ErrorList {
	switch obj := obj.(type) {
	case *v1alpha1.Organization:
		return declared.ValidateOrganization(obj)
	case *v1alpha1.Project:
		return declared.ValidateProject(obj)
	case *v1alpha1.Member:
		return declared.ValidateMember(obj)
	case *v1alpha1.Group:
		return declared.ValidateGroup(obj)
	case *v1alpha1.Application:
		return declared.ValidateApplication(obj)
	case *v1alpha1.APIKey:
		return declared.ValidateAPIKey(obj)
	case *v1alpha1.Policy:
		return declared.ValidatePolicy(obj)
	case *v1alpha1.PermissionSet:
		return declared.ValidatePermissionSet(obj)
	case *v1alpha1.SSHKey:
		return declared.ValidateSSHKey(obj)
	}
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("%T is no kind that anybody here can judge", obj))}
}

// idErrors refuses an id that comes too late. The loop would look away, and who wrote it
// would think it restored. The id that the object has already may be written down.
func idErrors(a *attempt) field.ErrorList {
	if a.old == nil {
		return nil
	}
	written, found := a.Object.GetAnnotations()[v1alpha1.IDAnnotation]
	before, had := a.old.GetAnnotations()[v1alpha1.IDAnnotation]
	if !found || had && before == written || written == declared.ID(a.old) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("metadata", "annotations").Key(v1alpha1.IDAnnotation),
		"an id is restored at creation only; remove the annotation, or delete the object and create it again with it")}
}

// scopeErrors judges the rules of a policy by the scope types of the permission sets that
// there are.
func (v *validator) scopeErrors(ctx context.Context, p *v1alpha1.Policy) (field.ErrorList, error) {
	scopeTypes := map[string]iam.ScopeType{}
	looked := map[v1alpha1.PermissionSetName]bool{}
	var errs field.ErrorList
	for i, rule := range p.Spec.Rules {
		for _, name := range rule.PermissionSets {
			if looked[name] {
				continue
			}
			looked[name] = true
			set, err := v.permissionSet(ctx, v.cache, name)
			if err != nil {
				return nil, err
			}
			if set != nil {
				scopeTypes[strings.ToLower(string(name))] = iam.ScopeType(set.Spec.ScopeType)
			}
		}
		errs = append(errs, declared.RuleErrors(declared.RulePath(i), rule, scopeTypes)...)
	}
	return errs, nil
}

// permissionSet gives the set of just this name; nil if there is none.
func (w world) permissionSet(ctx context.Context, reader client.Reader, name v1alpha1.PermissionSetName) (*v1alpha1.PermissionSet, error) {
	set := &v1alpha1.PermissionSet{}
	err := reader.Get(ctx, client.ObjectKey{Name: strings.ToLower(string(name))}, set)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read PermissionSet %s: %w", name, err)
	}
	if set.Spec.Name != name || !set.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	return set, nil
}
