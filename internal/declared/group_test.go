// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"testing"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func TestGroup(t *testing.T) {
	wanted := &iam.Group{
		Head: head(iam.KindGroup, "deployers"), Name: "Deployers", Description: "who deploys", Tags: []string{"a"},
		Membership: iam.MembershipDeclared, Members: []string{projectID, otherID},
	}
	same(t, declared.Group(group(), organizationID, []string{projectID, "", otherID, projectID}), wanted)

	unsaid := group()
	unsaid.Spec.Membership = ""
	same(t, declared.Group(unsaid, organizationID, []string{projectID, otherID}), wanted)

	// Nobody is listed in a dynamic group, whatever an older schema may have let in.
	dynamic := group()
	dynamic.Spec.Membership = v1alpha1.MembershipAllUsers
	wanted.Membership, wanted.Members = iam.MembershipAllUsers, nil
	same(t, declared.Group(dynamic, organizationID, []string{projectID}), wanted)
}

func TestValidateGroup(t *testing.T) {
	type groupCase = invalid[*v1alpha1.Group]
	refuses(t, group, declared.ValidateGroup, map[string]groupCase{
		"members of a dynamic group": {
			func(g *v1alpha1.Group) { g.Spec.Membership = v1alpha1.MembershipAllApplications },
			[]want{{"spec.members", "members are listed with membership: Declared only, and this group's is AllApplications; remove them"}},
		},
		"the same tag twice": {
			func(g *v1alpha1.Group) { g.Spec.Tags = []v1alpha1.Tag{"a", "a"} },
			[]want{{"spec.tags[1]", "Duplicate value"}},
		},
	})
	passes(t, group, declared.ValidateGroup, map[string]func(*v1alpha1.Group){
		"membership left out": func(g *v1alpha1.Group) { g.Spec.Membership = "" },
		"a dynamic group": func(g *v1alpha1.Group) {
			g.Spec.Membership, g.Spec.Members = v1alpha1.MembershipAllUsers, nil
		},
	})
}
