// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

var permissionSetNameForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}$`)

// PermissionSet is the entity of a PermissionSet, which belongs to no Organization.
func PermissionSet(s *v1alpha1.PermissionSet) *iam.PermissionSet {
	set := &iam.PermissionSet{
		Head:                  Head(s, iam.KindPermissionSet, ""),
		Name:                  string(s.Spec.Name),
		ScopeType:             iam.ScopeType(s.Spec.ScopeType),
		Description:           s.Spec.Description,
		Categories:            strs(s.Spec.Categories),
		Permissions:           strs(s.Spec.Permissions),
		Managed:               isManaged(s),
		IncludedInAllProducts: s.Spec.IncludedInAllProducts,
	}
	if set.Permissions == nil {
		set.Permissions = []string{} // always present, and so never null
	}
	return set
}

// ValidatePermissionSet says what is wrong with a PermissionSet, as far as it alone tells.
func ValidatePermissionSet(s *v1alpha1.PermissionSet) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateObject(s)
	switch {
	case !permissionSetNameForm.MatchString(string(s.Spec.Name)):
		errs = append(errs, field.Invalid(spec.Child("name"), s.Spec.Name, "a name has 1 to 64 letters and digits and begins with a letter, such as ObjectStorageReadOnly"))
	case s.Name != lower(s.Spec.Name):
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), s.Name,
			fmt.Sprintf("the object is named after the set in lower case, so that a name exists once in the cluster; write %s", lower(s.Spec.Name))))
	}
	if s.Spec.IncludedInAllProducts && s.Spec.ScopeType != v1alpha1.ScopeTypeProjects {
		errs = append(errs, field.Forbidden(spec.Child("includedInAllProducts"),
			"only a set of scope type Projects counts among all products; remove it"))
	}
	for _, problem := range iam.ValidatePermissionSet(iam.ScopeType(s.Spec.ScopeType), strs(s.Spec.Permissions)) {
		if problem.Index < 0 {
			errs = append(errs, field.Invalid(spec.Child("scopeType"), s.Spec.ScopeType, problem.Reason))
			continue
		}
		errs = append(errs, field.Invalid(spec.Child("permissions").Index(problem.Index), field.OmitValueType{}, problem.Reason))
	}
	return errs
}
