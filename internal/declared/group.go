// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// Group is the entity of a Group; memberIDs are those it lists itself, as far as they were found. A dynamic group
// lists nobody.
func Group(g *v1alpha1.Group, organizationID string, memberIDs []string) *iam.Group {
	group := &iam.Group{
		Head:        Head(g, iam.KindGroup, organizationID),
		Name:        nameOf(g, string(g.Spec.DisplayName)),
		Description: g.Spec.Description,
		Tags:        strs(g.Spec.Tags),
		Membership:  iam.MembershipDeclared,
	}
	if declaresMembers(g) {
		group.Members = distinct(memberIDs)
	} else {
		group.Membership = iam.Membership(g.Spec.Membership)
	}
	return group
}

func declaresMembers(g *v1alpha1.Group) bool {
	return g.Spec.Membership == "" || g.Spec.Membership == v1alpha1.MembershipDeclared
}

// ValidateGroup says what is wrong with a Group, as far as it alone tells.
func ValidateGroup(g *v1alpha1.Group) field.ErrorList {
	errs := validateObject(g)
	errs = append(errs, validateName(g, string(g.Spec.DisplayName))...)
	errs = append(errs, validateTags(field.NewPath("spec", "tags"), g.Spec.Tags)...)
	if !declaresMembers(g) && len(g.Spec.Members) > 0 {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "members"),
			fmt.Sprintf("members are listed with membership: Declared only, and this group's is %s; remove them, or declare the membership",
				g.Spec.Membership)))
	}
	return errs
}
