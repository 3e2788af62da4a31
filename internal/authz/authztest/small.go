// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"fmt"
	"strings"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// World is all entities there are, with every condition of their rules in a form that needs no CEL. A condition that is
// missing does not compile.
type World = reference.World

// Small is a small world that changes. It holds everything that may be wrong with one: references to what is missing or of
// another Organization, owners who are none, keys of bearers who are gone, rules that are refused, and so on. What the store
// holds its rows to, it keeps: ids and unique names are unique.
type Small struct {
	dice dice
	// places are all entities that there can be, in a fixed order.
	places     []place
	present    map[place]iam.Entity
	conditions map[string]reference.Condition
	// organizations are the ids of those that there can be.
	organizations []string
	// near and far are the ids that there can be in an Organization, and in the others.
	near, far map[pool][]string
	// seen is what was found in the world since it last changed.
	seen *view
	// touched are the two states of what changed last.
	touched []iam.Entity
	// revision counts changes.
	revision int64
}

// place is where an entity may be.
type place struct {
	kind iam.Kind
	id   string
	// home is the id of the Organization that the entity is of, as a rule; empty for a permission set.
	home string
}

// pool is where ids come from.
type pool struct {
	home string
	kind iam.Kind
}

// NewSmall gives the small world of a seed.
func NewSmall(seed uint64) *Small {
	s := &Small{dice: newDice(seed, 1), present: map[place]iam.Entity{}, conditions: map[string]reference.Condition{}}
	for i := range s.dice.between(1, 3) {
		s.addPlaces(i + 1)
	}
	for i := range 6 {
		s.places = append(s.places, place{iam.KindPermissionSet, fmt.Sprintf("set-%d", i+1), ""})
	}
	s.addPools()
	for _, p := range s.places {
		if missing := s.dice.chance(4); !missing && s.rival(p) == nil {
			s.present[p] = s.draw(p)
		}
	}
	return s
}

// rival gives where the id of a place is taken by an entity of another kind; nil where it is free. Only the default Project
// shares its id with something that is there at the same time.
func (s *Small) rival(p place) *place {
	for _, kind := range []iam.Kind{iam.KindMember, iam.KindApplication, iam.KindGroup} {
		other := place{kind, p.id, p.home}
		if kind != p.kind && s.present[other] != nil {
			return &other
		}
	}
	return nil
}

// addPlaces adds an Organization, and what may be in it.
func (s *Small) addPlaces(number int) {
	home := fmt.Sprintf("organization-%d", number)
	s.organizations = append(s.organizations, home)
	add := func(kind iam.Kind, id string) { s.places = append(s.places, place{kind, id, home}) }
	add(iam.KindOrganization, home)
	add(iam.KindProject, home) // the default Project
	add(iam.KindMember, fmt.Sprintf("owner-%d", number))
	for _, many := range []struct {
		kind     iam.Kind
		name     string
		low, top int
	}{
		{iam.KindProject, "project", 1, 3}, {iam.KindMember, "member", 3, 5}, {iam.KindApplication, "application", 1, 3},
		{iam.KindGroup, "group", 3, 5}, {iam.KindPolicy, "policy", 5, 9}, {iam.KindAPIKey, "", 5, 9}, {iam.KindSSHKey, "ssh-key", 0, 1},
	} {
		for i := range s.dice.between(many.low, many.top) {
			id := fmt.Sprintf("%s-%d-%d", many.name, number, i+1)
			if many.kind == iam.KindAPIKey {
				id = fmt.Sprintf("SCWKEY%06d%08d", number, i+1)
			}
			add(many.kind, id)
		}
	}
	for _, kind := range []iam.Kind{iam.KindMember, iam.KindApplication, iam.KindGroup} {
		add(kind, fmt.Sprintf("somebody-%d", number)) // of one kind after another
	}
}

func (s *Small) addPools() {
	s.near, s.far = map[pool][]string{}, map[pool][]string{}
	for _, p := range s.places {
		for _, home := range s.organizations {
			if at := (pool{home, p.kind}); p.home == home {
				s.near[at] = append(s.near[at], p.id)
			} else {
				s.far[at] = append(s.far[at], p.id)
			}
		}
	}
}

