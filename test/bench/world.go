// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/authz/authztest"
	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// world is a generated world with the questions to ask of it, in the terms of engines that know nothing of IAM: who may
// ask by which id, what each belongs to, and what is granted to whom, where, under which condition.
type world struct {
	seed uint64
	size int
	// organizations are those that there are, and projects are the Projects of each.
	organizations []string
	projects      map[string][]string
	principals    []*principal
	policies      []*policy
	// holders are, for every permission that is asked for, the sets that hold it.
	holders map[string][]string
	// projectSets are all permission sets there are, and whether each can be granted on a Project.
	projectSets map[string]bool
	questions   []*question
}

// principal is somebody who may ask.
type principal struct {
	id, organization string
	locked           bool
	// keys are those that have not expired. Engines other than ours are spared to look at the clock at each decision.
	keys []string
	// groups are the ids of those that it belongs to, declared and dynamic ones.
	groups []string
}

// policy is what a policy grants.
type policy struct {
	id, organization string
	grants           []grant
	entity           *iam.Policy
}

// grant is what a rule grants.
type grant struct {
	// id is the rule's.
	id, organization string
	// grantee is whom it is for, a group or a principal.
	grantee string
	toGroup bool
	scopes  []scope
	sets    []string
	// condition is nil if there is none.
	condition reference.Condition
}

// scope is an Organization, or a Project of one.
type scope struct {
	isProject bool
	id        string
}

// question is one request.
type question struct {
	request authz.Request
	// subject is who asks, permission what for, and scope where; organization is that of the scope.
	subject, permission, organization string
	scope                             scope
	// hours are what time it is in the zones that conditions name, by name: several engines know no time zones.
	hours map[string]int
	want  bool
	class class
	// by is the policy without which the answer would be no, if that is one; otherwise empty.
	by string
}

// class is what kind of question it is.
type class string

// The classes.
const (
	withoutCondition class = "without condition"
	withCondition    class = "with a condition"
	denied           class = "denied"
	unknownKey       class = "unknown key"
)

func classes() []class { return []class{withoutCondition, withCondition, denied, unknownKey} }

// newWorld gives the world of a seed with so many policies, and so many questions.
func newWorld(seed uint64, size, questions int) *world {
	large := authztest.NewLarge(seed, size)
	w := &world{seed: seed, size: size, projects: map[string][]string{}, holders: map[string][]string{}}
	m := members{byID: map[string]*principal{}, dynamic: map[string]map[iam.Membership]string{}}
	var sets []*iam.PermissionSet
	for _, entity := range large.Entities {
		switch e := entity.(type) {
		case *iam.Organization:
			w.organizations = append(w.organizations, e.ID)
		case *iam.Project:
			w.projects[e.OrganizationID] = append(w.projects[e.OrganizationID], e.ID)
		case *iam.Group:
			m.addDynamic(e)
		case *iam.PermissionSet:
			sets = append(sets, e)
		case *iam.Policy:
			w.policies = append(w.policies, newPolicy(e, large.Conditions))
		}
	}
	for _, entity := range large.Entities {
		if p := m.add(entity); p != nil {
			w.principals = append(w.principals, p)
		}
	}
	for _, entity := range large.Entities {
		m.connect(entity)
	}
	w.ask(large.Stream(seed, questions), large.Conditions)
	w.hold(sets)
	return w
}

// members are principals while they are put together.
type members struct {
	byID map[string]*principal
	// dynamic are the ids of the dynamic groups of an Organization.
	dynamic map[string]map[iam.Membership]string
}

func (m *members) addDynamic(group *iam.Group) {
	if group.Membership == iam.MembershipDeclared {
		return
	}
	if m.dynamic[group.OrganizationID] == nil {
		m.dynamic[group.OrganizationID] = map[iam.Membership]string{}
	}
	m.dynamic[group.OrganizationID][group.Membership] = group.ID
}

// add gives an entity as a principal, if it is one who asks. Owners do not: what they may do takes no policies.
func (m *members) add(entity iam.Entity) *principal {
	head := entity.GetHead()
	p := &principal{id: head.ID, organization: head.OrganizationID}
	membership := iam.MembershipAllApplications
	switch e := entity.(type) {
	case *iam.Application:
		p.groups = slices.Clone(e.Groups)
	case *iam.Member:
		if e.Type == iam.TypeOwner {
			return nil
		}
		membership = iam.MembershipAllUsers
		p.groups = slices.Clone(e.Groups)
		p.locked = !e.Active()
	default:
		return nil
	}
	if group := m.dynamic[p.organization][membership]; group != "" {
		p.groups = append(p.groups, group)
	}
	m.byID[p.id] = p
	return p
}

