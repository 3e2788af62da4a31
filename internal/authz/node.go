// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
)

func (n *node) kind() iam.PrincipalKind {
	switch {
	case n.user != nil:
		return iam.PrincipalMember
	case n.application != nil:
		return iam.PrincipalApplication
	}
	return iam.PrincipalGroup
}

// joins are the groups that a principal joins from its own side; a group joins none.
func (n *node) joins() []string {
	switch {
	case n.user != nil:
		return n.user.Groups
	case n.application != nil:
		return n.application.Groups
	}
	return nil
}

// setNode puts a principal or a group in the place of what had its id, and works out what groups it belongs to and what it is granted.
func (w *writer) setNode(n *node) {
	slot := w.slots.of(n.id)
	w.next.slots.put(w.edit, n.id, slot)
	n.groups = w.groupsOf(n, slot)
	before := w.next.nodes.get(slot)
	if before == nil {
		w.live++
	}
	if before != nil && before.kind() == n.kind() && before.home == n.home {
		n.grants = before.grants
	} else {
		var counting []*policy
		for _, p := range w.bound[slot] {
			if w.counting(n, p) != nil {
				counting = append(counting, p)
			}
		}
		n.grants = newGrants(n.home, counting, w.sets.names)
	}
	w.fileNode(n)
}

// groupsOf gives the slots of the groups that list a principal or that it joins, each once, by id. Groups belong to none.
func (w *writer) groupsOf(n *node, slot int) []int {
	if n.group != nil {
		return nil
	}
	ids := slices.Concat(w.listed[slot], n.joins())
	slices.Sort(ids)
	return w.slotsOf(slices.Compact(ids))
}

// fileNode puts a node where decisions look for it.
func (w *writer) fileNode(n *node) {
	slot := w.slots.of(n.id)
	w.next.nodes.put(w.edit, slot, n)
	var given *grants
	if n.group != nil && n.group.Membership == iam.MembershipDeclared {
		given = n.grants
	}
	if w.next.groups.get(slot) != given {
		w.next.groups.put(w.edit, slot, given)
	}
}

// removeNode takes away what has an id. What names it stays, and counts again should it come back.
func (w *writer) removeNode(id string) {
	slot := w.slots.of(id)
	if w.next.nodes.get(slot) == nil {
		return
	}
	w.live--
	w.next.slots.remove(w.edit, id)
	w.next.nodes.put(w.edit, slot, nil)
	w.next.groups.put(w.edit, slot, nil)
}

// setGroup replaces a group, with nothing when it is nil, and tells those whom it lists.
func (w *writer) setGroup(id string, to *iam.Group) {
	var before, after []string
	if previous := w.next.nodes.get(w.slots.of(id)); previous != nil && previous.group != nil {
		before = previous.group.Members
		w.changeDynamic(previous.group, without)
	}
	if to != nil {
		after = to.Members
		w.changeDynamic(to, with)
		w.setNode(&node{id: id, home: w.organizations.of(to.OrganizationID), group: to})
	} else {
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
	if n := w.next.nodes.get(slot); n != nil {
		changed := *n
		changed.groups = w.groupsOf(n, slot)
		w.fileNode(&changed)
	}
}

// changeDynamic changes the list of dynamic groups that a group is in; a declared group is in none.
func (w *writer) changeDynamic(group *iam.Group, change func(ids []string, id string) []string) {
	if group.Membership == iam.MembershipDeclared {
		return
	}
	kind := dynamicKind{w.organizations.of(group.OrganizationID), group.Membership}
	w.dynamic[kind] = change(w.dynamic[kind], group.ID)
	w.changeOrganization(group.OrganizationID, func(o *organization) {
		switch group.Membership {
		case iam.MembershipAllUsers:
			o.allUsers = w.slotsOf(w.dynamic[kind])
		case iam.MembershipAllApplications:
			o.allApplications = w.slotsOf(w.dynamic[kind])
		case iam.MembershipDeclared:
		}
	})
}

func (w *writer) slotsOf(ids []string) []int {
	slots := make([]int, len(ids))
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
