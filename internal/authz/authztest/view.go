// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"maps"
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// view is what is in a small world, ordered for making questions.
type view struct {
	policies []*iam.Policy
	groups   map[string]*iam.Group
	// joins are the groups that a principal joins from its own side.
	joins map[string][]string
	// projects that there are, by Organization.
	projects map[string][]string
	// sets are the permissions of the sets, by name in lower case.
	sets map[string][]string
	// subjects are all who might ask, by the reason that each gets for what nobody grants: NotGranted is who counts.
	subjects map[string][]subject
	// asking are those who might ask for a principal.
	asking map[string][]subject
	// nearby remembers what near found.
	nearby map[string]nearby
}

// subject is somebody who may ask, and the principal behind.
type subject struct {
	authz.Subject
	principal string
	home      string
}

// nearby are policies that reach somebody, and that nearly do.
type nearby struct{ reach, nearly []*iam.Policy }

// view looks at the world, once after each change.
func (s *Small) view() *view {
	if s.seen != nil {
		return s.seen
	}
	v := &view{
		groups: map[string]*iam.Group{}, joins: map[string][]string{}, projects: map[string][]string{}, sets: map[string][]string{},
		subjects: map[string][]subject{}, asking: map[string][]subject{}, nearby: map[string]nearby{},
	}
	s.seen = v
	world := s.World()
	for _, entity := range world.Entities {
		v.add(entity)
	}
	for _, candidate := range s.candidates() {
		r := reference.Request{
			SubjectKind: string(candidate.Kind), SubjectID: candidate.ID,
			Permission: iam.Permission{Service: "nobody", Resource: "grants", Action: "this"},
		}
		reason := reference.Decide(World{Entities: world.Entities}, r, Now()).Reason
		v.subjects[reason] = append(v.subjects[reason], candidate)
		v.asking[candidate.principal] = append(v.asking[candidate.principal], candidate)
	}
	return v
}

func (v *view) add(entity iam.Entity) {
	switch e := entity.(type) {
	case *iam.Policy:
		v.policies = append(v.policies, e)
	case *iam.Group:
		v.groups[e.ID] = e
	case *iam.Member:
		v.joins[e.ID] = e.Groups
	case *iam.Application:
		v.joins[e.ID] = e.Groups
	case *iam.Project:
		v.projects[e.OrganizationID] = append(v.projects[e.OrganizationID], e.ID)
	case *iam.PermissionSet:
		v.sets[strings.ToLower(e.Name)] = e.Permissions
	}
}

// near gives the policies that reach a principal, and those that could be taken to, such as those of a group in which one of
// its groups is listed.
func (v *view) near(principal string) nearby {
	if found, known := v.nearby[principal]; known {
		return found
	}
	var found nearby
	for _, policy := range v.policies {
		switch group := v.groups[policy.PrincipalID]; {
		case policy.PrincipalID == principal, group != nil && v.belongs(principal, group):
			found.reach = append(found.reach, policy)
		case group != nil && v.nearlyBelongs(principal, group):
			found.nearly = append(found.nearly, policy)
		}
	}
	v.nearby[principal] = found
	return found
}

func (v *view) belongs(principal string, group *iam.Group) bool {
	isApplication := strings.HasPrefix(principal, "application")
	switch group.Membership {
	case iam.MembershipAllUsers:
		return !isApplication
	case iam.MembershipAllApplications:
		return isApplication
	}
	return slices.Contains(v.joins[principal], group.ID) || slices.Contains(group.Members, principal)
}

// members are whom a group lists and who joins it; for a dynamic group, anybody.
func (v *view) members(group *iam.Group) []string {
	members := slices.Clone(group.Members)
	for _, principal := range slices.Sorted(maps.Keys(v.joins)) {
		if group.Membership != iam.MembershipDeclared || slices.Contains(v.joins[principal], group.ID) {
			members = append(members, principal)
		}
	}
	return members
}

// reached are those whom a policy is for.
func (v *view) reached(policy *iam.Policy) []string {
	if group := v.groups[policy.PrincipalID]; group != nil {
		return v.members(group)
	}
	return []string{policy.PrincipalID}
}

// naming are the policies that name a set.
func (v *view) naming(set string) []*iam.Policy {
	var policies []*iam.Policy
	for _, policy := range v.policies {
		if slices.ContainsFunc(policy.Rules, func(rule iam.Rule) bool {
			return slices.ContainsFunc(rule.PermissionSets, func(name string) bool { return strings.EqualFold(name, set) })
		}) {
			policies = append(policies, policy)
		}
	}
	return policies
}

func (v *view) nearlyBelongs(principal string, group *iam.Group) bool {
	return group.Membership != iam.MembershipDeclared || slices.ContainsFunc(group.Members, func(id string) bool {
		inner := v.groups[id]
		return inner != nil && v.belongs(principal, inner)
	})
}

// candidates are all who might ask: by every kind of subject that could be meant, and some that nobody means.
func (s *Small) candidates() []subject {
	var found []subject
	add := func(kind authz.SubjectKind, id, principal, home string) {
		found = append(found, subject{authz.Subject{Kind: kind, ID: id}, principal, home})
	}
	for _, p := range s.places {
		home := p.home
		if entity := s.present[p]; entity != nil {
			home = entity.GetHead().OrganizationID
		}
		switch p.kind {
		case iam.KindMember:
			add(authz.SubjectUser, p.id, p.id, home)
			add(authz.SubjectOwner, p.id, p.id, home)
		case iam.KindApplication:
			add(authz.SubjectApplication, p.id, p.id, home)
		case iam.KindAPIKey:
			principal := ""
			if key, ok := s.present[p].(*iam.APIKey); ok {
				principal = key.BearerID
			}
			add(authz.SubjectAPIKey, p.id, principal, s.homeOf(principal, home))
		case iam.KindGroup:
			add(authz.SubjectUser, p.id, p.id, home)
		}
	}
	for _, c := range slices.Clone(found) {
		if s.dice.chance(10) {
			wrong := pick(s.dice, []authz.SubjectKind{authz.SubjectUser, authz.SubjectApplication, authz.SubjectAPIKey, authz.SubjectOwner})
			add(wrong, c.ID, c.principal, c.home)
			add(c.Kind, strings.ToUpper(c.ID), c.principal, c.home)
		}
	}
	add(authz.SubjectAPIKey, "SCWNOBODYHASTHISKEY0", "", s.organizations[0])
	add(authz.SubjectUser, "", "", s.organizations[0])
	return found
}

// homeOf gives the Organization of a principal, which need not be that of its key.
func (s *Small) homeOf(principal, otherwise string) string {
	for _, kind := range []iam.Kind{iam.KindMember, iam.KindApplication} {
		for _, home := range s.organizations {
			if entity := s.present[place{kind, principal, home}]; entity != nil {
				return entity.GetHead().OrganizationID
			}
		}
	}
	return otherwise
}
