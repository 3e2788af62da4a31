// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
)

// cedarEngine is Cedar: a rule is a policy whose scope says who, what and where, and whose condition is a when clause.
// Permission sets are groups of actions; keys are in their bearers, and those in their groups; Projects are in their
// Organization.
type cedarEngine struct {
	entities types.EntityMap
	// policies are all of them, unless they are sliced.
	policies *cedar.PolicySet
	// sliced are the policies by whom they are for.
	sliced map[types.EntityUID]map[cedar.PolicyID]*cedar.Policy
}

func newCedar(w *world) (engine, error) {
	e := &cedarEngine{entities: cedarEntities(w), policies: cedar.NewPolicySet()}
	return e, e.addAll(w)
}

// newSlicedCedar is for giving Cedar only the policies that name the principal or what it is in, as Cedar's documentation
// advises for large numbers of policies.
func newSlicedCedar(w *world) (engine, error) {
	e := &cedarEngine{entities: cedarEntities(w), sliced: map[types.EntityUID]map[cedar.PolicyID]*cedar.Policy{}}
	return e, e.addAll(w)
}

func (e *cedarEngine) addAll(w *world) error {
	if err := e.addText("locked", cedarLocked(), "forbid (principal in "+cedarLocked().String()+", action, resource);"); err != nil {
		return err
	}
	for _, p := range w.policies {
		if err := e.add(p); err != nil {
			return err
		}
	}
	return nil
}

func cedarEntities(w *world) types.EntityMap {
	entities := types.EntityMap{}
	add := func(uid types.EntityUID, parents ...types.EntityUID) {
		entities[uid] = types.Entity{UID: uid, Parents: types.NewEntityUIDSet(parents...)}
	}
	for organization, projects := range w.projects {
		for _, project := range projects {
			add(cedarScope(scope{true, project}), cedarScope(scope{false, organization}))
		}
	}
	for _, p := range w.principals {
		var groups []types.EntityUID
		for _, group := range p.groups {
			groups = append(groups, cedarGrantee(group, true))
		}
		if p.locked {
			groups = append(groups, cedarLocked())
		}
		add(cedarSubject(p.id), groups...)
		for _, key := range p.keys {
			add(cedarSubject(key), cedarSubject(p.id))
		}
	}
	for permission, sets := range w.holders {
		var holders []types.EntityUID
		for _, set := range sets {
			holders = append(holders, types.NewEntityUID("Action", types.String(set)))
		}
		add(types.NewEntityUID("Action", types.String(permission)), holders...)
	}
	return entities
}

// cedarSubject is a principal or a key. They are of one type, so that a question need not say which it means.
func cedarSubject(id string) types.EntityUID { return types.NewEntityUID("Subject", types.String(id)) }

func cedarGrantee(id string, isGroup bool) types.EntityUID {
	if isGroup {
		return types.NewEntityUID("Group", types.String(id))
	}
	return cedarSubject(id)
}

func cedarScope(s scope) types.EntityUID {
	if s.isProject {
		return types.NewEntityUID("Project", types.String(s.id))
	}
	return types.NewEntityUID("Organization", types.String(s.id))
}

// cedarLocked is what those are in who are locked.
func cedarLocked() types.EntityUID { return types.NewEntityUID("Group", "locked") }

// cedarText says what a grant does in Cedar.
func cedarText(g grant) string {
	var sets, scopes, when []string
	for _, set := range g.sets {
		sets = append(sets, types.NewEntityUID("Action", types.String(set)).String())
	}
	for _, s := range g.scopes {
		scopes = append(scopes, cedarScope(s).String())
	}
	resource := "resource in " + scopes[0]
	if len(scopes) > 1 { // The scope of a policy can name only one resource.
		resource = "resource"
		when = append(when, "resource in ["+strings.Join(scopes, ", ")+"]")
	}
	if g.condition != nil {
		when = append(when, cedarCondition(g.condition))
	}
	text := fmt.Sprintf("permit (principal in %s, action in [%s], %s)", cedarGrantee(g.grantee, g.toGroup), strings.Join(sets, ", "), resource)
	if len(when) > 0 {
		text += " when { " + strings.Join(when, " && ") + " }"
	}
	return text + ";"
}

