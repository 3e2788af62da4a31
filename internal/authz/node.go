// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// nodeOf gives a node as its entity says it is, apart from what others say of it.
func (w *writer) nodeOf(entity iam.Entity) node {
	head := entity.GetHead()
	n := node{id: head.ID, home: w.organizations.of(head.OrganizationID)}
	switch e := entity.(type) {
	case *iam.Member:
		n.kind, n.locked, n.invited = userNode, e.Locked != "", e.Invited
		if e.Type == iam.TypeOwner {
			n.kind = ownerNode
		}
	case *iam.Application:
		n.kind = applicationNode
	case *iam.Group:
		n.kind = groupNode
	}
	return n
}

// kindOf gives the kind of node that a bearer or a principal is.
func kindOf(kind iam.PrincipalKind) nodeKind {
	switch kind {
	case iam.PrincipalOwner:
		return ownerNode
	case iam.PrincipalMember:
		return userNode
	case iam.PrincipalApplication:
		return applicationNode
	case iam.PrincipalGroup:
		return groupNode
	}
	return noNode
}

// joins are the groups that a principal joins from its own side; a group joins none.
func joins(entity iam.Entity) []string {
	switch e := entity.(type) {
	case *iam.Member:
		return e.Groups
	case *iam.Application:
		return e.Groups
	}
	return nil
}

// has says whether an id is one of this kind at the moment. The store keeps ids of each kind apart, and one may go after another
// of the same id has come: then what is there is not what goes.
func (w *writer) has(kind iam.Kind, id string) bool {
	entity := *w.next.entities.at(w.slots.of(id))
	return entity != nil && entity.EntityKind() == kind
}

// setNode puts a principal or a group in the place of what had its id, and works out what groups it belongs to and what it is granted.
func (w *writer) setNode(entity iam.Entity) {
	if id := entity.GetHead().ID; entity.EntityKind() != iam.KindGroup && w.has(iam.KindGroup, id) {
		w.setGroup(id, nil) // Its members and those whom it is made of would keep it in mind.
	}
	n := w.nodeOf(entity)
	slot := w.slots.of(n.id)
	w.next.entities.put(w.edit, slot, entity)
	n.groups = w.groupsOf(slot)
	before := w.next.nodes.at(slot)
	if before.kind == noNode {
		w.live++
		w.next.slots.put(w.edit, n.id, slot)
	}
	if before.kind == n.kind && before.home == n.home {
		n.grants = before.grants
	} else {
		var counting []*policy
		for _, p := range w.bound[slot] {
			if w.counting(&n, p) != nil {
				counting = append(counting, p)
			}
		}
		n.grants = newGrants(n.home, counting, w.sets.names)
	}
	w.fileNode(slot, n)
}

// groupsOf gives the slots of the groups that list a principal or that it joins, each once, by id. Groups belong to none.
func (w *writer) groupsOf(slot int32) []int32 {
	entity := *w.next.entities.at(slot)
	if entity == nil || entity.EntityKind() == iam.KindGroup {
		return nil
	}
	ids := slices.Concat(w.listed[slot], joins(entity))
	slices.Sort(ids)
	return w.slotsOf(slices.Compact(ids))
}

// fileNode puts a node where decisions look for it.
func (w *writer) fileNode(slot int32, n node) {
	w.next.nodes.put(w.edit, slot, n)
	var given *grants
	if group, ok := (*w.next.entities.at(slot)).(*iam.Group); ok && group.Membership == iam.MembershipDeclared {
		given = n.grants
	}
	if *w.next.groups.at(slot) != given {
		w.next.groups.put(w.edit, slot, given)
	}
}

// removeNode takes away what has an id. What names it stays, and counts again should it come back.
func (w *writer) removeNode(id string) {
	slot := w.slots.of(id)
	if w.next.nodes.at(slot).kind == noNode {
		return
	}
	w.live--
	w.next.slots.remove(w.edit, id)
	w.next.entities.put(w.edit, slot, nil)
	w.fileNode(slot, node{})
}

// setGroup replaces a group, with nothing when it is nil, and tells those whom it lists.
func (w *writer) setGroup(id string, to *iam.Group) {
	var before, after []string
	if previous, ok := (*w.next.entities.at(w.slots.of(id))).(*iam.Group); ok {
		before = previous.Members
		w.changeDynamic(previous, without)
	}
	switch {
	case to != nil:
		after = to.Members
		w.changeDynamic(to, with)
		w.setNode(to)
	case w.has(iam.KindGroup, id):
		w.removeNode(id)
	}
	for _, member := range before {
		if !slices.Contains(after, member) {
			w.changeListed(member, id, without)
		}
	}
	for _, member := range after {
		if !slices.Contains(before, member) {
			w.changeListed(member, id, with)
		}
	}
}

// changeListed changes by which groups a principal is listed, whether or not it is there.
func (w *writer) changeListed(member, group string, change func(ids []string, id string) []string) {
	slot := w.slots.of(member)
	if w.listed[slot] = change(w.listed[slot], group); len(w.listed[slot]) == 0 {
		delete(w.listed, slot)
	}
	if n := *w.next.nodes.at(slot); n.kind != noNode {
		n.groups = w.groupsOf(slot)
		w.fileNode(slot, n)
	}
}

// changeDynamic changes the list of dynamic groups that a group is in; a declared group is in none.
func (w *writer) changeDynamic(group *iam.Group, change func(ids []string, id string) []string) {
	if group.Membership == iam.MembershipDeclared {
		return
	}
	home := w.organizations.of(group.OrganizationID)
	kind := dynamicKind{home, group.Membership}
	w.dynamic[kind] = change(w.dynamic[kind], group.ID)
	o := *w.next.organizations.at(home)
	switch group.Membership {
	case iam.MembershipAllUsers:
		o.allUsers = w.slotsOf(w.dynamic[kind])
	case iam.MembershipAllApplications:
		o.allApplications = w.slotsOf(w.dynamic[kind])
	case iam.MembershipDeclared:
	}
	w.next.organizations.put(w.edit, home, o)
}

func (w *writer) slotsOf(ids []string) []int32 {
	if len(ids) == 0 {
		return nil
	}
	slots := make([]int32, len(ids))
	for i, id := range ids {
		slots[i] = w.slots.of(id)
	}
	return slots
}

// with and without give a list in order that has an id, or has not, and leave the one given as it is.
func with(ids []string, id string) []string {
	at, found := slices.BinarySearch(ids, id)
	if found {
		return ids
	}
	return slices.Insert(slices.Clone(ids), at, id)
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(other string) bool { return other == id })
}