// connect adds to principals what points at them.
func (m *members) connect(entity iam.Entity) {
	switch e := entity.(type) {
	case *iam.APIKey:
		if p := m.byID[e.BearerID]; p != nil && e.Live(authztest.Now()) {
			p.keys = append(p.keys, e.ID)
		}
	case *iam.Group:
		for _, id := range e.Members {
			if p := m.byID[id]; p != nil && !slices.Contains(p.groups, e.ID) {
				p.groups = append(p.groups, e.ID)
			}
		}
	}
}

// subjects are the ids by which a principal may ask: none while it is locked.
func (p *principal) subjects() []string {
	if p.locked {
		return nil
	}
	return append([]string{p.id}, p.keys...)
}

// newPolicy gives a policy with what its rules grant.
func newPolicy(entity *iam.Policy, conditions map[string]reference.Condition) *policy {
	p := &policy{id: entity.ID, organization: entity.OrganizationID, entity: entity}
	for _, rule := range entity.Rules {
		g := grant{
			id: rule.ID, organization: p.organization, grantee: entity.PrincipalID, toGroup: entity.PrincipalKind == iam.PrincipalGroup,
			sets: rule.PermissionSets, condition: conditions[rule.Condition],
		}
		if rule.OrganizationScope {
			g.scopes = []scope{{id: p.organization}}
		}
		for _, id := range rule.ProjectIDs {
			g.scopes = append(g.scopes, scope{isProject: true, id: id})
		}
		p.grants = append(p.grants, g)
	}
	return p
}

// ask adds the questions.
func (w *world) ask(stream []authztest.Judged, conditions map[string]reference.Condition) {
	organizationOf := map[string]string{}
	for organization, projects := range w.projects {
		for _, project := range projects {
			organizationOf[project] = organization
		}
	}
	conditional := map[string]bool{}
	for _, p := range w.policies {
		for _, g := range p.grants {
			conditional[g.id] = g.condition != nil
		}
	}
	zones := zonesOf(conditions)
	for _, judged := range stream {
		r := judged.Request
		q := &question{
			request: r, subject: r.Subject.ID, permission: r.Permission.String(), organization: r.Scope.OrganizationID, want: judged.Answer.Allowed,
			scope: scope{id: r.Scope.OrganizationID}, hours: map[string]int{},
		}
		if r.Scope.ProjectID != "" {
			q.scope, q.organization = scope{true, r.Scope.ProjectID}, organizationOf[r.Scope.ProjectID]
		}
		for name, zone := range zones {
			q.hours[name] = r.Attributes.Time.In(zone).Hour()
		}
		q.classify(judged.Answer, conditional)
		w.questions = append(w.questions, q)
	}
}

// classify says what kind of question it is, from its answer.
func (q *question) classify(answer reference.Answer, conditional map[string]bool) {
	switch {
	case answer.Reason == reference.UnknownSubject:
		q.class = unknownKey
		return
	case !answer.Allowed:
		q.class = denied
		return
	}
	q.class, q.by = withCondition, answer.Grants[0].PolicyID
	for _, g := range answer.Grants {
		if !conditional[g.RuleID] {
			q.class = withoutCondition
		}
		if g.PolicyID != q.by {
			q.by = ""
		}
	}
}

// hold finds the sets that hold what is asked for.
func (w *world) hold(sets []*iam.PermissionSet) {
	permissions := make([][]iam.Permission, len(sets))
	var extra []string
	for i, set := range sets {
		for _, text := range set.Permissions {
			if p, err := iam.ParsePermission(text); err == nil {
				permissions[i] = append(permissions[i], p)
			}
		}
		if set.IncludedInAllProducts {
			extra = append(extra, iam.ContributedServices(permissions[i])...)
		}
	}
	w.projectSets = map[string]bool{}
	for i, set := range sets {
		w.projectSets[set.Name] = set.ScopeType == iam.ScopeProjects
		permissions[i] = iam.ExpandPermissions(set.ScopeType, permissions[i], extra)
	}
	for _, q := range w.questions {
		if _, known := w.holders[q.permission]; known {
			continue
		}
		w.holders[q.permission] = nil
		for i, set := range sets {
			if slices.ContainsFunc(permissions[i], func(p iam.Permission) bool { return p.Covers(q.request.Permission) }) {
				w.holders[q.permission] = append(w.holders[q.permission], set.Name)
			}
		}
	}
}

// zonesOf gives the time zones that conditions name.
func zonesOf(conditions map[string]reference.Condition) map[string]*time.Location {
	zones := map[string]*time.Location{}
	for _, c := range conditions {
		for _, all := range alternatives(c) {
			for _, l := range all {
				if hours, ok := l.term.(reference.Hours); ok {
					zones[zoneName(hours.Zone)] = zoneOf(hours.Zone)
				}
			}
		}
	}
	return zones
}

func zoneOf(zone *time.Location) *time.Location {
	if zone == nil {
		return time.UTC
	}
	return zone
}

func zoneName(zone *time.Location) string { return zoneOf(zone).String() }
