// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// Application is the entity of an Application; groupIDs are the groups it joins from its own side, as far as they were
// found.
func Application(a *v1alpha1.Application, organizationID string, groupIDs []string) *iam.Application {
	application := &iam.Application{
		Head:        Head(a, iam.KindApplication, organizationID),
		Name:        nameOf(a, string(a.Spec.DisplayName)),
		Description: a.Spec.Description,
		Tags:        strs(a.Spec.Tags),
		Groups:      distinct(groupIDs),
	}
	for _, account := range a.Spec.ServiceAccounts {
		application.ServiceAccounts = append(application.ServiceAccounts, string(account.Name))
	}
	return application
}

// ValidateApplication says what is wrong with an Application, as far as it alone tells.
func ValidateApplication(a *v1alpha1.Application) field.ErrorList {
	errs := validateObject(a)
	errs = append(errs, validateName(a, string(a.Spec.DisplayName))...)
	return append(errs, validateTags(field.NewPath("spec", "tags"), a.Spec.Tags)...)
}
