// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// node gives a copy of what is known of an id, or an empty one.
func (w *writer) node(id string) *node {
	if n := w.next.nodes.get(id); n != nil {
		changed := *n
		return &changed
	}
	return &node{}
}

func (w *writer) setNode(id string, n *node) {
	if n.user == nil && n.application == nil && n.group == nil && len(n.listed) == 0 && len(n.policies) == 0 {
		w.next.nodes.remove(w.edit, id)
		return
	}
	w.next.nodes.put(w.edit, id, n)
}

// changeNode changes what has an id, and works out anew which groups it belongs to and what it is granted.
func (w *writer) changeNode(id string, change func(*node)) {
	n := w.node(id)
	before := n.place()
	change(n)
	n.groups = n.belongs()
	if n.place() != before {
		counting := make([]*policy, 0, len(n.policies))
		for _, p := range n.policies {
			if n.counting(p) != nil {
				counting = append(counting, p)
			}
		}
		n.grants = newGrants(counting)
	}
	w.setNode(id, n)
}

// place is what decides which policies count.
type place struct {
	kind           iam.PrincipalKind
	organizationID string
}

func (n *node) place() place {
	switch {
	case n.user != nil:
		return place{iam.PrincipalMember, n.user.OrganizationID}
	case n.application != nil:
		return place{iam.PrincipalApplication, n.application.OrganizationID}
	case n.group != nil:
		return place{iam.PrincipalGroup, n.group.OrganizationID}
	}
	return place{}
}

// counting gives a policy if it counts for this principal: if it means this kind, and is of the same Organization. Otherwise nil.
func (n *node) counting(p *policy) *policy {
	if p == nil || (place{p.PrincipalKind, p.OrganizationID}) != n.place() {
		return nil
	}
	return p
}

// belongs gives the groups that list a principal or that it joins, each once, in order.
func (n *node) belongs() []string {
	var joins []string
	switch {
	case n.user != nil:
		joins = n.user.Groups
	case n.application != nil:
		joins = n.application.Groups
	default:
		return nil // Groups have no groups.
	}
	groups := slices.Concat(n.listed, joins)
	slices.Sort(groups)
	return slices.Compact(groups)
}

// setGroup replaces a group, with nothing when it is nil, and tells those whom it lists.
func (w *writer) setGroup(id string, to *iam.Group) {
	var before, after []string
	if previous := w.next.nodes.get(id); previous != nil && previous.group != nil {
		before = previous.group.Members
		w.changeDynamic(previous.group, without)
	}
	if to != nil {
		after = to.Members
		w.changeDynamic(to, with)
	}
	w.changeNode(id, func(n *node) { n.group = to })
	for _, member := range before {
		if !slices.Contains(after, member) {
			w.changeNode(member, func(n *node) { n.listed = without(n.listed, id) })
		}
	}
	for _, member := range after {
		if !slices.Contains(before, member) {
			w.changeNode(member, func(n *node) { n.listed = with(n.listed, id) })
		}
	}
}

// changeDynamic changes the list of dynamic groups that a group is in; a declared group is in none.
func (w *writer) changeDynamic(group *iam.Group, change func(ids []string, id string) []string) {
	o := w.organization(group.OrganizationID)
	switch group.Membership {
	case iam.MembershipAllUsers:
		o.allUsers = change(o.allUsers, group.ID)
	case iam.MembershipAllApplications:
		o.allApplications = change(o.allApplications, group.ID)
	case iam.MembershipDeclared:
		return
	}
	w.setOrganization(group.OrganizationID, o)
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
