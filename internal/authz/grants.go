// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"cmp"
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// policy is a policy with all worked out that can be before anybody asks.
type policy struct {
	*iam.Policy
	// principal is the slot of whom it names.
	principal int
	// rules are those that can grant anything.
	rules []rule
}

type rule struct {
	// Grant names the rule to people; its PermissionSet is empty.
	Grant
	// condition is nil if the rule has none, or one that does not compile.
	condition *condition.Condition
	// broken says why the condition does not compile: the rule grants nothing.
	broken error

	policy *policy
	index  int
	// sets are the slots of its permission sets, and projects those of its Projects; none for the Organization as a whole.
	sets, projects []int
}

func (r *rule) conditional() bool { return r.condition != nil || r.broken != nil }

// compare orders the rules that give one set: first those without a condition, which are decided at once, then as their policies
// were created, so that the same one is named whatever the order in which they became known.
func (r *rule) compare(other *rule) int {
	if r.conditional() != other.conditional() {
		if r.conditional() {
			return 1
		}
		return -1
	}
	return cmp.Or(r.policy.CreatedAt.Compare(other.policy.CreatedAt), strings.Compare(r.PolicyID, other.PolicyID), cmp.Compare(r.index, other.index))
}

// grants are what all policies of one principal give, by scope. They never change: replace makes others.
type grants struct {
	// home is the slot of the Organization.
	home         int
	organization scopeGrants
	projects     []projectGrants
	// onProjects counts by set how often it is granted on Projects.
	onProjects []slotCount
}

// projectGrants are what is granted on one Project. They are in the order of slots.
type projectGrants struct {
	project int
	scopeGrants
}

// scopeGrants are what is granted on one scope, in the order of the names of the sets, whatever their slots.
type scopeGrants []setGrants

// setGrants are the rules that give one set, in the order of rule.compare.
type setGrants struct {
	set int
	// unconditional says that the first rule has no condition.
	unconditional bool
	rules         []*rule
}

type slotCount struct{ slot, count int }

// on gives what is granted on a Project.
func (g *grants) on(project int) scopeGrants {
	if at, found := g.find(project); found {
		return g.projects[at].scopeGrants
	}
	return nil
}

func (g *grants) find(project int) (int, bool) {
	return slices.BinarySearchFunc(g.projects, project, func(p projectGrants, project int) int { return cmp.Compare(p.project, project) })
}

// granting changes grants. It knows the names of sets, by slot.
type granting struct {
	*grants
	names []string
}

// newGrants adds up policies.
func newGrants(home int, policies []*policy, names []string) *grants {
	if len(policies) == 0 {
		return nil
	}
	g := granting{&grants{home: home}, names}
	for _, p := range policies {
		g.change(p, granting.add, 1)
	}
	return g.grants
}

// replace gives the grants with another version of a policy, either of which may be nil. Only what that policy touches is copied.
func (g *grants) replace(home int, before, after *policy, names []string) *grants {
	next := granting{&grants{home: home}, names}
	if g != nil {
		next.organization, next.projects, next.onProjects = g.organization, slices.Clone(g.projects), slices.Clone(g.onProjects)
	}
	for _, project := range scopesOf(before, after) {
		next.set(project, next.at(project).copy())
	}
	next.change(before, granting.remove, -1)
	next.change(after, granting.add, 1)
	if len(next.organization) == 0 && len(next.projects) == 0 {
		return nil
	}
	return next.grants
}

// whole stands for the Organization as a whole where a Project's slot is expected.
const whole = -1

// scopesOf are the slots of the Projects that policies reach, each once, and whole.
func scopesOf(policies ...*policy) []int {
	var scopes []int
	for _, p := range policies {
		if p == nil {
			continue
		}
		for i := range p.rules {
			scopes = append(scopes, p.rules[i].scopes()...)
		}
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

func (r *rule) scopes() []int {
	if len(r.projects) == 0 {
		return []int{whole}
	}
	return r.projects
}

func (s scopeGrants) copy() scopeGrants {
	s = slices.Clone(s)
	for i := range s {
		s[i].rules = slices.Clone(s[i].rules)
	}
	return s
}

func (g granting) at(project int) scopeGrants {
	if project == whole {
		return g.organization
	}
	return g.on(project)
}

func (g granting) set(project int, to scopeGrants) {
	if project == whole {
		g.organization = to
		return
	}
	at, found := g.find(project)
	switch {
	case !found && len(to) > 0:
		g.projects = slices.Insert(g.projects, at, projectGrants{project, to})
	case found && len(to) == 0:
		g.projects = slices.Delete(g.projects, at, at+1)
	case found:
		g.projects[at].scopeGrants = to
	}
}

// change adds what a policy gives, or removes it. What it changes must belong to these grants alone.
func (g granting) change(p *policy, by func(granting, scopeGrants, int, *rule) scopeGrants, count int) {
	if p == nil {
		return
	}
	for i := range p.rules {
		r := &p.rules[i]
		for _, project := range r.scopes() {
			to := g.at(project)
			for _, set := range r.sets {
				to = by(g, to, set, r)
				if project != whole {
					g.count(set, count)
				}
			}
			g.set(project, to)
		}
	}
}

func (g granting) add(to scopeGrants, set int, r *rule) scopeGrants {
	i, found := g.findSet(to, set)
	if !found {
		to = slices.Insert(to, i, setGrants{set: set})
	}
	at, _ := slices.BinarySearchFunc(to[i].rules, r, (*rule).compare)
	to[i].rules = slices.Insert(to[i].rules, at, r)
	to[i].unconditional = !to[i].rules[0].conditional()
	return to
}

func (g granting) remove(from scopeGrants, set int, r *rule) scopeGrants {
	i, found := g.findSet(from, set)
	if !found {
		return from
	}
	from[i].rules = slices.DeleteFunc(from[i].rules, func(other *rule) bool { return other == r })
	if len(from[i].rules) == 0 {
		return slices.Delete(from, i, i+1)
	}
	from[i].unconditional = !from[i].rules[0].conditional()
	return from
}

func (g granting) findSet(in scopeGrants, set int) (int, bool) {
	return slices.BinarySearchFunc(in, g.names[set], func(s setGrants, name string) int { return strings.Compare(g.names[s.set], name) })
}

// count keeps onProjects.
func (g granting) count(set, by int) {
	i, found := slices.BinarySearchFunc(g.onProjects, set, func(c slotCount, slot int) int { return cmp.Compare(c.slot, slot) })
	if !found {
		g.onProjects = slices.Insert(g.onProjects, i, slotCount{slot: set})
	}
	if g.onProjects[i].count += by; g.onProjects[i].count == 0 {
		g.onProjects = slices.Delete(g.onProjects, i, i+1)
	}
}
