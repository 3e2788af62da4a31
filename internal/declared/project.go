// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// maxProjectObjectName leaves room for the ConfigMap <name>-authorized-keys.
const maxProjectObjectName = 237

// Project is the entity of a Project.
func Project(p *v1alpha1.Project, organizationID string) *iam.Project {
	return &iam.Project{
		Head:        Head(p, iam.KindProject, organizationID),
		Name:        nameOf(p, p.Spec.DisplayName),
		Description: p.Spec.Description,
	}
}

// ValidateProject says what is wrong with a Project, as far as it alone tells.
func ValidateProject(p *v1alpha1.Project) field.ErrorList {
	errs := validateObject(p)
	name := field.NewPath("metadata", "name")
	switch {
	case p.Name == v1alpha1.DefaultProjectName:
		errs = append(errs, field.Invalid(name, p.Name,
			"default is the Project that every Organization has without an object; choose another name"))
	case len(p.Name) > maxProjectObjectName:
		errs = append(errs, field.Invalid(name, field.OmitValueType{},
			fmt.Sprintf("the name has %d characters and may have %d, so that the ConfigMap <name>-authorized-keys can be named after it",
				len(p.Name), maxProjectObjectName)))
	default:
		errs = append(errs, validateName(p, p.Spec.DisplayName)...)
	}
	return errs
}
