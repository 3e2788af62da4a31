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
	principal int32
	// rules are those that can grant anything.
	rules []rule
}

type rule struct {
	// grants name what the rule gives to people, by the same numbers as sets.
	grants []Grant
	// condition is nil if the rule has none, or one that does not compile.
	condition *condition.Condition
	// broken says why the condition does not compile: the rule grants nothing.
	broken error

	policy *policy
	index  int
	// sets are the slots of its permission sets, and projects those of its Projects; none for the Organization as a whole.
	sets, projects []int32
}

// grantOf names what a rule gives by one of its sets.
func (r *rule) grantOf(set int32) *Grant {
	i := slices.Index(r.sets, set)
	return &r.grants[i]
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
	return cmp.Or(r.policy.CreatedAt.Compare(other.policy.CreatedAt), strings.Compare(r.policy.ID, other.policy.ID), cmp.Compare(r.index, other.index))
}

// grants are what all policies of one principal give, by scope and set. They never change: replace makes others.
type grants struct {
	// home is the slot of the Organization.
	home int32
	// index says what is granted where: first what is on the Organization as a whole, then by the slots of Projects; on each scope in
	// the order of the names of the sets, whatever their slots. It is all that most decisions look at, so it is kept small.
	index []indexed
	// rules are those behind each entry of the index, in the order of rule.compare, and first what the first of them gives.
	rules [][]*rule
	first []*Grant
	// onProjects counts by set how often it is granted on Projects.
	onProjects []slotCount
}

type indexed struct {
	// project is the slot of a Project, or whole.
	project, set int32
	// unconditional says that the first rule has no condition.
	unconditional bool
}

type slotCount struct{ slot, count int32 }

// whole stands for the Organization as a whole where the slot of a Project is expected.
const whole = -1

// span is a part of an index.
type span struct{ from, to int }

// reaching gives the parts of the index that reach a Project, or the Organization as a whole.
func (g *grants) reaching(project int32) [2]span {
	if project == whole {
		return [2]span{g.on(whole)}
	}
	return [2]span{g.on(whole), g.on(project)}
}

func (g *grants) on(project int32) span {
	from, _ := slices.BinarySearchFunc(g.index, project, indexed.compareProject)
	to := from
	for to < len(g.index) && g.index[to].project == project {
		to++
	}
	return span{from, to}
}

func (e indexed) compareProject(project int32) int { return cmp.Compare(e.project, project) }

// granting changes grants that belong to nobody else yet. It knows the names of sets, by slot.
type granting struct {
	*grants
	names []string
}

// newGrants adds up policies; nil when these grant nothing.
func newGrants(home int32, policies []*policy, names []string) *grants {
	g := granting{&grants{home: home}, names}
	for _, p := range policies {
		g.change(p, granting.add)
	}
	return g.orNone()
}

// replace gives the grants with another version of a policy, either of which may be nil.
func (g *grants) replace(home int32, before, after *policy, names []string) *grants {
	next := granting{&grants{home: home}, names}
	if g != nil {
		next.index, next.onProjects = slices.Clone(g.index), slices.Clone(g.onProjects)
		next.rules, next.first = slices.Clone(g.rules), slices.Clone(g.first)
	}
	next.change(before, granting.remove)
	next.change(after, granting.add)
	return next.orNone()
}

func (g granting) orNone() *grants {
	if len(g.index) == 0 {
		return nil
	}
	return g.grants
}

// change adds what a policy gives, or removes it.
func (g granting) change(p *policy, by func(g granting, project, set int32, r *rule)) {
	if p == nil {
		return
	}
	for i := range p.rules {
		r := &p.rules[i]
		for _, set := range r.sets {
			if len(r.projects) == 0 {
				by(g, whole, set, r)
			}
			for _, project := range r.projects {
				by(g, project, set, r)
			}
		}
	}
}

func (g granting) add(project, set int32, r *rule) {
	i, found := g.find(project, set)
	if !found {
		g.index = slices.Insert(g.index, i, indexed{project: project, set: set})
		g.rules, g.first = slices.Insert(g.rules, i, nil), slices.Insert(g.first, i, nil)
	}
	at, _ := slices.BinarySearchFunc(g.rules[i], r, (*rule).compare)
	g.rules[i] = slices.Insert(slices.Clone(g.rules[i]), at, r) // The list may be shared with the grants before.
	g.lead(i)
	if project != whole {
		g.count(set, 1)
	}
}

func (g granting) remove(project, set int32, r *rule) {
	i, found := g.find(project, set)
	if !found {
		return
	}
	g.rules[i] = slices.DeleteFunc(slices.Clone(g.rules[i]), func(other *rule) bool { return other == r })
	if len(g.rules[i]) == 0 {
		g.index, g.rules, g.first = slices.Delete(g.index, i, i+1), slices.Delete(g.rules, i, i+1), slices.Delete(g.first, i, i+1)
	} else {
		g.lead(i)
	}
	if project != whole {
		g.count(set, -1)
	}
}

// lead says of an entry what its first rule is like.
func (g granting) lead(i int) {
	first := g.rules[i][0]
	g.index[i].unconditional, g.first[i] = !first.conditional(), first.grantOf(g.index[i].set)
}

func (g granting) find(project, set int32) (int, bool) {
	return slices.BinarySearchFunc(g.index, indexed{project: project, set: set}, func(e, wanted indexed) int {
		return cmp.Or(cmp.Compare(e.project, wanted.project), strings.Compare(g.names[e.set], g.names[wanted.set]))
	})
}

// count keeps onProjects.
func (g granting) count(set, by int32) {
	i, found := slices.BinarySearchFunc(g.onProjects, set, func(c slotCount, slot int32) int { return cmp.Compare(c.slot, slot) })
	if !found {
		g.onProjects = slices.Insert(g.onProjects, i, slotCount{slot: set})
	}
	if g.onProjects[i].count += by; g.onProjects[i].count == 0 {
		g.onProjects = slices.Delete(g.onProjects, i, i+1)
	}
}
