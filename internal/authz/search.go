// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"maps"
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// Subjects gives who of an Organization may do what a request asks, the kind of its subject and the Organization being those of
// the request: up to limit ids in order, after one. next is where to go on; empty when these are all. Whoever does not count
// is not looked at: API keys are those that are live, and they and users those that are neither locked nor only invited. The error is the
// context's, when it ends before the search does.
func (v View) Subjects(ctx context.Context, r *Request, after string, limit int) (found []string, next string, err error) {
	return page(ctx, v.snapshot.subjects(r.Subject.Kind, r.Scope.OrganizationID), after, limit, func(id string) bool {
		asked := *r
		asked.Subject.ID = id
		return v.Decide(&asked).Allowed
	})
}

// subjects gives the ids of one kind in an Organization, in order.
func (s *Snapshot) subjects(kind SubjectKind, organizationID string) []string {
	var ids []string
	if kind == SubjectAPIKey {
		for id, key := range s.keys.all() {
			if key.OrganizationID == organizationID {
				ids = append(ids, id)
			}
		}
	} else {
		for id, slot := range s.slots.all() {
			if n := s.nodes.at(slot); n.is(kind) && (*s.entities.at(slot)).GetHead().OrganizationID == organizationID {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

func (n *node) is(kind SubjectKind) bool {
	switch kind {
	case SubjectUser:
		return n.kind.isUser()
	case SubjectOwner:
		return n.kind == ownerNode
	case SubjectApplication:
		return n.kind == applicationNode
	case SubjectAPIKey:
	}
	return false
}

// ScopeKinds says which kinds of scopes a search is for.
type ScopeKinds int

// The kinds of scopes.
const (
	AllScopes ScopeKinds = iota
	// OrganizationScope is the Organization as a whole.
	OrganizationScope
	ProjectScopes
)

// Scopes gives where in its Organization a subject may do what a request asks: the Organization as a whole, and each Project, if they
// are of the kinds that are wanted and within the scope of the request; up to limit in the order of their cursors, after one. next is
// where to go on; empty when these are all. The error is the context's, when it ends before the search does.
func (v View) Scopes(ctx context.Context, r *Request, kinds ScopeKinds, after string, limit int) (found []Scope, next string, err error) {
	var b bearer
	v.snapshot.find(r.Subject, v.now, &b)
	if b.organization == nil {
		return nil, "", nil
	}
	scopes := v.snapshot.scopes(b.organization.id, kinds, r.Scope)
	cursors, next, err := page(ctx, slices.Sorted(maps.Keys(scopes)), after, limit, func(cursor string) bool {
		asked := *r
		asked.Scope = scopes[cursor]
		return v.Decide(&asked).Allowed
	})
	for _, cursor := range cursors {
		found = append(found, scopes[cursor])
	}
	return found, next, err
}

// scopes gives the scopes of an Organization by their cursors.
func (s *Snapshot) scopes(home string, kinds ScopeKinds, within Scope) map[string]Scope {
	scopes := map[string]Scope{}
	if within.OrganizationID != "" && within.OrganizationID != home {
		return scopes
	}
	if kinds != ProjectScopes && within.ProjectID == "" {
		scopes["organization"] = Scope{OrganizationID: home} // The default Project has the same id.
	}
	if kinds == OrganizationScope {
		return scopes
	}
	for id, project := range s.projects.all() {
		if project.OrganizationID == home && (within.ProjectID == "" || within.ProjectID == id) {
			scopes["project:"+id] = Scope{OrganizationID: home, ProjectID: id}
		}
	}
	return scopes
}

// Actions gives what a subject may do on a scope, of the permissions that the permission sets name in full: up to limit after one,
// in order, written service:resource:action. Where the request's permission names a service, resource or action, others are
// left out. Of what sets name by wildcards only, nobody knows all there is. next is where to go on; empty when these are all.
// The error is the context's, when it ends before the search does.
func (v View) Actions(ctx context.Context, r *Request, after string, limit int) (found []string, next string, err error) {
	return page(ctx, v.snapshot.sets.named(r.Permission), after, limit, func(text string) bool {
		permission, err := iam.ParsePermission(text)
		asked := *r
		asked.Permission = permission
		return err == nil && v.Decide(&asked).Allowed
	})
}

// named gives the permissions that sets name in full and that a pattern, whose empty segments are any, covers; in order.
func (p *permissionSets) named(pattern iam.Permission) []string {
	var named []string
	for service, resources := range p.services {
		for resource, actions := range resources.resources {
			for action := range maps.Keys(actions.actions) {
				if full := (iam.Permission{Service: service, Resource: resource, Action: action}); matches(pattern, full) {
					named = append(named, full.String())
				}
			}
		}
	}
	slices.Sort(named)
	return named
}

func matches(pattern, p iam.Permission) bool {
	return (pattern.Service == "" || pattern.Service == p.Service) && (pattern.Resource == "" || pattern.Resource == p.Resource) && (pattern.Action == "" || pattern.Action == p.Action)
}

// lookUpEvery is how many decisions of a search are made between two looks at its context.
const lookUpEvery = 64

// page gives those of a sorted list that pass, after one and up to limit; next is the last that was given, if more pass.
func page(ctx context.Context, sorted []string, after string, limit int, passes func(string) bool) (found []string, next string, err error) {
	start, seen := slices.BinarySearch(sorted, after)
	if seen {
		start++
	}
	for i, id := range sorted[start:] {
		if i%lookUpEvery == 0 && ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		if !passes(id) {
			continue
		}
		if len(found) == limit {
			return found, found[limit-1], nil
		}
		found = append(found, id)
	}
	return found, "", nil
}
