// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func TestPolicy(t *testing.T) {
	wanted := &iam.Policy{
		Head: head(iam.KindPolicy, "deploy"), Name: "Deploy", Description: "may deploy", Tags: []string{"a"},
		PrincipalKind: iam.PrincipalGroup, PrincipalID: otherID,
		Rules: []iam.Rule{
			{
				ID: iam.RuleID(uid, 3, 0), PermissionSets: []string{"InstancesFullAccess", "ObjectStorageReadOnly"},
				ProjectIDs: []string{projectID, organizationID}, Condition: `inIpRange(request.ip, "10.0.0.0/8")`,
			},
			{ID: iam.RuleID(uid, 3, 1), PermissionSets: []string{"IAMReadOnly"}, OrganizationScope: true, Refused: "for a reason"},
		},
	}
	rules := []declared.Rule{
		{PermissionSets: []string{"InstancesFullAccess", "ObjectStorageReadOnly"}, ProjectIDs: []string{projectID, organizationID, projectID, ""}},
		{PermissionSets: []string{"IAMReadOnly"}, ProjectIDs: []string{projectID}, Refused: "for a reason"},
	}
	same(t, declared.Policy(policy(), organizationID, otherID, rules), wanted)

	// Without an id there is nobody to grant to.
	wanted.PrincipalKind, wanted.PrincipalID = "", ""
	same(t, declared.Policy(policy(), organizationID, "", rules), wanted)

	// And without a principal an id is none of the policy's.
	orphan := policy()
	orphan.Spec.Principal = nil
	same(t, declared.Policy(orphan, organizationID, otherID, rules), wanted)
}

func TestPolicyRuleIDsFollowTheGeneration(t *testing.T) {
	edited := policy()
	edited.Generation++
	before, after := declared.Policy(policy(), organizationID, otherID, nil), declared.Policy(edited, organizationID, otherID, nil)
	if before.Rules[0].ID == after.Rules[0].ID || before.Rules[0].ID == before.Rules[1].ID {
		t.Errorf("rules share an id: %v, %v", before.Rules, after.Rules)
	}
}

// Law 5: what was not resolved grants nothing.
func TestLawPolicyFailsClosed(t *testing.T) {
	for name, rules := range map[string][]declared.Rule{
		"no rule resolved":       nil,
		"only empty ids":         {{PermissionSets: []string{""}, ProjectIDs: []string{""}}, {PermissionSets: []string{""}}},
		"no Project, and no set": {{PermissionSets: []string{"A"}}, {ProjectIDs: []string{projectID}}},
		"refused": {
			{PermissionSets: []string{"A"}, ProjectIDs: []string{projectID}, Refused: "x"}, {PermissionSets: []string{"A"}, Refused: "x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := declared.Policy(policy(), organizationID, otherID, rules)
			if len(got.Rules) != 2 {
				t.Fatalf("got %d rules", len(got.Rules))
			}
			for i, rule := range got.Rules {
				if rule.Effective() {
					t.Errorf("rule %d grants: %+v", i, rule)
				}
			}
		})
	}
}

func TestValidatePolicy(t *testing.T) {
	type policyCase = invalid[*v1alpha1.Policy]
	refuses(t, policy, declared.ValidatePolicy, map[string]policyCase{
		"the same tag twice": {
			func(p *v1alpha1.Policy) { p.Spec.Tags = []v1alpha1.Tag{"a", "a"} },
			[]want{{"spec.tags[1]", "Duplicate value"}},
		},
		"a name that does not exist": {
			func(p *v1alpha1.Policy) { p.Spec.Rules[1].Condition = "true &&\n request.ipp == ''" },
			[]want{{"spec.rules[1].condition", "Invalid value: line 2, column 9: undefined field 'ipp'"}},
		},
		"a condition that yields no bool": {
			func(p *v1alpha1.Policy) { p.Spec.Rules[0].Condition = "1 + 1" },
			[]want{{"spec.rules[0].condition", "bool"}},
		},
		"two faults in one condition": {
			func(p *v1alpha1.Policy) { p.Spec.Rules[0].Condition = "a || b" },
			[]want{{"spec.rules[0].condition", "line 1, column 1: undeclared reference to 'a'"}, {"spec.rules[0].condition", "line 1, column 6: undeclared reference to 'b'"}},
		},
		"many faults in one condition": {
			func(p *v1alpha1.Policy) { p.Spec.Rules[0].Condition = "a || b || c || d || e || f || g" },
			[]want{
				{"spec.rules[0].condition", "'a'"}, {"spec.rules[0].condition", "'b'"}, {"spec.rules[0].condition", "'c'"},
				{"spec.rules[0].condition", "'d'"}, {"spec.rules[0].condition", "'e'"}, {"spec.rules[0].condition", "and 2 more"},
			},
		},
		"faults of the policy and of two rules": {
			func(p *v1alpha1.Policy) {
				p.Spec.DisplayName, p.Name = "", strings.Repeat("a", 65)
				p.Spec.Rules[0].Condition, p.Spec.Rules[1].Condition = "a", "b"
			},
			[]want{{"metadata.name", "65"}, {"spec.rules[0].condition", "'a'"}, {"spec.rules[1].condition", "'b'"}},
		},
	})
	passes(t, policy, declared.ValidatePolicy, map[string]func(*v1alpha1.Policy){
		"nobody, nothing": func(p *v1alpha1.Policy) { p.Spec.Principal, p.Spec.Rules = nil, nil },
	})
}

