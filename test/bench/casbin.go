// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
)

// casbinModel is Casbin's RBAC with domains, which are the Organizations: a row for each permission set and scope of a rule.
// Permissions have the sets that hold them as roles. The matcher compares what is cheapest first, since Casbin tries it on
// one row after the other.
const casbinModel = `
[request_definition]
r = sub, dom, scope, permission, attributes

[policy_definition]
p = sub, dom, scope, set, condition, rule

[role_definition]
g = _, _, _
g2 = _, _

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.dom == p.dom && (r.scope == p.scope || p.dom == p.scope) && g2(r.permission, p.set) && g(r.sub, p.sub, r.dom) && holds(r.attributes, p.condition)
`

// casbinEngine is Casbin.
type casbinEngine struct {
	*casbin.Enforcer
	conditions map[string]reference.Condition
}

func newCasbin(w *world) (engine, error) {
	m, err := model.NewModelFromString(casbinModel)
	if err != nil {
		return nil, err
	}
	enforcer, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, err
	}
	e := &casbinEngine{enforcer, map[string]reference.Condition{}}
	e.AddFunction("holds", e.holds)
	if err := e.addLinks(w); err != nil {
		return nil, err
	}
	var rows [][]string
	for _, p := range w.policies {
		rows = append(rows, e.rows(p)...)
	}
	return e, e.addRows(rows)
}

// addLinks says who belongs to what. A subject is another name than the principal's, so that who is locked can have none.
func (e *casbinEngine) addLinks(w *world) error {
	var links, holders [][]string
	for _, p := range w.principals {
		for _, subject := range p.subjects() {
			links = append(links, []string{casbinSubject(subject), p.id, p.organization})
		}
		for _, group := range p.groups {
			links = append(links, []string{p.id, group, p.organization})
		}
	}
	for permission, sets := range w.holders {
		for _, set := range sets {
			holders = append(holders, []string{permission, set})
		}
	}
	if _, err := e.AddNamedGroupingPolicies("g", links); err != nil {
		return err
	}
	_, err := e.AddNamedGroupingPolicies("g2", holders)
	return err
}

func casbinSubject(id string) string { return "subject " + id }

// rows are what a policy is in Casbin.
func (e *casbinEngine) rows(p *policy) [][]string {
	var rows [][]string
	for _, g := range p.grants {
		condition := ""
		if g.condition != nil {
			condition = g.condition.CEL()
			e.conditions[condition] = g.condition
		}
		for _, set := range g.sets {
			for _, s := range g.scopes {
				rows = append(rows, []string{g.grantee, g.organization, casbinScope(s), set, condition, g.id})
			}
		}
	}
	return rows
}

// casbinScope tells the default Project from the Organization, whose id it has.
func casbinScope(s scope) string {
	if s.isProject {
		return "project " + s.id
	}
	return s.id
}

func (e *casbinEngine) addRows(rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	added, err := e.AddPolicies(rows)
	if err == nil && !added {
		return errors.New("a row is there twice")
	}
	return err
}

// holds is the function of the matcher that evaluates conditions: in Go, which is the quickest that Casbin can do.
func (e *casbinEngine) holds(args ...any) (any, error) {
	condition, _ := args[1].(string)
	if condition == "" {
		return true, nil
	}
	attributes, isAttributes := args[0].(reference.Attributes)
	c := e.conditions[condition]
	if !isAttributes || c == nil {
		return nil, fmt.Errorf("unknown condition %q", condition)
	}
	return c.Evaluate(attributes) == reference.True, nil
}

func (e *casbinEngine) prepare(q *question) (ask, error) {
	attributes := reference.Attributes(q.request.Attributes)
	subject, in := casbinSubject(q.subject), casbinScope(q.scope)
	return func() (bool, error) { return e.Enforce(subject, q.organization, in, q.permission, attributes) }, nil
}

func (e *casbinEngine) update(before, after *policy) error {
	if removed, err := e.RemovePolicies(e.rows(before)); err != nil || !removed {
		return fmt.Errorf("remove rows: %t, %w", removed, err)
	}
	return e.addRows(e.rows(after))
}
