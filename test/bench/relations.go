// SPDX-License-Identifier: Apache-2.0

//go:build peers

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
)

// relation is what engines of the kind of Zanzibar know: that a grantee has a permission set on a scope.
type relation struct {
	scope   scope
	set     string
	grantee string
	toGroup bool
}

// relations are the conditions of all grants of each relation, by rule. These engines keep a relation once, with one
// condition: that of all its grants together.
type relations map[relation]map[string]reference.Condition

// add adds a policy's grants.
func (r relations) add(p *policy) {
	for _, g := range p.grants {
		for at := range g.relations {
			if r[at] == nil {
				r[at] = map[string]reference.Condition{}
			}
			r[at][g.id] = g.condition
		}
	}
}

// remove takes a policy's grants away.
func (r relations) remove(p *policy) {
	for _, g := range p.grants {
		for at := range g.relations {
			delete(r[at], g.id)
		}
	}
}

// concerned are the relations of policies, each once.
func (r relations) concerned(policies ...*policy) []relation {
	all := map[relation]bool{}
	for _, p := range policies {
		for _, g := range p.grants {
			for at := range g.relations {
				all[at] = true
			}
		}
	}
	return slices.Collect(maps.Keys(all))
}

// relations goes through the relations of a grant.
func (g grant) relations(yield func(relation) bool) {
	for _, s := range g.scopes {
		for _, set := range g.sets {
			if !yield(relation{s, set, g.grantee, g.toGroup}) {
				return
			}
		}
	}
}

// condition gives under which condition a relation is there, if at all; nil means always.
func (r relations) condition(at relation) (c reference.Condition, found bool) {
	for _, id := range slices.Sorted(maps.Keys(r[at])) {
		switch one := r[at][id]; {
		case one == nil:
			return nil, true
		case c == nil:
			c = one
		default:
			c = reference.Or{Left: c, Right: one}
		}
		found = true
	}
	return c, found
}

// relationModel numbers sets and permissions, whose names these engines do not take.
type relationModel struct {
	sets, permissions []string
	set, permission   map[string]string
	*world
}

func newRelationModel(w *world) *relationModel {
	m := &relationModel{slices.Sorted(maps.Keys(w.projectSets)), slices.Sorted(maps.Keys(w.holders)), map[string]string{}, map[string]string{}, w}
	for i, set := range m.sets {
		m.set[set] = fmt.Sprintf("set_%d", i)
	}
	for i, permission := range m.permissions {
		m.permission[permission] = fmt.Sprintf("can_%d", i)
	}
	return m
}

// setsOn are the sets that can be granted on a Project, or on an Organization.
func (m *relationModel) setsOn(project bool) []string {
	return slices.DeleteFunc(slices.Clone(m.sets), func(set string) bool { return project && !m.projectSets[set] })
}

// holdersOn are the relations that hold a permission.
func (m *relationModel) holdersOn(project bool, permission string) []string {
	var names []string
	for _, set := range m.holders[permission] {
		if !project || m.projectSets[set] {
			names = append(names, m.set[set])
		}
	}
	return names
}

// parameters give the name and the parameters of a condition: one of those that have a single term, or else anyOf.
func parameters(c reference.Condition) (string, map[string]any) {
	switch c := c.(type) {
	case reference.IPInRange:
		return "in_range", map[string]any{"cidr": c.Range.String()}
	case reference.UserAgentPrefix:
		return "by_agent", map[string]any{"prefix": c.Prefix}
	case reference.Hours:
		return "in_hours", map[string]any{"zone": zoneName(c.Zone), "from": c.From, "until": c.Until}
	case reference.Before:
		return "before", map[string]any{"until_time": c.Time.UTC().Format(time.RFC3339)}
	}
	var found []any
	for _, all := range alternatives(c) {
		var terms []any
		for _, l := range all {
			name, term := parameters(l.term)
			term["kind"], term["negated"] = name, l.negated
			if before, ok := l.term.(reference.Before); ok {
				term["until_time"] = before.Time.Unix()
			}
			terms = append(terms, term)
		}
		found = append(found, terms)
	}
	return "any_of", map[string]any{"alternatives": found}
}

func conditionNames() []string {
	return []string{"in_range", "by_agent", "in_hours", "before", "any_of"}
}

// relationContext is what a question says for conditions. Time zones are the caller's: a zone that is a parameter would be
// loaded anew at each evaluation.
func relationContext(q *question) map[string]any {
	hours := map[string]any{}
	for zone, hour := range q.hours {
		hours[zone] = int64(hour)
	}
	a := q.request.Attributes
	return map[string]any{
		"ip": a.IP, "user_agent": a.UserAgent, "hours": hours, "now": a.Time.UTC().Format(time.RFC3339), "seconds": a.Time.Unix(),
	}
}

// conditionText is CEL for the conditions, whose types the engines name in the same way. Mind that any_of has what it is
// given from JSON, where all numbers are doubles.
func conditionText(keyword, list string) string {
	anyOf := strings.Join([]string{
		`dyn(alternatives).exists(terms, terms.all(t, t.negated != (`,
		`t.kind == "in_range" ? ip.in_cidr(t.cidr) :`,
		`t.kind == "by_agent" ? user_agent.startsWith(t.prefix) :`,
		`t.kind == "in_hours" ? double(hours[t.zone]) >= t.from && double(hours[t.zone]) < t.until :`,
		`double(seconds) < t.until_time)))`,
	}, " ")
	return strings.NewReplacer("KEYWORD", keyword, "LIST", list, "ANYOF", anyOf).Replace(`
KEYWORD in_range(ip ipaddress, cidr string) { ip.in_cidr(cidr) }
KEYWORD by_agent(user_agent string, prefix string) { user_agent.startsWith(prefix) }
KEYWORD in_hours(hours map<int>, zone string, from int, until int) { hours[zone] >= from && hours[zone] < until }
KEYWORD before(now timestamp, until_time timestamp) { now < until_time }
KEYWORD any_of(ip ipaddress, user_agent string, hours map<int>, seconds int, alternatives LIST) { ANYOF }
`)
}
