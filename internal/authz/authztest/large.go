// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// policiesAnOrganization is how large an Organization grows before there is another.
const policiesAnOrganization = 500

// Large is a world of a given number of policies, in which nothing is wrong. It has as many principals as policies, of which
// three in five are Members and the others applications, each with a key; a group for ten policies, with the two dynamic
// groups of each Organization; a Project for twenty; and the permission sets of the catalogue with a few custom ones.
// A principal is in one to five groups and groups differ in size, both by Zipf's law. Policies have one to three rules, with
// one to three sets each; three rules in ten have a condition on address, user agent or time. Each Organization chooses
// its conditions from some twenty.
//
// It grows by Organizations, so that what reaches a principal is the same for every size.
type Large struct {
	World
	dice          dice
	organizations []*tenant
	connections   connections
}

// tenant is an Organization of a large world.
type tenant struct {
	id         string
	projects   []string
	principals []*largePrincipal
	declared   []*iam.Group
	conditions []reference.Condition
}

// largePrincipal is a Member or an application, with what leads to it.
type largePrincipal struct {
	id       string
	isMember bool
	key      string
	policies []*iam.Policy
}

// NewLarge gives the large world of a seed.
func NewLarge(seed uint64, policies int) *Large {
	l := &Large{dice: newDice(seed, 2), World: World{Conditions: map[string]reference.Condition{}}}
	sets := l.addSets()
	for left := policies; left > 0; {
		size := policiesAnOrganization
		if left < 2*size {
			size = left // the last one takes the rest
		}
		l.addOrganization(size, sets)
		left -= size
	}
	l.connections = connect(l.Entities)
	for _, o := range l.organizations {
		for _, p := range o.principals {
			p.policies = l.connections.policiesOf(p.id, o.id)
		}
	}
	return l
}

// addSets adds the permission sets, and gives their names by type.
func (l *Large) addSets() map[iam.ScopeType][]string {
	names := map[iam.ScopeType][]string{}
	add := func(set *iam.PermissionSet) {
		l.Entities = append(l.Entities, set)
		names[set.ScopeType] = append(names[set.ScopeType], set.Name)
	}
	for _, set := range iam.Catalogue() {
		add(&iam.PermissionSet{
			Head: iam.Head{ID: iam.ManagedPermissionSetID(set.Name)}, Name: set.Name, ScopeType: set.ScopeType,
			Permissions: set.PermissionStrings(), Managed: true,
		})
	}
	for _, service := range customServices {
		add(&iam.PermissionSet{
			Head: iam.Head{ID: l.newID()}, Name: strings.ToUpper(service[:1]) + service[1:] + "FullAccess", ScopeType: iam.ScopeProjects,
			Permissions: []string{service + ":*:*"}, IncludedInAllProducts: true,
		})
	}
	return names
}

// newID gives something in the form of a UUID.
func (l *Large) newID() string {
	high, low := l.dice.Uint64(), l.dice.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", high>>32, high>>16&0xffff, high&0xffff, low>>48, low&0xffffffffffff)
}

func newAccessKey(d dice) string {
	const symbols = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	key := []byte("SCW")
	for range 17 {
		key = append(key, symbols[d.IntN(len(symbols))])
	}
	return string(key)
}

func (l *Large) head(o *tenant) iam.Head {
	return iam.Head{ID: l.newID(), OrganizationID: o.id, CreatedAt: Now().Add(-time.Duration(l.dice.IntN(365*24)) * time.Hour)}
}

func (l *Large) addOrganization(policies int, sets map[iam.ScopeType][]string) {
	o := &tenant{id: l.newID()}
	l.organizations = append(l.organizations, o)
	head := iam.Head{ID: o.id, OrganizationID: o.id}
	owner := iam.Head{ID: iam.OwnerID(o.id), OrganizationID: o.id}
	l.Entities = append(l.Entities,
		&iam.Organization{Head: head, Name: o.id, Alias: o.id, OwnerID: owner.ID},
		&iam.Member{Head: owner, Type: iam.TypeOwner, Email: "owner@" + o.id + ".example"},
		&iam.Project{Head: head, Name: "default"})
	o.projects = []string{o.id}
	for range max(1, policies/20) {
		project := &iam.Project{Head: l.head(o), Name: "project"}
		o.projects = append(o.projects, project.ID)
		l.Entities = append(l.Entities, project)
	}
	l.addGroups(o, policies)
	for range 20 {
		c := l.condition()
		o.conditions = append(o.conditions, c)
		l.Conditions[c.CEL()] = c
	}
	dynamic := l.addDynamicGroups(o)
	for i := range policies {
		policy := &iam.Policy{Head: l.head(o), Name: fmt.Sprintf("policy-%d", i+1)}
		if i < len(dynamic) {
			policy.PrincipalKind, policy.PrincipalID = iam.PrincipalGroup, dynamic[i]
		} else {
			policy.PrincipalKind, policy.PrincipalID = l.grantee(o)
		}
		for rule := range l.dice.between(1, 3) {
			policy.Rules = append(policy.Rules, l.rule(o, iam.RuleID(policy.ID, 1, rule), sets))
		}
		l.Entities = append(l.Entities, policy)
	}
}

