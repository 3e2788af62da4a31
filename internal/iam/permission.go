// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"
	"slices"
	"strings"
)

// ScopeType says at what level a permission set can be granted.
type ScopeType string

const (
	// ScopeProjects is the type of sets granted on projects, or on all projects of an Organization.
	ScopeProjects ScopeType = "Projects"
	// ScopeOrganization is the type of sets granted on an Organization as a whole.
	ScopeOrganization ScopeType = "Organization"
)

const (
	// MaxPermissionLength is the longest permission that ParsePermission takes, in bytes.
	MaxPermissionLength = 128
	// PermissionPattern is the grammar of a permission as a regular expression, for schemas. Apart from the length
	// it accepts exactly what ParsePermission does.
	PermissionPattern = `^(\*|[a-z0-9_]+):(\*|[a-z0-9_]+):(\*|[a-z0-9_]+)$`

	// Wildcard stands for a whole segment.
	Wildcard = "*"

	// clusterService is the Kubernetes cluster itself, as against the product `kubernetes`. It has to be named:
	// a set made for products must not reach the cluster that decides about them.
	clusterService = "k8s"
)

// Permission is one thing that a principal may do: an action on a kind of resource of a service. Written
// `service:resource:action`; `*` stands for a whole segment.
type Permission struct {
	// Service is the product, such as `object_storage`.
	Service string
	// Resource is the kind of thing, such as `bucket`.
	Resource string
	// Action is what is done to it, such as `read`.
	Action string
}

// sshKey is the one resource of the service iam that lives in projects.
var sshKey = Permission{Service: "iam", Resource: "ssh_key", Action: Wildcard}

// ParsePermission reads `service:resource:action`. Its errors are sentences that say what would pass.
func ParsePermission(s string) (Permission, error) {
	if len(s) > MaxPermissionLength {
		return Permission{}, fmt.Errorf("a permission is at most %d characters long, and this one has %d (it starts with %q)",
			MaxPermissionLength, len(s), s[:32])
	}
	segments := strings.Split(s, ":")
	if len(segments) != 3 {
		return Permission{}, fmt.Errorf("permission %q has %d segments; write service:resource:action, such as object_storage:bucket:read",
			s, len(segments))
	}
	for i, name := range [...]string{"service", "resource", "action"} {
		if problem := checkSegment(segments[i]); problem != "" {
			return Permission{}, fmt.Errorf("permission %q: the %s %s", s, name, problem)
		}
	}
	return Permission{Service: segments[0], Resource: segments[1], Action: segments[2]}, nil
}

// checkSegment returns what is wrong with one segment, or "".
func checkSegment(segment string) string {
	switch {
	case segment == Wildcard:
		return ""
	case segment == "":
		return "is empty; write a name of lower-case letters, digits and _, or * for any"
	case strings.Contains(segment, Wildcard):
		return fmt.Sprintf("%q mixes * with other characters; * stands for a whole segment, so write * alone or a full name", segment)
	case strings.IndexFunc(segment, notInName) >= 0:
		return fmt.Sprintf("%q may only hold lower-case letters, digits and _ (or be * for any)", segment)
	}
	return ""
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
}

// String returns the permission as ParsePermission reads it.
func (p Permission) String() string {
	return p.Service + ":" + p.Resource + ":" + p.Action
}

// Concrete reports whether each segment is a name: the permission is one that can be asked for, as against a pattern of a set.
func (p Permission) Concrete() bool {
	return isName(p.Service) && isName(p.Resource) && isName(p.Action) && len(p.Service)+len(p.Resource)+len(p.Action)+2 <= MaxPermissionLength
}

