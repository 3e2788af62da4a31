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
	listed map[int32][]string
	bound  map[int32][]*policy
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
	organization int32
	membership   iam.Membership
}

// slots gives ids their slots.
type slots map[string]int32

func (s slots) of(id string) int32 {
	slot, found := s[id]
	if !found {
		slot = int32(len(s)) //nolint:gosec // there is no memory for so many
		s[id] = slot
	}
	return slot
}

// NewSnapshot builds a snapshot of what a store holds.
func NewSnapshot(entities []iam.Entity, revision store.Revision) *Snapshot {
	w := &writer{
		edit: &edit{}, next: &Snapshot{}, slots: slots{}, organizations: slots{}, projects: slots{}, listed: map[int32][]string{},
		bound: map[int32][]*policy{}, policies: map[string]*policy{}, sets: setSlots{byName: map[string]int32{}}, setNames: map[string]string{},
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
		w.setOrganization(e.ID, e)
	case *iam.Project:
		w.next.projects.put(w.edit, e.ID, project{e, w.projects.of(e.ID), w.organizations.of(e.OrganizationID)})
	case *iam.Member, *iam.Application:
		w.setNode(e)
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
		w.setOrganization(id, nil)
	case iam.KindProject:
		w.next.projects.remove(w.edit, id)
	case iam.KindMember, iam.KindApplication:
		if w.has(kind, id) {
			w.removeNode(id)
		}
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

// setOrganization replaces an Organization, with nothing when it is nil. Its dynamic groups are kept in mind while it is not there.
func (w *writer) setOrganization(id string, to *iam.Organization) {
	slot := w.organizations.of(id)
	o := *w.next.organizations.at(slot)
	o.id, o.owner = "", whole
	if to != nil {
		o.id, o.owner = to.ID, w.slots.of(to.OwnerID)
	}
	w.next.organizations.put(w.edit, slot, o)
}

// setKey files a key, or nothing when it is nil, by its access key and by its digest.
func (w *writer) setKey(id string, to *iam.APIKey) {
	if before, found := w.next.keys.get(id); found {
		// A digest is one key's: whoever had it first may not take it from the next.
		if holder, _ := w.next.keysByDigest.get(before.Digest); holder == before.APIKey {
			w.next.keysByDigest.remove(w.edit, before.Digest)
		}
	}
	if to == nil {
		w.next.keys.remove(w.edit, id)
		return
	}
	key := apiKey{APIKey: to, bearer: w.slots.of(to.BearerID), home: w.organizations.of(to.OrganizationID), kind: kindOf(to.BearerKind)}
	w.next.keys.put(w.edit, id, key)
	w.next.keysByDigest.put(w.edit, to.Digest, to)
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
func (w *writer) changePolicy(principal int32, before, after *policy) {
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
	if n := *w.next.nodes.at(principal); n.kind != noNode {
		n.grants = n.grants.replace(n.home, w.counting(&n, before), w.counting(&n, after), w.sets.names)
		w.fileNode(principal, n)
	}
}

// counting gives a policy if it counts for a principal: if it means one of this kind, and is of the same Organization. Otherwise nil.
func (w *writer) counting(n *node, p *policy) *policy {
	if p == nil || kindOf(p.PrincipalKind) != n.kind || w.organizations.of(p.OrganizationID) != n.home {
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
		r := rule{policy: compiled, index: i, condition: condition, broken: broken}
		for _, name := range given.PermissionSets {
			if set := w.sets.slot(name); !slices.Contains(r.sets, set) {
				r.sets = append(r.sets, set)
				r.grants = append(r.grants, Grant{PolicyID: p.ID, PolicyName: p.Name, RuleID: given.ID, PermissionSet: name, Condition: given.Condition})
			}
		}
		for _, id := range given.ProjectIDs { // A rule that says both, which none should, grants on these only.
			r.projects = append(r.projects, w.projects.of(id))
		}
		r.projects = distinct(r.projects)
		compiled.rules = append(compiled.rules, r)
	}
	return compiled
}

func distinct(slots []int32) []int32 {
	slices.Sort(slots)
	return slices.Compact(slots)
}