// addGroups adds groups and principals, and joins them from either side.
func (l *Large) addGroups(o *tenant, policies int) {
	for i := range max(3, policies/10-2) {
		group := &iam.Group{Head: l.head(o), Name: fmt.Sprintf("group-%d", i+1), Membership: iam.MembershipDeclared}
		o.declared = append(o.declared, group)
		l.Entities = append(l.Entities, group)
	}
	bySize := rand.NewZipf(l.dice.Rand, 1.2, 1, uint64(len(o.declared)-1)) //nolint:gosec // there are some
	howMany := rand.NewZipf(l.dice.Rand, 1.5, 1, 4)
	for i := range policies {
		head := l.head(o)
		var joins []string
		for _, group := range several(int(1+howMany.Uint64()), func() *iam.Group { return o.declared[bySize.Uint64()] }) { //nolint:gosec // at most 5
			if l.dice.chance(50) {
				joins = append(joins, group.ID)
			} else {
				group.Members = append(group.Members, head.ID)
			}
		}
		p := &largePrincipal{id: head.ID, isMember: l.dice.chance(60)}
		kind := iam.PrincipalApplication
		if p.isMember {
			kind = iam.PrincipalMember
			member := &iam.Member{Head: head, Type: iam.TypeMember, Username: fmt.Sprintf("member-%d", i+1), Groups: joins}
			member.Email = member.Username + "@" + o.id + ".example"
			if l.dice.chance(1) {
				member.Locked = "Declared"
			}
			l.Entities = append(l.Entities, member)
		} else {
			l.Entities = append(l.Entities, &iam.Application{Head: head, Name: fmt.Sprintf("application-%d", i+1), Groups: joins})
		}
		p.key = l.addKey(o, kind, p.id)
		o.principals = append(o.principals, p)
	}
}

func (l *Large) addKey(o *tenant, kind iam.PrincipalKind, bearer string) string {
	key := &iam.APIKey{Head: l.head(o), BearerKind: kind, BearerID: bearer, DefaultProjectID: o.id}
	key.ID = newAccessKey(l.dice)
	if l.dice.chance(50) {
		expires := Now().Add(time.Duration(l.dice.between(-24, 24*90)) * time.Hour)
		key.ExpiresAt = &expires
	}
	l.Entities = append(l.Entities, key)
	return key.ID
}

func (l *Large) addDynamicGroups(o *tenant) []string {
	var ids []string
	for _, membership := range []iam.Membership{iam.MembershipAllUsers, iam.MembershipAllApplications} {
		group := &iam.Group{Head: l.head(o), Name: string(membership), Membership: membership}
		l.Entities = append(l.Entities, group)
		ids = append(ids, group.ID)
	}
	return ids
}

// grantee gives whom a policy is for.
func (l *Large) grantee(o *tenant) (iam.PrincipalKind, string) {
	if l.dice.chance(50) {
		return iam.PrincipalGroup, pick(l.dice, o.declared).ID
	}
	p := pick(l.dice, o.principals)
	if p.isMember {
		return iam.PrincipalMember, p.id
	}
	return iam.PrincipalApplication, p.id
}

func (l *Large) rule(o *tenant, id string, sets map[iam.ScopeType][]string) iam.Rule {
	rule := iam.Rule{ID: id}
	scopeType := iam.ScopeProjects
	if l.dice.chance(20) {
		scopeType = iam.ScopeOrganization
	}
	names := sets[scopeType]
	rule.PermissionSets = several(l.dice.between(1, 3), func() string { return pick(l.dice, names) })
	if scopeType == iam.ScopeOrganization || l.dice.chance(35) {
		rule.OrganizationScope = true
	} else {
		rule.ProjectIDs = several(l.dice.between(1, 3), func() string { return pick(l.dice, o.projects) })
	}
	if l.dice.chance(30) {
		rule.Condition = pick(l.dice, o.conditions).CEL()
	}
	return rule
}

// condition gives one as organizations have them: an office's addresses, a tool, working hours, an end; or two of these.
func (l *Large) condition() reference.Condition {
	term := func() reference.Condition {
		switch at := l.dice.IntN(10); {
		case at < 4:
			return reference.IPInRange{Range: l.office()}
		case at < 7:
			return reference.UserAgentPrefix{Prefix: pick(l.dice, userAgents)}
		case at < 9:
			from := l.dice.between(6, 10)
			return reference.Hours{Zone: pick(l.dice, zones()), From: from, Until: from + l.dice.between(6, 10)}
		}
		return reference.Before{Time: Now().Add(time.Duration(l.dice.between(-30*24, 365*24)) * time.Hour)}
	}
	switch at := l.dice.IntN(20); {
	case at < 4:
		return reference.And{Left: term(), Right: term()}
	case at < 6:
		return reference.Or{Left: term(), Right: term()}
	case at < 7:
		return reference.Not{Condition: term()}
	}
	return term()
}

