// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// permissionSets finds the sets that hold a permission. A set is known by its slot, a small number that its name keeps,
// whether or not the set exists at the moment: so a policy need not be looked at when a set comes, changes or goes.
type permissionSets struct {
	services map[string]*serviceSets
	// projects are the sets of type Projects: the only ones that count when they are granted on Projects.
	projects bitset
	// bySlot are the sets that exist; nil where there is none.
	bySlot []*iam.PermissionSet
}

// serviceSets and resourceSets go one segment further. The field any has what was written with a wildcard for the next.
type serviceSets struct {
	any       *resourceSets
	resources map[string]*resourceSets
}

type resourceSets struct {
	any     bitset
	actions map[string]bitset
}

// bitset is a set of slots.
type bitset []uint64

func (b bitset) has(slot int32) bool { return int(slot>>6) < len(b) && b[slot>>6]>>(slot&63)&1 == 1 }

func (b bitset) with(slot int32) bitset {
	for int(slot>>6) >= len(b) {
		b = append(b, 0)
	}
	b[slot>>6] |= 1 << (slot & 63)
	return b
}

// holders are the sets that hold one permission: those that name it in full, and those that name it by wildcards.
type holders [4]bitset

func (h *holders) has(slot int32) bool {
	return h[0].has(slot) || h[1].has(slot) || h[2].has(slot) || h[3].has(slot)
}

// holding gives the sets that hold a concrete permission.
func (p *permissionSets) holding(wanted iam.Permission) holders {
	service := p.services[wanted.Service]
	if service == nil {
		return holders{}
	}
	var h holders
	if exact := service.resources[wanted.Resource]; exact != nil {
		h[0], h[1] = exact.actions[wanted.Action], exact.any
	}
	if service.any != nil {
		h[2], h[3] = service.any.actions[wanted.Action], service.any.any
	}
	return h
}

// compileSets builds the index anew. It takes about a millisecond, and sets change rarely.
func compileSets(bySlot []*iam.PermissionSet) permissionSets {
	compiled := permissionSets{services: map[string]*serviceSets{}, bySlot: slices.Clone(bySlot)}
	extra := contributedServices(bySlot)
	for i, set := range bySlot {
		if set == nil {
			continue
		}
		slot := int32(i)
		if set.ScopeType == iam.ScopeProjects {
			compiled.projects = compiled.projects.with(slot)
		}
		for _, permission := range iam.ExpandPermissions(set.ScopeType, permissionsOf(set), extra) {
			compiled.add(permission, slot)
		}
	}
	return compiled
}

// contributedServices are those that custom sets add to what `*` as service means.
func contributedServices(sets []*iam.PermissionSet) []string {
	var services []string
	for _, set := range sets {
		if set != nil && set.IncludedInAllProducts && set.ScopeType == iam.ScopeProjects {
			services = append(services, iam.ContributedServices(permissionsOf(set))...)
		}
	}
	slices.Sort(services)
	return slices.Compact(services)
}

// permissionsOf reads what a set holds. What can't be read grants nothing.
func permissionsOf(set *iam.PermissionSet) []iam.Permission {
	permissions := make([]iam.Permission, 0, len(set.Permissions))
	for _, text := range set.Permissions {
		if permission, err := iam.ParsePermission(text); err == nil {
			permissions = append(permissions, permission)
		}
	}
	return permissions
}

func (p *permissionSets) add(permission iam.Permission, slot int32) {
	service := p.services[permission.Service]
	if service == nil {
		service = &serviceSets{resources: map[string]*resourceSets{}}
		p.services[permission.Service] = service
	}
	resource := service.at(permission.Resource)
	if permission.Action == iam.Wildcard {
		resource.any = resource.any.with(slot)
		return
	}
	resource.actions[permission.Action] = resource.actions[permission.Action].with(slot)
}

func (s *serviceSets) at(resource string) *resourceSets {
	if resource == iam.Wildcard {
		if s.any == nil {
			s.any = &resourceSets{actions: map[string]bitset{}}
		}
		return s.any
	}
	if s.resources[resource] == nil {
		s.resources[resource] = &resourceSets{actions: map[string]bitset{}}
	}
	return s.resources[resource]
}

// setSlots gives names of sets their slots. Names are told apart as the API server does, in lower case.
type setSlots struct {
	byName map[string]int32
	// names and bySlot are what a slot stands for; there need not be such a set.
	names  []string
	bySlot []*iam.PermissionSet
}

func (s *setSlots) slot(name string) int32 {
	name = strings.ToLower(name)
	slot, found := s.byName[name]
	if !found {
		slot = int32(len(s.bySlot)) //nolint:gosec // there are some hundred sets
		s.byName[name] = slot
		s.names = append(s.names, name)
		s.bySlot = append(s.bySlot, nil)
	}
	return slot
}
