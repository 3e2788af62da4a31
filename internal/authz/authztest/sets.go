// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// What permissions of small worlds are made of. Few words, so that what is granted and what is asked for often meet.
var (
	// projectServices are of the catalogue; customServices of nobody but those who say so.
	projectServices      = []string{"instances", "object_storage"}
	customServices       = []string{"mill", "press"}
	organizationServices = []string{"iam", "billing"}
	resources            = []string{"server", "bucket", "ssh_key"}
	actions              = []string{"read", "write"}
	// setNames are names of sets for Projects and for the Organization, which most of them are.
	setNames = map[bool][]string{true: {"MillHand", "Reader", "Writer", "Everything"}, false: {"Clerk", "Auditor", "KeyKeeper"}}
	// malformed are entries of sets that mean nothing.
	malformed = []string{
		"", "*", "instances:server", "instances:server:read:now", "Instances:server:read", "instances:ser*:read", " instances:server:read",
		"instances::read", "instances:server:Read", "mill:server:", "press server:bucket:read", "instances:server:" + strings.Repeat("r", 128),
	}
)

// setName gives the name of a set as a rule may write it. There need not be such a set.
func (s *Small) setName(forProjects bool) string {
	name := pick(s.dice, setNames[forProjects])
	switch {
	case s.dice.chance(8):
		return strings.ToLower(name)
	case s.dice.chance(2):
		return "NoSuchSet"
	}
	return name
}

// permissionSet gives a set with one of the names that are free.
func (s *Small) permissionSet(head iam.Head) iam.Entity {
	free := slices.Concat(setNames[true], setNames[false])
	for p, entity := range s.present {
		if p.kind == iam.KindPermissionSet && p.id != head.ID {
			free = slices.DeleteFunc(free, func(name string) bool { return name == entity.Label() })
		}
	}
	set := &iam.PermissionSet{Head: head, Name: pick(s.dice, free), ScopeType: iam.ScopeOrganization}
	switch forProjects := slices.Contains(setNames[true], set.Name); {
	case s.dice.chance(2):
		set.ScopeType = ""
	case forProjects != s.dice.chance(10):
		set.ScopeType = iam.ScopeProjects
	}
	set.IncludedInAllProducts = s.dice.chance(25)
	set.Permissions = several(s.dice.between(1, 4), func() string { return s.entry(set.ScopeType) })
	return set
}

// entry gives a permission as a set of this type holds it, or should not hold it.
func (s *Small) entry(scopeType iam.ScopeType) string {
	if s.dice.chance(6) {
		return pick(s.dice, malformed)
	}
	services := slices.Concat(projectServices, customServices, []string{"*", "*", "*"})
	others := append([]string{"k8s"}, organizationServices...)
	if scopeType == iam.ScopeOrganization {
		services, others = organizationServices, []string{"k8s", "*", projectServices[0], customServices[0]}
	}
	service := pick(s.dice, services)
	if s.dice.chance(15) {
		service = pick(s.dice, others)
	}
	resource := pick(s.dice, append([]string{"*", "*"}, resources...))
	if service == "iam" && s.dice.chance(30) {
		resource = "ssh_key"
	}
	return service + ":" + resource + ":" + pick(s.dice, append([]string{"*"}, actions...))
}

// randomPermission gives something to ask for.
func (s *Small) randomPermission() iam.Permission {
	services := slices.Concat(projectServices, customServices, organizationServices, []string{"k8s", "unheard_of"})
	return iam.Permission{Service: pick(s.dice, services), Resource: pick(s.dice, resources), Action: pick(s.dice, actions)}
}

// permissionOf gives something that an entry of a set may grant.
func (s *Small) permissionOf(entry string) iam.Permission {
	p := s.randomPermission()
	part := strings.Split(entry, ":")
	if len(part) != 3 || slices.Contains(malformed, entry) && s.dice.chance(70) {
		return p
	}
	switch {
	case part[0] != "*":
		p.Service = part[0]
	case s.dice.chance(75):
		p.Service = pick(s.dice, slices.Concat(projectServices, customServices))
	case s.dice.chance(30):
		return iam.Permission{Service: "iam", Resource: "ssh_key", Action: p.Action}
	}
	if part[1] != "*" {
		p.Resource = part[1]
	}
	if part[2] != "*" {
		p.Action = part[2]
	}
	return p
}

// spoiled gives a permission that nobody can ask for.
func (s *Small) spoiled(p iam.Permission) iam.Permission {
	segment := pick(s.dice, []*string{&p.Service, &p.Resource, &p.Action})
	switch s.dice.IntN(6) {
	case 0, 1:
		*segment = "*"
	case 2:
		*segment = ""
	case 3:
		*segment = strings.ToUpper(*segment)
	case 4:
		*segment += pick(s.dice, []string{" ", ":", "é", "*", "-"})
	default:
		*segment = strings.Repeat("x", 128)
	}
	return p
}