// World is the world as it is now.
func (s *Small) World() World {
	world := World{Conditions: s.conditions}
	for _, p := range s.places {
		if entity := s.present[p]; entity != nil {
			world.Entities = append(world.Entities, entity)
		}
	}
	return world
}

// id gives the id of an entity of one of the kinds: of a home as a rule, else of anywhere. It need not exist.
func (s *Small) id(home string, kinds ...iam.Kind) string {
	at := pool{home, pick(s.dice, kinds)}
	switch {
	case s.dice.chance(2):
		return "missing"
	case len(s.far[at]) > 0 && s.dice.chance(5):
		return pick(s.dice, s.far[at])
	}
	return pick(s.dice, s.near[at])
}

// ids gives some ids, each once.
func (s *Small) ids(low, high int, home string, kinds ...iam.Kind) []string {
	return several(s.dice.between(low, high), func() string { return s.id(home, kinds...) })
}

// head gives what an entity begins with. Few are of another Organization than their place.
func (s *Small) head(p place) iam.Head {
	home := p.home
	if p.kind != iam.KindOrganization && p.kind != iam.KindPermissionSet && s.dice.chance(2) {
		home = pick(s.dice, s.organizations)
	}
	return iam.Head{ID: p.id, OrganizationID: home, CreatedAt: Now().Add(-time.Duration(s.dice.IntN(5)) * time.Hour)}
}

// draw makes an entity anew, whatever was there.
func (s *Small) draw(p place) iam.Entity {
	head := s.head(p)
	home := head.OrganizationID
	switch p.kind {
	case iam.KindOrganization:
		return s.organization(head)
	case iam.KindProject:
		return &iam.Project{Head: head, Name: p.id}
	case iam.KindMember:
		return s.member(head)
	case iam.KindApplication:
		return &iam.Application{Head: head, Name: p.id, Groups: s.ids(0, 2, home, iam.KindGroup)}
	case iam.KindGroup:
		return s.group(head)
	case iam.KindAPIKey:
		return s.key(head)
	case iam.KindPolicy:
		return s.policy(head)
	case iam.KindPermissionSet:
		return s.permissionSet(head)
	case iam.KindSSHKey: // about which nobody asks
		return &iam.SSHKey{Head: head, Name: p.id, ProjectID: s.id(home, iam.KindProject)}
	}
	return nil
}

func (s *Small) organization(head iam.Head) iam.Entity {
	owner := strings.Replace(head.ID, "organization", "owner", 1)
	if s.dice.chance(4) {
		owner = s.id(head.ID, iam.KindMember)
	}
	return &iam.Organization{Head: head, Name: head.ID, OwnerID: owner}
}

func (s *Small) member(head iam.Head) iam.Entity {
	member := &iam.Member{Head: head, Username: head.ID, Email: head.ID + "@example.com", Type: iam.TypeMember}
	isOwner := strings.HasPrefix(head.ID, "owner")
	switch {
	case isOwner != s.dice.chance(3):
		member.Type = iam.TypeOwner
	case s.dice.chance(30):
		member.Type = iam.TypeGuest
		member.Invited = s.dice.chance(50)
	}
	if s.dice.chance(6) || member.Type != iam.TypeOwner && s.dice.chance(10) {
		member.Locked = "Declared"
	}
	member.Invited = member.Invited || s.dice.chance(3)
	member.Groups = s.ids(0, 2, head.OrganizationID, iam.KindGroup)
	return member
}

func (s *Small) group(head iam.Head) iam.Entity {
	group := &iam.Group{Head: head, Name: head.ID, Membership: pickWeighted(s.dice, []weighted[iam.Membership]{
		{70, iam.MembershipDeclared}, {15, iam.MembershipAllUsers}, {15, iam.MembershipAllApplications},
	})}
	group.Members = s.ids(0, 3, head.OrganizationID, iam.KindMember, iam.KindApplication)
	if s.dice.chance(20) {
		group.Members = append(group.Members, s.id(head.OrganizationID, iam.KindGroup)) // which means nothing: groups do not nest
	}
	return group
}

