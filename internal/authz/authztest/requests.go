// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// ForReference gives a request in the reference's form.
func ForReference(r *authz.Request) reference.Request {
	return reference.Request{
		SubjectKind: string(r.Subject.Kind), SubjectID: r.Subject.ID, Permission: r.Permission,
		OrganizationID: r.Scope.OrganizationID, ProjectID: r.Scope.ProjectID, Attributes: reference.Attributes(r.Attributes),
	}
}

// Requests gives questions to ask of the world as it is now.
func (s *Small) Requests(count int) []authz.Request {
	requests := make([]authz.Request, count)
	for i := range requests {
		requests[i] = s.request()
	}
	return requests
}

// request gives a question. Each aims at one of the reasons, by whom it asks for and by what it spoils; most aim at a grant.
func (s *Small) request() authz.Request {
	aim := pickWeighted(s.dice, []weighted[string]{
		{48, reference.Granted}, {4, reference.Owner}, {3, reference.Malformed}, {3, reference.UnknownSubject}, {4, reference.KeyExpired},
		{5, reference.BearerGone}, {5, reference.Locked}, {4, reference.Invited}, {3, reference.UnknownScope}, {3, reference.NotGranted},
		{8, reference.OutOfScope}, {5, reference.ConditionFalse}, {5, reference.ConditionFailed},
	})
	asks := s.subject(aim)
	if s.dice.chance(40) {
		asks = s.touchedSubject(asks)
	}
	r := s.plausible(asks, aim)
	switch aim {
	case reference.Malformed:
		if s.dice.chance(15) {
			r.Subject.Kind = pick(s.dice, []authz.SubjectKind{"", "group", "User", "guest"})
		} else {
			r.Permission = s.spoiled(r.Permission)
		}
	case reference.UnknownScope:
		r.Scope = s.strangeScope(asks.home)
	case reference.NotGranted:
		r.Permission = s.randomPermission()
	case reference.OutOfScope:
		r.Scope = s.scope(asks.home, iam.Rule{OrganizationScope: true})
	}
	return r
}

// plausible gives a question of somebody that a rule answers: as a rule one that reaches the subject, in its scope, under
// its condition.
func (s *Small) plausible(asks subject, aim string) authz.Request {
	r := authz.Request{Subject: asks.Subject}
	attributes := randomAttributes(s.dice)
	policy, rule := s.ruleFor(asks.principal, aim)
	if policy == nil {
		r.Permission, r.Scope = s.randomPermission(), s.scope(asks.home, iam.Rule{OrganizationScope: true})
		return r
	}
	r.Permission = s.permissionOf(pick(s.dice, s.entries(rule)))
	r.Scope = s.scope(asks.home, rule)
	if c, compiles := s.conditions[rule.Condition]; compiles && s.dice.chance(70) {
		lean(s.dice, c, s.dice.chance(70) && aim != reference.ConditionFalse, &attributes)
	}
	if aim == reference.ConditionFailed {
		attributes = reference.Attributes{Time: attributes.Time} // of which few conditions can make anything
	}
	r.Attributes = condition.Attributes(attributes)
	return r
}

// touchedSubject gives somebody for whom the latest change may matter; the one given if there is nobody.
func (s *Small) touchedSubject(otherwise subject) subject {
	v := s.view()
	var principals []string
	switch e := pick(s.dice, s.touched).(type) {
	case *iam.APIKey:
		return subject{authz.Subject{Kind: authz.SubjectAPIKey, ID: e.ID}, e.BearerID, s.homeOf(e.BearerID, e.OrganizationID)}
	case *iam.Member, *iam.Application:
		principals = []string{e.GetHead().ID}
	case *iam.Group:
		principals = v.members(e)
	case *iam.Policy:
		principals = v.reached(e)
	case *iam.PermissionSet:
		if policies := v.naming(e.Name); len(policies) > 0 {
			principals = v.reached(pick(s.dice, policies))
		}
	}
	if len(principals) == 0 {
		return otherwise
	}
	if asking := v.asking[pick(s.dice, principals)]; len(asking) > 0 {
		return pick(s.dice, asking)
	}
	return otherwise
}

