// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// writer makes the next snapshot of the newest one. It has what only changes need, and serves one goroutine.
type writer struct {
	edit *edit
	next *Snapshot

	// slots of principals and groups, Organizations and Projects, by id. They are never given to another id.
	slots, organizations, projects slots
	// live is how many of the principals and groups are there.
	live int
	// listed are the groups that list a principal, by id, and bound the policies that name one; both by its slot.
	listed map[int][]string
	bound  map[int][]*policy
	// dynamic are the ids of an Organization's dynamic groups.
	dynamic    map[dynamicKind][]string
	policies   map[string]*policy
	sets       setSlots
	setNames   map[string]string // by id
	conditions conditions
	// setsChanged says that the index of permission sets is due.
	setsChanged bool
}

type dynamicKind struct {
	organization int
	membership   iam.Membership
}

// slots gives ids their slots.
type slots map[string]int

func (s slots) of(id string) int {
	slot, found := s[id]
	if !found {
		slot = len(s)
		s[id] = slot
	}
	return slot
}

// NewSnapshot builds a snapshot of what a store holds.
func NewSnapshot(entities []iam.Entity, revision store.Revision) *Snapshot {
	w := &writer{
		edit: &edit{}, next: &Snapshot{}, slots: slots{}, organizations: slots{}, projects: slots{}, listed: map[int][]string{},
		bound: map[int][]*policy{}, policies: map[string]*policy{}, sets: setSlots{byName: map[string]int{}}, setNames: map[string]string{},
		dynamic: map[dynamicKind][]string{}, conditions: conditions{}, setsChanged: true,
	}
	// What others need comes first, so that little is worked out twice.
	for _, kind := range iam.Kinds() {
		for _, entity := range entities {
			if entity.EntityKind() == kind {
				w.put(entity)
			}
		}
	}
	return w.publish(revision)
}

// Apply gives the snapshot after changes, which must follow it in order. It is for the newest snapshot of a line, which stays as it
// is for its readers; afterwards the result is the newest.
func (s *Snapshot) Apply(changes ...store.Change) *Snapshot {
	w := s.writer
	if w == nil || len(changes) == 0 {
		return s
	}
	next := *s
	s.writer = nil
	w.edit, w.next = &edit{}, &next
	for _, change := range changes {
		if change.Operation == store.OperationDelete {
			w.remove(change.Kind, change.ID)
		} else {
			w.put(change.Entity)
		}
	}
	return w.publish(changes[len(changes)-1].Revision)
}

func (w *writer) publish(revision store.Revision) *Snapshot {
	if w.setsChanged {
		w.next.sets, w.setsChanged = compileSets(w.sets.bySlot), false
	}
	s := w.next
	s.revision, s.writer, w.next = revision, w, nil
	return s
}

// wasteAllowed is how many slots may be nobody's any more before it is worth to begin anew.
const wasteAllowed = 100_000

// Wasteful says that a snapshot which is built anew would be much smaller: most of what ever had a slot is gone.
func (s *Snapshot) Wasteful() bool {
	if s.writer == nil {
		return false
	}
	waste := len(s.writer.slots) - s.writer.live
	return waste > wasteAllowed && waste > s.writer.live
}

func (w *writer) put(entity iam.Entity) {
	switch e := entity.(type) {
	case *iam.Organization:
		w.changeOrganization(e.ID, func(o *organization) { o.Organization = e })
	case *iam.Project:
		w.next.projects.put(w.edit, e.ID, project{e, w.projects.of(e.ID), w.organizations.of(e.OrganizationID)})
	case *iam.Member:
		w.setNode(&node{id: e.ID, home: w.organizations.of(e.OrganizationID), user: e})
	case *iam.Application:
		w.setNode(&node{id: e.ID, home: w.organizations.of(e.OrganizationID), application: e})
	case *iam.Group:
		w.setGroup(e.ID, e)
	case *iam.APIKey:
		w.setKey(e.ID, e)
	case *iam.Policy:
		w.setPolicy(e.ID, e)
	case *iam.PermissionSet:
		w.setPermissionSet(e.ID, e)
	}
}

func (w *writer) remove(kind iam.Kind, id string) {
	switch kind {
	case iam.KindOrganization:
		w.changeOrganization(id, func(o *organization) { o.Organization = nil })
	case iam.KindProject:
		w.next.projects.remove(w.edit, id)
	case iam.KindMember, iam.KindApplication:
		w.removeNode(id)
	case iam.KindGroup:
		w.setGroup(id, nil)
	case iam.KindAPIKey:
		w.setKey(id, nil)
	case iam.KindPolicy:
		w.setPolicy(id, nil)
	case iam.KindPermissionSet:
		w.setPermissionSet(id, nil)
	case iam.KindSSHKey: // Nobody is granted anything by one.
	}
}