// The loop judges rules one by one, so the policy's own errors must not hold any of theirs.
func TestPolicyErrorsLeaveRulesOut(t *testing.T) {
	p := policy()
	p.Spec.Rules[0].Condition = "a"
	p.Spec.Rules[1].ProjectRefs = p.Spec.Rules[0].ProjectRefs
	check(t, declared.PolicyErrors(p))
	check(t, declared.ConditionErrors(declared.RulePath(0), p.Spec.Rules[0]), want{"spec.rules[0].condition", "'a'"})
	check(t, declared.ConditionErrors(declared.RulePath(1), p.Spec.Rules[1]))
}

func TestRuleErrors(t *testing.T) {
	scopeTypes := map[string]iam.ScopeType{
		"instancesfullaccess": iam.ScopeProjects, "objectstoragereadonly": iam.ScopeProjects,
		"iamreadonly": iam.ScopeOrganization, "billingreadonly": iam.ScopeOrganization,
	}
	web := []v1alpha1.ProjectRef{{Name: "web"}}
	mixed := "the sets of a rule have one scope type, but InstancesFullAccess has Projects and IAMReadOnly has Organization; write a rule for each"
	for name, c := range map[string]struct {
		rule v1alpha1.PolicyRule
		want []want
	}{
		"project sets on Projects": {
			v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess", "ObjectStorageReadOnly"}, Scope: v1alpha1.ScopeProjects, ProjectRefs: web}, nil,
		},
		"project sets on the Organization": {
			v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess"}, Scope: v1alpha1.ScopeOrganization}, nil,
		},
		"organization sets on the Organization": {
			v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"IAMReadOnly", "BillingReadOnly"}, Scope: v1alpha1.ScopeOrganization}, nil,
		},
		"sets that do not exist are not judged": {
			v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"Unknown", "InstancesFullAccess"}, Scope: v1alpha1.ScopeProjects, ProjectRefs: web}, nil,
		},
		"sets of both types": {
			v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"IAMReadOnly", "Unknown", "InstancesFullAccess"}, Scope: v1alpha1.ScopeOrganization},
			[]want{{"spec.rules[7].permissionSets", mixed}},
		},
		"organization sets on Projects, whatever their case": {
			v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"iamREADONLY", "BillingReadOnly"}, Scope: v1alpha1.ScopeProjects, ProjectRefs: web},
			[]want{
				{"spec.rules[7].permissionSets[0]", `"iamREADONLY": this set's scope type is Organization, which goes with scope: Organization only`},
				{"spec.rules[7].permissionSets[1]", "this set's scope type is Organization"},
			},
		},
		"sets of both types on Projects": {
			v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess", "IAMReadOnly"}, Scope: v1alpha1.ScopeProjects, ProjectRefs: web},
			[]want{{"spec.rules[7].permissionSets[1]", "this set's scope type is Organization"}, {"spec.rules[7].permissionSets", mixed}},
		},
		"Projects that are not named": {
			v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess"}, Scope: v1alpha1.ScopeProjects},
			[]want{{"spec.rules[7].projectRefs", "scope: Projects needs at least one Project; use scope: Organization for all of them"}},
		},
		"Projects beside the Organization": {
			v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess"}, Scope: v1alpha1.ScopeOrganization, ProjectRefs: web},
			[]want{{"spec.rules[7].projectRefs", "scope: Organization reaches every Project; remove projectRefs, or write scope: Projects"}},
		},
	} {
		t.Run(name, func(t *testing.T) { check(t, declared.RuleErrors(declared.RulePath(7), c.rule, scopeTypes), c.want...) })
	}
}
