// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// policy is a policy with all worked out that can be before anybody asks.
type policy struct {
	*iam.Policy
	// rules are those that can grant anything.
	rules []rule
}

type rule struct {
	*iam.Rule
	policy *policy
	index  int
	sets   []ruleSet
	// condition is nil if the rule has none, or one that does not compile.
	condition *condition.Condition
	// broken says why the condition does not compile: the rule grants nothing.
	broken error
}

type ruleSet struct {
	name string
	slot int
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

// grants are what all policies of one principal give, by scope. They never change: replace makes others.
type grants struct {
	organization []setGrants
	projects     map[string][]setGrants
	// onProjects counts by set how often it is granted on Projects.
	onProjects []slotCount
}

// setGrants are the rules that give one set on one scope, in the order of rule.compare; setGrants are in the order of names.
type setGrants struct {
	slot  int
	name  string
	rules []*rule
}

type slotCount struct{ slot, count int }

// newGrants adds up policies.
func newGrants(policies []*policy) *grants {
	if len(policies) == 0 {
		return nil
	}
	g := &grants{projects: map[string][]setGrants{}}
	for _, p := range policies {
		g.change(p, addRule, 1)
	}
	return g
}

// replace gives the grants with another version of a policy, either of which may be nil. Only what that policy touches
// is copied.
func (g *grants) replace(before, after *policy) *grants {
	next := &grants{}
	if g == nil {
		next.projects = map[string][]setGrants{}
	} else {
		next.organization, next.onProjects, next.projects = slices.Clone(g.organization), slices.Clone(g.onProjects), maps.Clone(g.projects)
	}
	// What is shared is copied once, before it is changed twice.
	for scope := range scopesOf(before, after) {
		next.set(scope, copyOf(next.at(scope)))
	}
	next.change(before, removeRule, -1)
	next.change(after, addRule, 1)
	if len(next.organization) == 0 && len(next.projects) == 0 {
		return nil
	}
	return next
}

// scopesOf are the ids of the Projects that policies reach; empty for the Organization as a whole.
func scopesOf(policies ...*policy) map[string]struct{} {
	scopes := map[string]struct{}{}
	for _, p := range policies {
		if p == nil {
			continue
		}
		for i := range p.rules {
			for _, scope := range p.rules[i].scopes() {
				scopes[scope] = struct{}{}
			}
		}
	}
	return scopes
}

// scopes of a rule that says both, which none should, are the Projects: the lesser grant.
func (r *rule) scopes() []string {
	if r.OrganizationScope && len(r.ProjectIDs) == 0 {
		return []string{""}
	}
	return r.ProjectIDs
}

func copyOf(scope []setGrants) []setGrants {
	scope = slices.Clone(scope)
	for i := range scope {
		scope[i].rules = slices.Clone(scope[i].rules)
	}
	return scope
}

func (g *grants) at(scope string) []setGrants {
	if scope == "" {
		return g.organization
	}
	return g.projects[scope]
}

func (g *grants) set(scope string, to []setGrants) {
	switch {
	case scope == "":
		g.organization = to
	case len(to) == 0:
		delete(g.projects, scope)
	default:
		g.projects[scope] = to
	}
}

// change adds what a policy gives, or removes it. What it changes must belong to these grants alone.
func (g *grants) change(p *policy, by func([]setGrants, ruleSet, *rule) []setGrants, count int) {
	if p == nil {
		return
	}
	for i := range p.rules {
		r := &p.rules[i]
		for _, scope := range r.scopes() {
			to := g.at(scope)
			for _, set := range r.sets {
				to = by(to, set, r)
				if scope != "" {
					g.count(set.slot, count)
				}
			}
			g.set(scope, to)
		}
	}
}

func addRule(scope []setGrants, set ruleSet, r *rule) []setGrants {
	i, found := slices.BinarySearchFunc(scope, set.name, setGrants.compareName)
	if !found {
		scope = slices.Insert(scope, i, setGrants{slot: set.slot, name: set.name})
	}
	at, _ := slices.BinarySearchFunc(scope[i].rules, r, (*rule).compare)
	scope[i].rules = slices.Insert(scope[i].rules, at, r)
	return scope
}

func removeRule(scope []setGrants, set ruleSet, r *rule) []setGrants {
	i, found := slices.BinarySearchFunc(scope, set.name, setGrants.compareName)
	if !found {
		return scope
	}
	scope[i].rules = slices.DeleteFunc(scope[i].rules, func(other *rule) bool { return other == r })
	if len(scope[i].rules) == 0 {
		scope = slices.Delete(scope, i, i+1)
	}
	return scope
}

func (s setGrants) compareName(name string) int { return strings.Compare(s.name, name) }

// count keeps onProjects.
func (g *grants) count(slot, by int) {
	i, found := slices.BinarySearchFunc(g.onProjects, slot, func(c slotCount, slot int) int { return cmp.Compare(c.slot, slot) })
	if !found {
		g.onProjects = slices.Insert(g.onProjects, i, slotCount{slot: slot})
	}
	if g.onProjects[i].count += by; g.onProjects[i].count == 0 {
		g.onProjects = slices.Delete(g.onProjects, i, i+1)
	}
}
