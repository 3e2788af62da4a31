// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// Kinds names what kind of allowing a grant is, of those of AllKinds; none for a denial, or for the owner, whom nothing is
// granted. It names a kind only where all grants that allow are of it, so that the decision hangs on it.
func Kinds(world World, answer reference.Answer) []string {
	if !answer.Allowed {
		return nil
	}
	counts := map[string]int{}
	for _, grant := range answer.Grants {
		for _, kind := range grantKinds(world, grant) {
			counts[kind]++
		}
	}
	var kinds []string
	for _, kind := range AllKinds() {
		if counts[kind] > 0 && counts[kind] == len(answer.Grants) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// The kinds of allowing.
const (
	direct               = "granted directly"
	throughDeclaredGroup = "granted through a declared group"
	throughDynamicGroup  = "granted through a dynamic group"
	conditional          = "granted under a condition"
	unconditional        = "granted without condition"
	onOrganization       = "granted on the Organization"
	onProject            = "granted on a Project"
)

// AllKinds lists the kinds of allowing by a grant.
func AllKinds() []string {
	return []string{direct, throughDeclaredGroup, throughDynamicGroup, conditional, unconditional, onOrganization, onProject}
}

func grantKinds(world World, grant reference.Grant) []string {
	var kinds []string
	for _, entity := range world.Entities {
		policy, ok := entity.(*iam.Policy)
		if !ok || policy.ID != grant.PolicyID {
			continue
		}
		kinds = append(kinds, principalKind(world, policy))
		for _, rule := range policy.Rules {
			if rule.ID == grant.RuleID {
				kinds = append(kinds, either(rule.Condition != "", conditional, unconditional), either(rule.OrganizationScope, onOrganization, onProject))
			}
		}
	}
	return kinds
}

func principalKind(world World, policy *iam.Policy) string {
	for _, entity := range world.Entities {
		if group, ok := entity.(*iam.Group); ok && policy.PrincipalKind == iam.PrincipalGroup && group.ID == policy.PrincipalID {
			return either(group.Membership == iam.MembershipDeclared, throughDeclaredGroup, throughDynamicGroup)
		}
	}
	return direct
}