func isName(segment string) bool {
	for i := range len(segment) {
		if c := segment[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return segment != ""
}

// HasWildcard reports whether any segment is `*`.
func (p Permission) HasWildcard() bool {
	return p.Service == Wildcard || p.Resource == Wildcard || p.Action == Wildcard
}

// Covers reports whether everything that q names is also named by p, segment by segment. It knows nothing of
// services: `*` covers any. What `*` as service stands for in a set is ExpandPermissions' concern.
func (p Permission) Covers(q Permission) bool {
	return segmentCovers(p.Service, q.Service) && segmentCovers(p.Resource, q.Resource) && segmentCovers(p.Action, q.Action)
}

func segmentCovers(pattern, segment string) bool {
	return pattern == Wildcard || pattern == segment
}

// IsOrganizationService reports whether a service belongs to the Organization as a whole. `iam` does, although its
// resource `ssh_key` lives in projects: see IsOrganizationPermission.
func IsOrganizationService(service string) bool {
	switch service {
	case "iam", "account", "billing", "support", "abuse", "audit_trail", "environmental_impact", "notification":
		return true
	}
	return false
}

// IsOrganizationPermission reports whether a permission reaches anything at organization level: everything of an
// organization-level service does, but `iam:ssh_key`. `*` as service does not, by what it stands for in a set.
func IsOrganizationPermission(p Permission) bool {
	return IsOrganizationService(p.Service) && !sshKey.Covers(p)
}

// ContributedServices returns, sorted, the services that a Projects-type set with these permissions adds to what `*`
// as service means when the set counts among all products. Organization-level services and `k8s` are never added.
func ContributedServices(permissions []Permission) []string {
	var services []string
	for _, p := range permissions {
		if inAllProducts(p.Service) {
			services = append(services, p.Service)
		}
	}
	slices.Sort(services)
	return slices.Compact(services)
}

// inAllProducts holds the line for every list of services that reaches ExpandPermissions, wherever it comes from.
func inAllProducts(service string) bool {
	return service != Wildcard && service != clusterService && !IsOrganizationService(service) && checkSegment(service) == ""
}

// ExpandPermissions returns, sorted, what the permissions of a set of the given scope type grant, with no `*` left as
// service: in the result, Covers alone decides. In a Projects-type set `*` becomes the catalogue's project-level services
// (ProjectServices), extraServices (what custom sets contribute, see ContributedServices), and iam:ssh_key.
// A permission that ValidatePermissionSet refuses for that scope type grants nothing.
func ExpandPermissions(scopeType ScopeType, permissions []Permission, extraServices []string) []Permission {
	var expanded []Permission
	for _, p := range permissions {
		switch {
		case misplaced(scopeType, p) != "":
			continue
		case p.Service == Wildcard:
			expanded = append(expanded, expandService(p, extraServices)...)
		default:
			expanded = append(expanded, p)
		}
	}
	slices.SortFunc(expanded, func(a, b Permission) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(expanded)
}

func expandService(p Permission, extraServices []string) []Permission {
	var expanded []Permission
	for _, services := range [][]string{ProjectServices(), extraServices} {
		for _, service := range services {
			if inAllProducts(service) {
				expanded = append(expanded, Permission{Service: service, Resource: p.Resource, Action: p.Action})
			}
		}
	}
	if segmentCovers(p.Resource, sshKey.Resource) {
		expanded = append(expanded, Permission{Service: sshKey.Service, Resource: sshKey.Resource, Action: p.Action})
	}
	return expanded
}

// Grants reports whether a set of the given scope type and permissions grants the wanted permission, which must be
// concrete: a wanted Wildcard, or one that is malformed, is never granted. It defines the meaning; who decides often
// keeps the result of ExpandPermissions instead.
func Grants(scopeType ScopeType, permissions []Permission, extraServices []string, wanted Permission) bool {
	if wanted.HasWildcard() {
		return false
	}
	if _, err := ParsePermission(wanted.String()); err != nil {
		return false
	}
	return slices.ContainsFunc(ExpandPermissions(scopeType, permissions, extraServices), func(p Permission) bool {
		return p.Covers(wanted)
	})
}

// PermissionError is a permission that a set may not hold, or a scope type that does not exist.
type PermissionError struct {
	// Index is the permission's place in the list, or -1 when the scope type is at fault.
	Index int
	// Reason is the sentence for the author of the set.
	Reason string
}

// Error returns the reason.
func (e PermissionError) Error() string { return e.Reason }

// ValidatePermissionSet checks the permissions of a set: grammar, duplicates, and what its scope type lets it name. It
// returns every problem, in the order of the list.
func ValidatePermissionSet(scopeType ScopeType, permissions []string) []PermissionError {
	if scopeType != ScopeProjects && scopeType != ScopeOrganization {
		return []PermissionError{{Index: -1, Reason: fmt.Sprintf("scope type %q does not exist; write %s or %s",
			scopeType, ScopeProjects, ScopeOrganization)}}
	}
	var problems []PermissionError
	seen := make(map[Permission]int, len(permissions))
	for i, s := range permissions {
		p, err := ParsePermission(s)
		if err != nil {
			problems = append(problems, PermissionError{Index: i, Reason: err.Error()})
			continue
		}
		if first, ok := seen[p]; ok {
			problems = append(problems, PermissionError{Index: i, Reason: fmt.Sprintf("permission %q is listed already, as number %d; list it once", s, first+1)})
			continue
		}
		seen[p] = i
		if reason := misplaced(scopeType, p); reason != "" {
			problems = append(problems, PermissionError{Index: i, Reason: reason})
		}
	}
	return problems
}

// misplaced returns why a set of this scope type may not hold a permission, or "". An unknown scope type holds none.
func misplaced(scopeType ScopeType, p Permission) string {
	switch scopeType {
	case ScopeOrganization:
		if p.Service == Wildcard {
			return fmt.Sprintf("permission %q: a set of scope type Organization names its services; * as service is for scope type Projects", p)
		}
		return ""
	case ScopeProjects:
		if !IsOrganizationPermission(p) {
			return ""
		}
		if p.Service == sshKey.Service {
			return fmt.Sprintf("permission %q: iam belongs to the Organization; a set of scope type Projects may name only iam:ssh_key:<action> of it", p)
		}
		return fmt.Sprintf("permission %q: %s belongs to the Organization; only a set of scope type Organization may name it", p, p.Service)
	}
	return fmt.Sprintf("permission %q: scope type %q does not exist", p, scopeType)
}