// cedarCondition says a condition in Cedar, which knows no time zones: the context has the hours of those that there are.
func cedarCondition(c reference.Condition) string {
	switch c := c.(type) {
	case reference.IPInRange:
		return "context.ip.isInRange(ip(" + strconv.Quote(c.Range.String()) + "))"
	case reference.UserAgentPrefix:
		return "context.user_agent like " + strconv.Quote(strings.ReplaceAll(c.Prefix, "*", `\*`)+"*")
	case reference.Hours:
		hour := "context.hours[" + strconv.Quote(zoneName(c.Zone)) + "]"
		return fmt.Sprintf("(%s >= %d && %s < %d)", hour, c.From, hour, c.Until)
	case reference.Before:
		return "context.time < datetime(" + strconv.Quote(c.Time.UTC().Format("2006-01-02T15:04:05.000Z")) + ")"
	case reference.Not:
		return "!(" + cedarCondition(c.Condition) + ")"
	case reference.And:
		return "(" + cedarCondition(c.Left) + " && " + cedarCondition(c.Right) + ")"
	case reference.Or:
		return "(" + cedarCondition(c.Left) + " || " + cedarCondition(c.Right) + ")"
	}
	return fmt.Sprintf("a condition of type %T is not known here", c) // which does not parse
}

func (e *cedarEngine) add(p *policy) error {
	for _, g := range p.grants {
		if err := e.addText(cedar.PolicyID(g.id), cedarGrantee(g.grantee, g.toGroup), cedarText(g)); err != nil {
			return err
		}
	}
	return nil
}

// addText adds a policy for somebody.
func (e *cedarEngine) addText(id cedar.PolicyID, grantee types.EntityUID, text string) error {
	compiled := new(cedar.Policy)
	if err := compiled.UnmarshalCedar([]byte(text)); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	if e.sliced == nil {
		e.policies.Add(id, compiled)
		return nil
	}
	if e.sliced[grantee] == nil {
		e.sliced[grantee] = map[cedar.PolicyID]*cedar.Policy{}
	}
	e.sliced[grantee][id] = compiled
	return nil
}

func (e *cedarEngine) update(before, after *policy) error {
	for _, g := range before.grants {
		if e.sliced == nil {
			e.policies.Remove(cedar.PolicyID(g.id))
		} else {
			delete(e.sliced[cedarGrantee(g.grantee, g.toGroup)], cedar.PolicyID(g.id))
		}
	}
	return e.add(after)
}

func (e *cedarEngine) prepare(q *question) (ask, error) {
	address, err := netip.ParseAddr(q.request.Attributes.IP)
	if err != nil {
		return nil, err
	}
	hours := types.RecordMap{}
	for zone, hour := range q.hours {
		hours[types.String(zone)] = types.Long(hour)
	}
	r := cedar.Request{
		Principal: cedarSubject(q.subject), Action: types.NewEntityUID("Action", types.String(q.permission)), Resource: cedarScope(q.scope),
		Context: types.NewRecord(types.RecordMap{
			"ip":         types.IPAddr(netip.PrefixFrom(address, address.BitLen())),
			"user_agent": types.String(q.request.Attributes.UserAgent),
			"time":       types.NewDatetime(q.request.Attributes.Time),
			"hours":      types.NewRecord(hours),
		}),
	}
	return func() (bool, error) {
		var policies cedar.PolicyIterator = e.policies
		if e.sliced != nil {
			policies = cedarSlice{e, r.Principal}
		}
		decision, diagnostic := cedar.Authorize(policies, e.entities, r)
		if len(diagnostic.Errors) > 0 {
			return false, fmt.Errorf("%v", diagnostic.Errors[0])
		}
		return decision == cedar.Allow, nil
	}, nil
}

// cedarSlice are the policies that can concern a subject.
type cedarSlice struct {
	*cedarEngine
	subject types.EntityUID
}

// All implements [cedar.PolicyIterator].
func (s cedarSlice) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) { s.each(s.subject, yield) }
}

// each goes through the policies for an entity and for what it is in.
func (s cedarSlice) each(at types.EntityUID, yield func(cedar.PolicyID, *cedar.Policy) bool) bool {
	for id, p := range s.sliced[at] {
		if !yield(id, p) {
			return false
		}
	}
	for parent := range s.entities[at].Parents.All() {
		if !s.each(parent, yield) {
			return false
		}
	}
	return true
}
