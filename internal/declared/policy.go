// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// maxConditionIssues is how many faults of one condition are listed: the first ones usually cause the others.
const maxConditionIssues = 5

// Rule is what the references of a policy's rule resolved to, in the order declared.
type Rule struct {
	// PermissionSets are the spec.names of the sets that exist.
	PermissionSets []string
	// ProjectIDs are the ids of the Projects that were found; with scope Organization they are not looked at.
	ProjectIDs []string
	// Refused says why the rule grants nothing; empty when it counts.
	Refused string
}

// Policy is the entity of a Policy. rules[i] is what spec.rules[i] resolved to; a rule without one grants nothing. The
// principal is left out without a principalID, and then the policy grants nothing.
func Policy(p *v1alpha1.Policy, organizationID, principalID string, rules []Rule) *iam.Policy {
	policy := &iam.Policy{
		Head:        Head(p, iam.KindPolicy, organizationID),
		Name:        nameOf(p, string(p.Spec.DisplayName)),
		Description: p.Spec.Description,
		Tags:        strs(p.Spec.Tags),
	}
	if p.Spec.Principal != nil && principalID != "" {
		policy.PrincipalKind = iam.PrincipalKind(p.Spec.Principal.Kind)
		policy.PrincipalID = principalID
	}
	for i := range p.Spec.Rules {
		var resolved Rule
		if i < len(rules) {
			resolved = rules[i]
		}
		declared := &p.Spec.Rules[i]
		rule := iam.Rule{
			ID:                iam.RuleID(policy.ID, p.Generation, i),
			PermissionSets:    distinct(resolved.PermissionSets),
			OrganizationScope: declared.Scope == v1alpha1.ScopeOrganization,
			Condition:         declared.Condition,
			Refused:           resolved.Refused,
		}
		if !rule.OrganizationScope {
			rule.ProjectIDs = distinct(resolved.ProjectIDs)
		}
		policy.Rules = append(policy.Rules, rule)
	}
	return policy
}

// ValidatePolicy says what is wrong with a Policy, as far as it alone tells: PolicyErrors, and ConditionErrors of each
// rule. It is for who refuses a policy as a whole. The loop, in which one bad rule does not stop the others, calls
// PolicyErrors, and then ConditionErrors and RuleErrors rule by rule.
func ValidatePolicy(p *v1alpha1.Policy) field.ErrorList {
	errs := PolicyErrors(p)
	for i, rule := range p.Spec.Rules {
		errs = append(errs, ConditionErrors(RulePath(i), rule)...)
	}
	return errs
}

// PolicyErrors says what is wrong with a Policy apart from its rules.
func PolicyErrors(p *v1alpha1.Policy) field.ErrorList {
	errs := validateObject(p)
	errs = append(errs, validateName(p, string(p.Spec.DisplayName))...)
	return append(errs, validateTags(field.NewPath("spec", "tags"), p.Spec.Tags)...)
}

// RulePath is the path of a policy's rule: spec.rules[index].
func RulePath(index int) *field.Path { return field.NewPath("spec", "rules").Index(index) }

// ConditionErrors says why a rule's condition does not compile: line, column and CEL's words. A rule without a condition
// has none.
func ConditionErrors(path *field.Path, rule v1alpha1.PolicyRule) field.ErrorList {
	if rule.Condition == "" {
		return nil
	}
	_, err := condition.Compile(rule.Condition)
	if err == nil {
		return nil
	}
	path = path.Child("condition")
	var refused *condition.Error
	if !errors.As(err, &refused) {
		return field.ErrorList{field.InternalError(path, err)}
	}
	var errs field.ErrorList
	for i, issue := range refused.Issues {
		if more := len(refused.Issues) - i; i == maxConditionIssues && more > 0 {
			return append(errs, field.Invalid(path, field.OmitValueType{}, fmt.Sprintf("and %d more", more)))
		}
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, issue.String()))
	}
	return errs
}

// RuleErrors judges a rule against the scope types of the permission sets that exist, by their names in lower case. Sets
// that do not exist are not looked at: they grant nothing until they do.
func RuleErrors(path *field.Path, rule v1alpha1.PolicyRule, scopeTypes map[string]iam.ScopeType) field.ErrorList {
	errs := scopeErrors(path, rule)
	first := map[iam.ScopeType]v1alpha1.PermissionSetName{}
	sets := path.Child("permissionSets")
	for i, name := range rule.PermissionSets {
		scopeType, exists := scopeTypes[lower(name)]
		if !exists {
			continue
		}
		if _, seen := first[scopeType]; !seen {
			first[scopeType] = name
		}
		if scopeType == iam.ScopeOrganization && rule.Scope == v1alpha1.ScopeProjects {
			errs = append(errs, field.Invalid(sets.Index(i), name,
				"this set's scope type is Organization, which goes with scope: Organization only; grant it in a rule of that scope"))
		}
	}
	if len(first) > 1 {
		errs = append(errs, field.Invalid(sets, field.OmitValueType{},
			fmt.Sprintf("the sets of a rule have one scope type, but %s has Projects and %s has Organization; write a rule for each",
				first[iam.ScopeProjects], first[iam.ScopeOrganization])))
	}
	return errs
}

// scopeErrors is the schema's rule once more. It matters too much to trust the installed schema with it: Projects listed
// beside scope: Organization would be granted, and all others with them.
func scopeErrors(path *field.Path, rule v1alpha1.PolicyRule) field.ErrorList {
	refs := path.Child("projectRefs")
	switch {
	case rule.Scope == v1alpha1.ScopeProjects && len(rule.ProjectRefs) == 0:
		return field.ErrorList{field.Required(refs, "scope: Projects needs at least one Project; use scope: Organization for all of them")}
	case rule.Scope == v1alpha1.ScopeOrganization && len(rule.ProjectRefs) > 0:
		return field.ErrorList{field.Forbidden(refs, "scope: Organization reaches every Project; remove projectRefs, or write scope: Projects")}
	}
	return nil
}