// ruleFor gives a rule for somebody, with a condition where one is aimed at; often one that just changed, or is no more.
func (s *Small) ruleFor(principal, aim string) (*iam.Policy, iam.Rule) {
	if changed, ok := pick(s.dice, s.touched).(*iam.Policy); ok && len(changed.Rules) > 0 && s.dice.chance(50) {
		return changed, pick(s.dice, changed.Rules)
	}
	for range 5 {
		policy := s.policyFor(principal)
		if policy == nil {
			break
		}
		rule := pick(s.dice, policy.Rules)
		if needed := aim == reference.ConditionFalse || aim == reference.ConditionFailed; rule.Condition != "" || !needed {
			return policy, rule
		}
	}
	return nil, iam.Rule{}
}

// entries are the permissions of one of a rule's sets: of one that there is, as a rule.
func (s *Small) entries(rule iam.Rule) []string {
	for range 3 {
		if found := s.view().sets[strings.ToLower(pick(s.dice, rule.PermissionSets))]; found != nil {
			return found
		}
	}
	return nil
}

// policyFor gives a policy that reaches somebody, or nearly so. Sometimes it gives any.
func (s *Small) policyFor(principal string) *iam.Policy {
	near := s.view().near(principal)
	switch at := s.dice.IntN(100); {
	case at < 75 && len(near.reach) > 0:
		return pick(s.dice, near.reach)
	case at < 90 && len(near.nearly) > 0:
		return pick(s.dice, near.nearly)
	}
	return pick(s.dice, s.view().policies)
}

// scope gives a scope that a rule covers, as a rule, in the asker's Organization.
func (s *Small) scope(home string, rule iam.Rule) authz.Scope {
	var scope authz.Scope
	switch {
	case !rule.OrganizationScope && s.dice.chance(90):
		scope.ProjectID = pick(s.dice, rule.ProjectIDs)
		if !slices.Contains(s.view().projects[home], scope.ProjectID) && s.dice.chance(70) {
			scope.ProjectID = pick(s.dice, s.view().projects[home])
		}
	case s.dice.chance(50):
		scope.ProjectID = pick(s.dice, s.view().projects[home])
	}
	if s.dice.chance(30) {
		scope.OrganizationID = home
	}
	return scope
}

// strangeScope gives a scope that is not there, or is another Organization's.
func (s *Small) strangeScope(home string) authz.Scope {
	elsewhere := pick(s.dice, append([]string{"organization-7", strings.ToUpper(home)}, s.organizations...))
	projects := []string{"project-7", strings.ToUpper(home)}
	for _, p := range s.places {
		if p.kind == iam.KindProject && (p.home != home || s.present[p] == nil) {
			projects = append(projects, p.id)
		}
	}
	switch s.dice.IntN(4) {
	case 0:
		return authz.Scope{OrganizationID: elsewhere}
	case 1:
		return authz.Scope{OrganizationID: elsewhere, ProjectID: s.id(home, iam.KindProject)}
	case 2:
		return authz.Scope{OrganizationID: home, ProjectID: pick(s.dice, projects)}
	}
	return authz.Scope{ProjectID: pick(s.dice, projects)}
}

// subject gives somebody whose question gets a reason that lies in the subject; for another reason, somebody who counts.
func (s *Small) subject(aim string) subject {
	asked := s.view().subjects
	switch aim {
	case reference.Owner, reference.KeyExpired, reference.BearerGone, reference.Locked, reference.Invited, reference.UnknownSubject:
		if fitting := asked[aim]; len(fitting) > 0 {
			return pick(s.dice, fitting)
		}
	}
	if aim == reference.UnknownScope && s.dice.chance(30) {
		return pick(s.dice, asked[reference.Owner]) // for whom the scope is all that could be wrong
	}
	who := pick(s.dice, asked[reference.NotGranted])
	if len(s.view().near(who.principal).reach) == 0 {
		return pick(s.dice, asked[reference.NotGranted])
	}
	return who
}