// changeOrganization changes a copy of an Organization's entry. The dynamic groups are kept in mind while the Organization is not there.
func (w *writer) changeOrganization(id string, change func(*organization)) {
	slot := w.organizations.of(id)
	var o organization
	if before := w.next.organizations.get(slot); before != nil {
		o = *before
	}
	change(&o)
	w.next.organizations.put(w.edit, slot, &o)
}

// setKey files a key, or nothing when it is nil, by its access key and by its digest.
func (w *writer) setKey(id string, to *iam.APIKey) {
	before, found := w.next.keys.get(id)
	if found {
		// A digest is one key's: whoever had it first may not take it from the next.
		if holder, _ := w.next.keysByDigest.get(before.Digest); holder == before {
			w.next.keysByDigest.remove(w.edit, before.Digest)
		}
	}
	if to == nil {
		w.next.keys.remove(w.edit, id)
		return
	}
	key := &apiKey{to, w.slots.of(to.BearerID), w.organizations.of(to.OrganizationID)}
	w.next.keys.put(w.edit, id, key)
	w.next.keysByDigest.put(w.edit, to.Digest, key)
}

// setPermissionSet gives a set's slot to it, or takes it away when it is nil.
func (w *writer) setPermissionSet(id string, to *iam.PermissionSet) {
	w.setsChanged = true
	if name, known := w.setNames[id]; known {
		if slot := w.sets.slot(name); w.sets.bySlot[slot] != nil && w.sets.bySlot[slot].ID == id {
			w.sets.bySlot[slot] = nil
		}
		delete(w.setNames, id)
	}
	if to != nil {
		w.setNames[id] = to.Name
		w.sets.bySlot[w.sets.slot(to.Name)] = to
	}
}

// setPolicy replaces a policy, with nothing when it is nil, in what its principal is granted.
func (w *writer) setPolicy(id string, to *iam.Policy) {
	before, after := w.policies[id], w.compile(to)
	if before != nil {
		delete(w.policies, id)
		for i := range before.Rules {
			w.conditions.release(before.Rules[i].Condition)
		}
	}
	if after != nil {
		w.policies[id] = after
	}
	if before != nil && after != nil && before.principal != after.principal {
		w.changePolicy(before.principal, before, nil)
		before = nil
	}
	switch {
	case after != nil:
		w.changePolicy(after.principal, before, after)
	case before != nil:
		w.changePolicy(before.principal, before, nil)
	}
}

// changePolicy replaces one version of a policy by another, either of which may be nil, at the principal that both name.
func (w *writer) changePolicy(principal int, before, after *policy) {
	bound := w.bound[principal]
	if before != nil {
		bound = slices.DeleteFunc(bound, func(p *policy) bool { return p == before })
	}
	if after != nil {
		bound = append(bound, after)
	}
	if w.bound[principal] = bound; len(bound) == 0 {
		delete(w.bound, principal)
	}
	if n := w.next.nodes.get(principal); n != nil {
		changed := *n
		changed.grants = n.grants.replace(n.home, w.counting(n, before), w.counting(n, after), w.sets.names)
		w.fileNode(&changed)
	}
}

// counting gives a policy if it counts for a principal: if it means one of this kind, and is of the same Organization. Otherwise nil.
func (w *writer) counting(n *node, p *policy) *policy {
	if p == nil || p.PrincipalKind != n.kind() || w.organizations.of(p.OrganizationID) != n.home {
		return nil
	}
	return p
}

// compile works out all of a policy that does not depend on anything else.
func (w *writer) compile(p *iam.Policy) *policy {
	if p == nil {
		return nil
	}
	compiled := &policy{Policy: p, principal: w.slots.of(p.PrincipalID), rules: make([]rule, 0, len(p.Rules))}
	for i := range p.Rules {
		given := &p.Rules[i]
		condition, broken := w.conditions.use(given.Condition)
		if !given.Effective() {
			continue
		}
		r := rule{
			Grant:  Grant{PolicyID: p.ID, PolicyName: p.Name, RuleID: given.ID, Condition: given.Condition},
			policy: compiled, index: i, condition: condition, broken: broken,
		}
		for _, name := range given.PermissionSets {
			r.sets = append(r.sets, w.sets.slot(name))
		}
		for _, id := range given.ProjectIDs { // A rule that says both, which none should, grants on these only.
			r.projects = append(r.projects, w.projects.of(id))
		}
		r.sets, r.projects = distinct(r.sets), distinct(r.projects)
		compiled.rules = append(compiled.rules, r)
	}
	return compiled
}

func distinct(slots []int) []int {
	slices.Sort(slots)
	return slices.Compact(slots)
}
