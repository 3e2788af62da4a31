// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// writer makes the next snapshot of the newest one. It has what only changes need, and serves one goroutine.
type writer struct {
	edit       *edit
	next       *Snapshot
	policies   map[string]*policy
	setNames   map[string]string // of the permission sets, by id
	slots      setSlots
	conditions conditions
	// setsChanged says that the index of permission sets is due.
	setsChanged bool
}

// NewSnapshot builds a snapshot of what a store holds.
func NewSnapshot(entities []iam.Entity, revision store.Revision) *Snapshot {
	w := &writer{
		edit: &edit{}, next: &Snapshot{}, policies: map[string]*policy{}, setNames: map[string]string{},
		slots: setSlots{byName: map[string]int{}}, conditions: conditions{},
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
	s.writer = nil
	w.edit = &edit{}
	w.next = &Snapshot{keys: s.keys, keysByDigest: s.keysByDigest, nodes: s.nodes, organizations: s.organizations, projects: s.projects, sets: s.sets}
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
		w.next.sets, w.setsChanged = compileSets(w.slots.bySlot), false
	}
	s := w.next
	s.revision, s.writer, w.next = revision, w, nil
	return s
}

func (w *writer) put(entity iam.Entity) {
	switch e := entity.(type) {
	case *iam.Organization:
		o := w.organization(e.ID)
		o.Organization = e
		w.next.organizations.put(w.edit, e.ID, o)
	case *iam.Project:
		w.next.projects.put(w.edit, e.ID, e)
	case *iam.Member:
		w.changeNode(e.ID, func(n *node) { n.user = e })
	case *iam.Application:
		w.changeNode(e.ID, func(n *node) { n.application = e })
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
		w.removeOrganization(id)
	case iam.KindProject:
		w.next.projects.remove(w.edit, id)
	case iam.KindMember:
		w.changeNode(id, func(n *node) { n.user = nil })
	case iam.KindApplication:
		w.changeNode(id, func(n *node) { n.application = nil })
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

// organization gives a copy of an Organization's entry, or an empty one.
func (w *writer) organization(id string) *organization {
	if o := w.next.organizations.get(id); o != nil {
		changed := *o
		return &changed
	}
	return &organization{}
}

// removeOrganization keeps the dynamic groups in mind as long as they are there.
func (w *writer) removeOrganization(id string) {
	o := w.organization(id)
	o.Organization = nil
	w.setOrganization(id, o)
}

func (w *writer) setOrganization(id string, o *organization) {
	if o.Organization == nil && len(o.allUsers) == 0 && len(o.allApplications) == 0 {
		w.next.organizations.remove(w.edit, id)
		return
	}
	w.next.organizations.put(w.edit, id, o)
}

// setKey files a key by its access key and by its digest.
func (w *writer) setKey(id string, key *iam.APIKey) {
	// A digest is one key's: whoever has it last may not take another's away.
	if before := w.next.keys.get(id); before != nil && w.next.keysByDigest.get(before.Digest) == before {
		w.next.keysByDigest.remove(w.edit, before.Digest)
	}
	if key == nil {
		w.next.keys.remove(w.edit, id)
		return
	}
	w.next.keys.put(w.edit, id, key)
	w.next.keysByDigest.put(w.edit, key.Digest, key)
}

// setPermissionSet gives a set's slot to it, or takes it away.
func (w *writer) setPermissionSet(id string, set *iam.PermissionSet) {
	w.setsChanged = true
	if name, known := w.setNames[id]; known {
		if slot := w.slots.slot(name); w.slots.bySlot[slot] != nil && w.slots.bySlot[slot].ID == id {
			w.slots.bySlot[slot] = nil
		}
		delete(w.setNames, id)
	}
	if set != nil {
		w.setNames[id] = set.Name
		w.slots.bySlot[w.slots.slot(set.Name)] = set
	}
}

// setPolicy replaces a policy, with nothing when it is nil, in what its principal is granted.
func (w *writer) setPolicy(id string, to *iam.Policy) {
	before := w.policies[id]
	after := w.compile(to)
	if before != nil {
		delete(w.policies, id)
		for i := range before.Rules {
			w.conditions.release(before.Rules[i].Condition)
		}
	}
	if after != nil {
		w.policies[id] = after
	}
	if before != nil && (after == nil || after.PrincipalID != before.PrincipalID) {
		w.changePolicy(before.PrincipalID, before, nil)
		before = nil
	}
	if after != nil {
		w.changePolicy(after.PrincipalID, before, after)
	}
}

// changePolicy replaces one version of a policy by another, either of which may be nil, at the principal that both name.
func (w *writer) changePolicy(principalID string, before, after *policy) {
	if principalID == "" {
		return
	}
	n := w.node(principalID)
	n.policies = slices.Clone(n.policies)
	if before != nil {
		n.policies = slices.DeleteFunc(n.policies, func(p *policy) bool { return p == before })
	}
	if after != nil {
		n.policies = append(n.policies, after)
	}
	n.grants = n.grants.replace(n.counting(before), n.counting(after))
	w.setNode(principalID, n)
}

// compile works out all of a policy that does not depend on anything else.
func (w *writer) compile(p *iam.Policy) *policy {
	if p == nil {
		return nil
	}
	compiled := &policy{Policy: p, rules: make([]rule, 0, len(p.Rules))}
	for i := range p.Rules {
		given := &p.Rules[i]
		condition, broken := w.conditions.use(given.Condition)
		if !given.Effective() {
			continue
		}
		r := rule{Rule: given, policy: compiled, index: i, condition: condition, broken: broken}
		for _, name := range given.PermissionSets {
			set := ruleSet{name: strings.ToLower(name), slot: w.slots.slot(name)}
			if !slices.Contains(r.sets, set) {
				r.sets = append(r.sets, set)
			}
		}
		compiled.rules = append(compiled.rules, r)
	}
	return compiled
}
