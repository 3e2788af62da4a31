// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// A membership is declared by the group, by the member, or by both, and holds as long as
// either does. Its events are about the group, whichever side changed. Where the other side
// declares it too, nobody joins or leaves; what is told then is the update of the object
// that was edited, since a RemoveGroupMember would report a revocation that did not happen.

// groupsUpdated tells of the groups that a principal joins and leaves from its own side.
func (d describer) groupsUpdated(principal iam.Entity, before, after []string, rest delta) []Note {
	notes, all := d.joined(principal, before, after)
	if all && len(notes) > 0 {
		rest.take("groupIDs")
	}
	return notes
}

// joined gives an event for each group that a principal joins or leaves by its own
// declaration, and whether these tell of every change: not so where the group lists it.
func (d describer) joined(principal iam.Entity, before, after []string) (notes []Note, all bool) {
	all = true
	add := func(m method, groupID string) {
		group, _ := d.find(iam.KindGroup, groupID).(*iam.Group)
		if group != nil && slices.Contains(group.Members, principal.GetHead().ID) {
			all = false
			return
		}
		// A group that is not there, or not yet, has no name; its id says which it is.
		n := noteAbout(m, groupID, groupID)
		if group != nil {
			n = note(m, group)
		}
		self := []fields{member(principal.EntityKind(), principal.GetHead().ID, principal.Label())}
		if m == addGroupMember {
			n.Change = memberChange(nil, self)
		} else {
			n.Change = memberChange(self, nil)
		}
		notes = append(notes, n)
	}
	for _, id := range without(before, after) {
		add(removeGroupMember, id)
	}
	for _, id := range without(after, before) {
		add(addGroupMember, id)
	}
	return notes, all
}

// groupUpdated tells of the principals that a group lists more or less than before.
func (d describer) groupUpdated(before, after *iam.Group, rest delta) []Note {
	if rest.has("membership") {
		// Between a list and everybody it depends on who there is who came or went. One
		// UpdateGroup shows both the kind and the list.
		return nil
	}
	notes, all := d.listed(after, before.Members, after.Members)
	if all && len(notes) > 0 {
		rest.take("memberIDs")
	}
	return notes
}

// listed gives the one event for the principals that come and go by the group's own list,
// and whether it tells of every change: not so where somebody joins from its own side.
func (d describer) listed(group *iam.Group, before, after []string) (notes []Note, all bool) {
	all = true
	only := func(ids []string) []fields {
		var members []fields
		for _, id := range ids {
			m, joins := d.principal(id, group.ID)
			if joins {
				all = false
				continue
			}
			members = append(members, m)
		}
		return members
	}
	removed, added := only(without(before, after)), only(without(after, before))
	if len(removed)+len(added) == 0 {
		return nil, all
	}
	n := note(membersMethod(len(removed), len(added)), group)
	n.Change = memberChange(removed, added)
	return []Note{n}, all
}

// membersMethod is the smallest of Scaleway's methods that does it in one call.
func membersMethod(removed, added int) method {
	switch {
	case removed == 0 && added == 1:
		return addGroupMember
	case removed == 0:
		return addGroupMembers
	case removed == 1 && added == 0:
		return removeGroupMember
	}
	return setGroupMembers
}

// principal gives what an event says of a member of a group, and whether that member joins
// the group from its own side. One that is gone has left its id only.
func (d describer) principal(id, groupID string) (shown fields, joins bool) {
	if m, ok := d.find(iam.KindMember, id).(*iam.Member); ok {
		return member(iam.KindMember, id, m.Label()), slices.Contains(m.Groups, groupID)
	}
	if a, ok := d.find(iam.KindApplication, id).(*iam.Application); ok {
		return member(iam.KindApplication, id, a.Label()), slices.Contains(a.Groups, groupID)
	}
	return fields{"id": id}, false
}

func member(kind iam.Kind, id, name string) fields {
	return fields{"kind": string(kind), "id": id, "name": name}
}

// memberChange shows only who came and went: a group may have hundreds of members, and from
// a member's side the others are not known. So it looks the same from both sides.
func memberChange(removed, added []fields) iam.EventChange {
	some := func(members []fields) fields {
		if members == nil {
			members = []fields{}
		}
		return fields{"members": members}
	}
	return iam.EventChange{Before: some(removed).encode(), After: some(added).encode()}
}

// without gives the ids of a that are not in b, each once and in order.
func without(a, b []string) []string {
	var ids []string
	for _, id := range a {
		if !slices.Contains(b, id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
