// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Revision is the one that the world is at.
func (s *Small) Revision() store.Revision {
	return store.Revision{Incarnation: "generated", N: s.revision}
}

// Change changes one entity, and gives the change as the store would tell of it: most often another state of what is there,
// else a deletion, or something new. What refers to it stays as it is.
func (s *Small) Change() store.Change {
	p := s.changedPlace()
	s.seen, s.touched = nil, nil
	s.revision++
	if before := s.present[p]; before != nil {
		s.touched = append(s.touched, before)
	}
	change := store.Change{Revision: s.Revision(), Operation: store.OperationPut, Kind: p.kind, ID: p.id}
	if s.present[p] != nil && s.dice.chance(30) {
		delete(s.present, p)
		change.Operation = store.OperationDelete
		return change
	}
	change.Entity = s.altered(p)
	s.present[p], s.touched = change.Entity, append(s.touched, change.Entity)
	return change
}

// changedPlace gives where the next change is. Organizations go seldom, since little can be said of a world without any.
func (s *Small) changedPlace() place {
	p := pick(s.dice, s.places)
	if p.kind == iam.KindOrganization && s.present[p] != nil && s.dice.chance(50) {
		p = pick(s.dice, s.places)
	}
	if rival := s.rival(p); rival != nil {
		return *rival // which has to go first
	}
	return p
}

// altered gives another state of an entity: quite another one, or one that differs in few things.
func (s *Small) altered(p place) iam.Entity {
	fresh := s.draw(p)
	if s.dice.chance(50) {
		return fresh
	}
	switch old := s.present[p].(type) {
	case *iam.Member:
		return s.alteredMember(old, fresh.(*iam.Member))
	case *iam.Application:
		changed := *old
		changed.OrganizationID = pick(s.dice, s.organizations)
		return &changed
	case *iam.Group:
		return s.alteredGroup(old, fresh.(*iam.Group))
	case *iam.Policy:
		return s.alteredPolicy(old, fresh.(*iam.Policy))
	case *iam.PermissionSet:
		return s.alteredSet(old, fresh.(*iam.PermissionSet))
	}
	return fresh
}

func (s *Small) alteredMember(old, to *iam.Member) iam.Entity {
	changed := *old
	switch s.dice.IntN(4) {
	case 0:
		changed.Locked = to.Locked
	case 1:
		changed.Invited = to.Invited
	case 2:
		changed.OrganizationID = pick(s.dice, s.organizations)
	default:
		changed.Groups = to.Groups
	}
	return &changed
}

func (s *Small) alteredGroup(old, to *iam.Group) iam.Entity {
	changed := *old
	switch s.dice.IntN(4) {
	case 0, 1:
		changed.Members = to.Members
	case 2:
		changed.OrganizationID = pick(s.dice, s.organizations)
	default:
		changed.Membership = to.Membership
	}
	return &changed
}

func (s *Small) alteredPolicy(old, to *iam.Policy) iam.Entity {
	changed := *old
	changed.Rules = slices.Clone(old.Rules) // the former state stays as it was
	switch s.dice.IntN(4) {
	case 0:
		changed.OrganizationID = pick(s.dice, s.organizations)
	case 1:
		changed.PrincipalKind, changed.PrincipalID = to.PrincipalKind, to.PrincipalID
	case 2:
		changed.Rules = slices.Concat(old.Rules[min(1, len(old.Rules)):], to.Rules)
	default:
		slices.Reverse(changed.Rules)
	}
	for i := range changed.Rules {
		changed.Rules[i].ID = ruleID(old.ID, i)
	}
	return &changed
}

func (s *Small) alteredSet(old, to *iam.PermissionSet) iam.Entity {
	changed := *old
	switch s.dice.IntN(4) {
	case 0:
		changed.Name = to.Name
	case 1:
		changed.IncludedInAllProducts = !old.IncludedInAllProducts
	case 2:
		changed.ScopeType = to.ScopeType
	default:
		changed.Permissions = to.Permissions
	}
	return &changed
}