// office gives a range of addresses, one in five of IPv6.
func (l *Large) office() netip.Prefix {
	var v4 [4]byte
	var v6 [16]byte
	for i := range v6[:6] {
		v6[i] = byte(l.dice.IntN(256)) //nolint:gosec // at most 255
	}
	v6[0], v6[1] = 0x20, 0x01
	if l.dice.chance(20) {
		return netip.PrefixFrom(netip.AddrFrom16(v6), 48)
	}
	copy(v4[:], v6[2:5])
	v4[0] = byte(l.dice.between(1, 223)) //nolint:gosec // at most 223
	return netip.PrefixFrom(netip.AddrFrom4(v4), 24)
}

// connections find what of a large world can matter for a question: what is connected with it. To look at everything each
// time, as the reference does, would take hours.
type connections struct {
	byID map[string][]iam.Entity
	// listing are the groups that list an id; dynamic are an Organization's dynamic groups.
	listing, dynamic map[string][]*iam.Group
	// granted are the policies for an id.
	granted map[string][]*iam.Policy
	// sets are the permission sets by name in lower case; everywhere are those that matter for all.
	sets       map[string]*iam.PermissionSet
	everywhere []iam.Entity
}

func connect(entities []iam.Entity) connections {
	c := connections{
		byID: map[string][]iam.Entity{}, listing: map[string][]*iam.Group{}, dynamic: map[string][]*iam.Group{},
		granted: map[string][]*iam.Policy{}, sets: map[string]*iam.PermissionSet{},
	}
	for _, entity := range entities {
		switch e := entity.(type) {
		case *iam.Policy:
			c.granted[e.PrincipalID] = append(c.granted[e.PrincipalID], e)
			continue
		case *iam.PermissionSet:
			c.sets[strings.ToLower(e.Name)] = e
			if e.IncludedInAllProducts {
				c.everywhere = append(c.everywhere, e)
			}
			continue
		case *iam.Group:
			if e.Membership != iam.MembershipDeclared {
				c.dynamic[e.OrganizationID] = append(c.dynamic[e.OrganizationID], e)
			}
			for _, id := range e.Members {
				c.listing[id] = append(c.listing[id], e)
			}
		}
		c.byID[entity.GetHead().ID] = append(c.byID[entity.GetHead().ID], entity)
	}
	return c
}

// groupsOf gives the groups that list a principal, that it joins, and that are dynamic.
func (c *connections) groupsOf(principal, organization string) []*iam.Group {
	groups := slices.Concat(c.listing[principal], c.dynamic[organization])
	for _, entity := range c.byID[principal] {
		var joins []string
		switch e := entity.(type) {
		case *iam.Member:
			joins = e.Groups
		case *iam.Application:
			joins = e.Groups
		}
		for _, id := range joins {
			for _, joined := range c.byID[id] {
				if group, ok := joined.(*iam.Group); ok && !slices.Contains(groups, group) {
					groups = append(groups, group)
				}
			}
		}
	}
	return groups
}

// policiesOf gives the policies of a principal and of its groups.
func (c *connections) policiesOf(principal, organization string) []*iam.Policy {
	policies := slices.Clone(c.granted[principal])
	for _, group := range c.groupsOf(principal, organization) {
		policies = append(policies, c.granted[group.ID]...)
	}
	return policies
}

// about gives all entities that are connected with a question.
func (c *connections) about(r reference.Request) []iam.Entity {
	principal := r.SubjectID
	found := slices.Concat(c.everywhere, c.byID[r.SubjectID], c.byID[r.ProjectID])
	for _, entity := range c.byID[r.SubjectID] {
		if key, ok := entity.(*iam.APIKey); ok {
			principal = key.BearerID
			found = append(found, c.byID[principal]...)
		}
	}
	organization := ""
	for _, entity := range c.byID[principal] {
		organization = entity.GetHead().OrganizationID
		found = append(found, c.byID[organization]...)
	}
	for _, group := range c.groupsOf(principal, organization) {
		found = append(found, group)
	}
	named := map[*iam.PermissionSet]bool{}
	for _, policy := range c.policiesOf(principal, organization) {
		found = append(found, policy)
		for _, rule := range policy.Rules {
			for _, name := range rule.PermissionSets {
				set := c.sets[strings.ToLower(name)]
				if set == nil || named[set] || set.IncludedInAllProducts {
					continue
				}
				named[set] = true
				found = append(found, set)
			}
		}
	}
	return found
}