func (s *Small) key(head iam.Head) iam.Entity {
	key := &iam.APIKey{Head: head, DefaultProjectID: head.OrganizationID, Retiring: s.dice.chance(15)}
	key.BearerKind = pickWeighted(s.dice, []weighted[iam.PrincipalKind]{
		{20, iam.PrincipalOwner}, {45, iam.PrincipalMember}, {35, iam.PrincipalApplication},
	})
	home := head.OrganizationID
	if s.dice.chance(8) {
		home = pick(s.dice, s.organizations)
	}
	switch key.BearerKind {
	case iam.PrincipalOwner:
		key.BearerID = strings.Replace(head.OrganizationID, "organization", "owner", 1)
		key.OwnerEmail = pickWeighted(s.dice, []weighted[string]{
			{70, key.BearerID + "@example.com"}, {15, strings.ToUpper(key.BearerID) + "@example.com"}, {15, "predecessor@example.com"},
		})
	case iam.PrincipalApplication:
		key.BearerID = s.id(home, iam.KindApplication)
	default:
		key.BearerID = s.id(home, iam.KindMember)
	}
	if s.dice.chance(4) {
		key.BearerKind = pick(s.dice, []iam.PrincipalKind{iam.PrincipalOwner, iam.PrincipalMember, iam.PrincipalApplication, iam.PrincipalGroup, ""})
	}
	if s.dice.chance(50) {
		expires := Now().Add(time.Duration(s.dice.between(-3, 6)) * time.Hour)
		key.ExpiresAt = &expires
	}
	return key
}

func (s *Small) policy(head iam.Head) iam.Entity {
	policy := &iam.Policy{Head: head, Name: head.ID}
	policy.PrincipalKind = pickWeighted(s.dice, []weighted[iam.PrincipalKind]{
		{50, iam.PrincipalGroup}, {25, iam.PrincipalMember}, {20, iam.PrincipalApplication}, {2, iam.PrincipalOwner}, {3, ""},
	})
	kind := map[iam.PrincipalKind]iam.Kind{
		iam.PrincipalGroup: iam.KindGroup, iam.PrincipalMember: iam.KindMember, iam.PrincipalApplication: iam.KindApplication,
		iam.PrincipalOwner: iam.KindMember,
	}[policy.PrincipalKind]
	if s.dice.chance(3) {
		kind = pick(s.dice, []iam.Kind{iam.KindGroup, iam.KindMember, iam.KindApplication})
	}
	if policy.PrincipalKind != "" {
		policy.PrincipalID = s.id(head.OrganizationID, kind)
	}
	count := pickWeighted(s.dice, []weighted[int]{{4, 0}, {40, 1}, {36, 2}, {20, 3}})
	for i := range count {
		policy.Rules = append(policy.Rules, s.rule(head.OrganizationID, ruleID(head.ID, i)))
	}
	return policy
}

// ruleID gives the id of a policy's rule, by its place.
func ruleID(policyID string, index int) string { return fmt.Sprintf("%s-rule-%d", policyID, index+1) }

func (s *Small) rule(home, id string) iam.Rule {
	rule := iam.Rule{ID: id}
	switch {
	case s.dice.chance(40):
		rule.OrganizationScope = true
	case s.dice.chance(95):
		rule.ProjectIDs = s.ids(1, 2, home, iam.KindProject)
	}
	if forProjects := !rule.OrganizationScope || s.dice.chance(60); s.dice.chance(97) {
		rule.PermissionSets = several(s.dice.between(1, 3), func() string { return s.setName(forProjects != s.dice.chance(15)) })
	}
	if s.dice.chance(6) {
		rule.Refused = "a set of this rule is not there"
	}
	switch {
	case s.dice.chance(2):
		rule.Condition = pick(s.dice, broken)
	case s.dice.chance(30):
		condition := randomCondition(s.dice, 2)
		rule.Condition = condition.CEL()
		s.conditions[rule.Condition] = condition
	}
	return rule
}
