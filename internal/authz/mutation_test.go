// SPDX-License-Identifier: Apache-2.0

package authz_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/authz/authztest"
	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// mutant is the reference with a fault. It is made by telling the reference of another world, or another question: one that
// skips locks, say, is the reference in a world where nobody is locked. So the reference itself stays as plain as it is.
type mutant func(m moment) reference.Answer

// moment is a question in a world at a time.
type moment struct {
	world authztest.World
	asked reference.Request
	now   time.Time
}

func (m moment) answer() reference.Answer { return reference.Decide(m.world, m.asked, m.now) }

// with changes a copy of every entity of a type.
func with[E any](m moment, change func(*E)) moment {
	entities := slices.Clone(m.world.Entities)
	for i, entity := range entities {
		if typed, ok := any(entity).(*E); ok {
			changed := *typed
			change(&changed)
			entities[i], _ = any(&changed).(iam.Entity)
		}
	}
	m.world.Entities = entities
	return m
}

// changed is a mutant that changes every entity of a type.
func changed[E any](change func(*E)) mutant {
	return func(m moment) reference.Answer { return with(m, change).answer() }
}

// withRules changes the rules of every policy.
func withRules(m moment, change func(*iam.Policy, iam.Rule) []iam.Rule) moment {
	return with(m, func(p *iam.Policy) {
		var rules []iam.Rule
		for _, rule := range p.Rules {
			rules = append(rules, change(p, rule)...)
		}
		p.Rules = rules
	})
}

// changedRules is a mutant that changes every rule.
func changedRules(change func(*iam.Rule)) mutant {
	return func(m moment) reference.Answer {
		return withRules(m, func(_ *iam.Policy, rule iam.Rule) []iam.Rule {
			change(&rule)
			return []iam.Rule{rule}
		}).answer()
	}
}

// withMore adds what is made of every entity of a type.
func withMore[E any](m moment, more func(E) iam.Entity) moment {
	for _, entity := range m.world.Entities {
		if typed, ok := any(entity).(E); ok {
			if another := more(typed); another != nil {
				m.world.Entities = append(slices.Clip(m.world.Entities), another)
			}
		}
	}
	return m
}

// one gives the entity of a type that has an id.
func one[E iam.Entity](m moment, id string) (found E, exists bool) {
	for _, entity := range m.world.Entities {
		if typed, ok := entity.(E); ok && entity.GetHead().ID == id {
			return typed, true
		}
	}
	return found, false
}

// bearer gives the id of who asks, and the Organization in which it asks.
func (m moment) bearer() (id, home string) {
	if key, ok := one[*iam.APIKey](m, m.asked.SubjectID); ok && m.asked.SubjectKind == string(authz.SubjectAPIKey) {
		return key.BearerID, key.OrganizationID
	}
	for _, entity := range m.world.Entities {
		switch entity.(type) {
		case *iam.Member, *iam.Application:
			if entity.GetHead().ID == m.asked.SubjectID {
				return m.asked.SubjectID, entity.GetHead().OrganizationID
			}
		}
	}
	return "", ""
}

// mutants are the faults that the generated pairs must find, by what each does.
func mutants() map[string]mutant {
	all := map[string]mutant{}
	for _, some := range []map[string]mutant{subjectMutants(), scopeMutants(), groupMutants(), permissionMutants(), ruleMutants(), conditionMutants()} {
		for name, decide := range some {
			all[name] = decide
		}
	}
	return all
}

func subjectMutants() map[string]mutant {
	return map[string]mutant{
		"a lock is skipped":    changed(func(m *iam.Member) { m.Locked = "" }),
		"an invitation counts": changed(func(m *iam.Member) { m.Invited = false }),
		"an expired key works": changed(func(k *iam.APIKey) { k.ExpiresAt = nil }),
		"a key works at the time at which it ends": changed(func(k *iam.APIKey) {
			if k.ExpiresAt != nil {
				later := k.ExpiresAt.Add(time.Nanosecond)
				k.ExpiresAt = &later
			}
		}),
		"a key lives by the request's time": func(m moment) reference.Answer {
			if !m.asked.Attributes.Time.IsZero() {
				m.now = m.asked.Attributes.Time
			}
			return m.answer()
		},
		"a key of the owner before works": func(m moment) reference.Answer {
			return with(m, func(k *iam.APIKey) {
				if member, ok := one[*iam.Member](m, k.BearerID); ok {
					k.OwnerEmail = member.Email
				}
			}).answer()
		},
		"an e-mail has case": changed(func(k *iam.APIKey) {
			if k.OwnerEmail != strings.ToLower(k.OwnerEmail) {
				k.OwnerEmail = "somebody else"
			}
		}),
		"a key works for another kind of bearer": func(m moment) reference.Answer {
			return with(m, func(k *iam.APIKey) {
				if member, ok := one[*iam.Member](m, k.BearerID); ok {
					k.BearerKind, k.OwnerEmail = iam.PrincipalMember, member.Email
					if member.Type == iam.TypeOwner {
						k.BearerKind = iam.PrincipalOwner
					}
				}
			}).answer()
		},
		"a bearer of another Organization counts": func(m moment) reference.Answer {
			return with(m, func(k *iam.APIKey) {
				if member, ok := one[*iam.Member](m, k.BearerID); ok {
					k.OrganizationID = member.OrganizationID
				}
				if application, ok := one[*iam.Application](m, k.BearerID); ok {
					k.OrganizationID = application.OrganizationID
				}
			}).answer()
		},
		"an owner is who says so": func(m moment) reference.Answer {
			id, _ := m.bearer()
			member, ok := one[*iam.Member](m, id)
			return with(m, func(o *iam.Organization) {
				switch {
				case !ok || o.ID != member.OrganizationID:
				case member.Type == iam.TypeOwner:
					o.OwnerID = member.ID
				case o.OwnerID == member.ID:
					o.OwnerID = ""
				}
			}).answer()
		},
		"any user is an owner who is asked for as one": func(m moment) reference.Answer {
			if m.asked.SubjectKind == string(authz.SubjectOwner) {
				m.asked.SubjectKind = string(authz.SubjectUser)
			}
			return m.answer()
		},
		"ids have no case": func(m moment) reference.Answer {
			for _, entity := range m.world.Entities {
				if id := entity.GetHead().ID; strings.EqualFold(id, m.asked.SubjectID) {
					m.asked.SubjectID = id
				}
			}
			return m.answer()
		},
	}
}

func scopeMutants() map[string]mutant {
	return map[string]mutant{
		"scopes are a union": func(m moment) reference.Answer {
			type principal struct{ organization, kind, id string }
			whole, projects := map[principal]bool{}, map[principal][]string{}
			of := func(p *iam.Policy) principal {
				return principal{p.OrganizationID, string(p.PrincipalKind), p.PrincipalID}
			}
			withRules(m, func(p *iam.Policy, rule iam.Rule) []iam.Rule {
				if rule.Refused == "" {
					whole[of(p)] = whole[of(p)] || rule.OrganizationScope
					projects[of(p)] = append(projects[of(p)], rule.ProjectIDs...)
				}
				return nil
			})
			return withRules(m, func(p *iam.Policy, rule iam.Rule) []iam.Rule {
				rule.OrganizationScope, rule.ProjectIDs = whole[of(p)], projects[of(p)]
				return []iam.Rule{rule}
			}).answer()
		},
		"a Project stands for its Organization": func(m moment) reference.Answer {
			return withRules(m, func(_ *iam.Policy, rule iam.Rule) []iam.Rule {
				if len(rule.ProjectIDs) > 0 {
					rule.PermissionSets = setsOf(m, rule, iam.ScopeProjects)
					rule.OrganizationScope, rule.ProjectIDs = true, nil
				}
				return []iam.Rule{rule}
			}).answer()
		},
		"an Organization is not its Projects": func(m moment) reference.Answer {
			return withRules(m, func(_ *iam.Policy, rule iam.Rule) []iam.Rule {
				rule.OrganizationScope = rule.OrganizationScope && m.asked.ProjectID == ""
				return []iam.Rule{rule}
			}).answer()
		},
		"the default Project is the Organization": func(m moment) reference.Answer {
			if m.asked.ProjectID == "" {
				_, m.asked.ProjectID = m.bearer()
			}
			return m.answer()
		},
		"a set for Organizations counts on Projects": func(m moment) reference.Answer {
			return withRules(m, func(_ *iam.Policy, rule iam.Rule) []iam.Rule {
				if !slices.Contains(rule.ProjectIDs, m.asked.ProjectID) {
					return []iam.Rule{rule}
				}
				more := rule
				more.PermissionSets = setsOf(m, rule, iam.ScopeOrganization)
				more.OrganizationScope, more.ProjectIDs = true, nil
				return []iam.Rule{rule, more}
			}).answer()
		},
		"the Organization of a scope is not compared": func(m moment) reference.Answer {
			m.asked.OrganizationID = ""
			return m.answer()
		},
		"Projects of others can be asked for": func(m moment) reference.Answer {
			_, home := m.bearer()
			return with(m, func(p *iam.Project) { p.OrganizationID = home }).answer()
		},
		"Projects that are gone can be asked for": func(m moment) reference.Answer {
			_, home := m.bearer()
			if _, ok := one[*iam.Project](m, m.asked.ProjectID); !ok && m.asked.ProjectID != "" {
				project := &iam.Project{Head: iam.Head{ID: m.asked.ProjectID, OrganizationID: home}}
				m.world.Entities = append(slices.Clip(m.world.Entities), project)
			}
			return m.answer()
		},
	}
}

// setsOf gives the names of a rule's sets that are of a type.
func setsOf(m moment, rule iam.Rule, scopeType iam.ScopeType) []string {
	var names []string
	for _, name := range rule.PermissionSets {
		for _, entity := range m.world.Entities {
			if set, ok := entity.(*iam.PermissionSet); ok && set.ScopeType == scopeType && strings.EqualFold(set.Name, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func groupMutants() map[string]mutant {
	return map[string]mutant{
		"groups nest": func(m moment) reference.Answer {
			return with(m, func(g *iam.Group) {
				for _, id := range g.Members {
					if inner, ok := one[*iam.Group](m, id); ok {
						g.Members = append(slices.Clip(g.Members), slices.Concat(inner.Members, joiners(m, id))...)
					}
				}
			}).answer()
		},
		"dynamic groups are for the other kind": changed(func(g *iam.Group) {
			switch g.Membership {
			case iam.MembershipAllUsers:
				g.Membership = iam.MembershipAllApplications
			case iam.MembershipAllApplications:
				g.Membership = iam.MembershipAllUsers
			}
		}),
		"dynamic groups are empty": changed(func(g *iam.Group) {
			if g.Membership != iam.MembershipDeclared {
				g.Membership = ""
			}
		}),
		"dynamic groups take in whom they list": func(m moment) reference.Answer {
			return withMore(m, func(g *iam.Group) iam.Entity {
				more := *g
				more.Membership = iam.MembershipDeclared
				return &more
			}).answer()
		},
		"groups of another Organization count": func(m moment) reference.Answer {
			_, home := m.bearer()
			return withMore(m, func(g *iam.Group) iam.Entity {
				more := *g
				more.OrganizationID = home
				return &more
			}).answer()
		},
		"whom a group lists does not count": changed(func(g *iam.Group) { g.Members = nil }),
		"who joins a group does not count": func(m moment) reference.Answer {
			return with(with(m, func(m *iam.Member) { m.Groups = nil }), func(a *iam.Application) { a.Groups = nil }).answer()
		},
	}
}

func joiners(m moment, groupID string) []string {
	var ids []string
	for _, entity := range m.world.Entities {
		var groups []string
		switch e := entity.(type) {
		case *iam.Member:
			groups = e.Groups
		case *iam.Application:
			groups = e.Groups
		}
		if slices.Contains(groups, groupID) {
			ids = append(ids, entity.GetHead().ID)
		}
	}
	return ids
}

// withEntries changes every permission of every set.
func withEntries(m moment, change func(set *iam.PermissionSet, entry string) []string) moment {
	return with(m, func(set *iam.PermissionSet) {
		var entries []string
		for _, entry := range set.Permissions {
			entries = append(entries, change(set, entry)...)
		}
		set.Permissions = entries
	})
}

// anyService answers as if * as a service took in a service that it does not.
func anyService(m moment) reference.Answer {
	if answer := m.answer(); answer.Allowed {
		return answer
	}
	m.asked.Permission.Service = "instances"
	return withEntries(m, func(set *iam.PermissionSet, entry string) []string {
		if strings.HasPrefix(entry, "*:") {
			return []string{entry}
		}
		return nil
	}).answer()
}

func permissionMutants() map[string]mutant {
	return map[string]mutant{
		"* as a service is any service": anyService,
		"* as a service takes in the cluster": func(m moment) reference.Answer {
			if m.asked.Permission.Service != "k8s" {
				return m.answer()
			}
			return anyService(m)
		},
		"* as a service leaves out SSH keys": func(m moment) reference.Answer {
			if m.asked.Permission.Service != "iam" {
				return m.answer()
			}
			return withEntries(m, func(_ *iam.PermissionSet, entry string) []string {
				return []string{strings.Replace(entry, "*:", "instances:", 1)}
			}).answer()
		},
		"* as a service leaves out what sets add": changed(func(s *iam.PermissionSet) { s.IncludedInAllProducts = false }),
		"every set adds to * as a service":        changed(func(s *iam.PermissionSet) { s.IncludedInAllProducts = true }),
		"sets for Organizations add to * as a service": func(m moment) reference.Answer {
			return withMore(m, func(s *iam.PermissionSet) iam.Entity {
				more := *s
				more.Name, more.ScopeType = "nobody names this", iam.ScopeProjects
				return &more
			}).answer()
		},
		"* as a service counts in sets for Organizations": func(m moment) reference.Answer {
			return withEntries(m, func(set *iam.PermissionSet, entry string) []string {
				if set.ScopeType == iam.ScopeOrganization && strings.HasPrefix(entry, "*:") {
					return []string{m.asked.Permission.Service + entry[1:]}
				}
				return []string{entry}
			}).answer()
		},
		"sets for Projects hold what is the Organization's": func(m moment) reference.Answer {
			rename := strings.NewReplacer("iam:ssh_key:", "iam:ssh_key:", "iam:", "its_iam:", "billing:", "its_billing:")
			p := m.asked.Permission
			p, _ = iam.ParsePermission(rename.Replace(p.String()))
			if p != (iam.Permission{}) && m.asked.Permission.Service != "" {
				m.asked.Permission = p
			}
			return withEntries(m, func(_ *iam.PermissionSet, entry string) []string { return []string{rename.Replace(entry)} }).answer()
		},
		"permissions have no case": func(m moment) reference.Answer {
			p := &m.asked.Permission
			p.Service, p.Resource, p.Action = strings.ToLower(p.Service), strings.ToLower(p.Resource), strings.ToLower(p.Action)
			return withEntries(m, func(_ *iam.PermissionSet, entry string) []string { return []string{strings.ToLower(entry)} }).answer()
		},
		"wildcards can be asked for": func(m moment) reference.Answer {
			p := &m.asked.Permission
			for segment, word := range map[*string]string{&p.Service: "instances", &p.Resource: "anything", &p.Action: "anything"} {
				if *segment == "*" {
					*segment = word
				}
			}
			return m.answer()
		},
		"names of sets have case": func(m moment) reference.Answer {
			return withRules(m, func(_ *iam.Policy, rule iam.Rule) []iam.Rule {
				rule.PermissionSets = slices.DeleteFunc(slices.Clone(rule.PermissionSets), func(name string) bool {
					return !slices.ContainsFunc(m.world.Entities, func(entity iam.Entity) bool {
						set, ok := entity.(*iam.PermissionSet)
						return ok && set.Name == name
					})
				})
				return []iam.Rule{rule}
			}).answer()
		},
	}
}

func ruleMutants() map[string]mutant {
	return map[string]mutant{
		"a refused rule counts": changedRules(func(r *iam.Rule) { r.Refused = "" }),
		"a rule without a scope reaches everything": changedRules(func(r *iam.Rule) {
			r.OrganizationScope = r.OrganizationScope || len(r.ProjectIDs) == 0
		}),
		"only the first rule of a policy counts": changed(func(p *iam.Policy) { p.Rules = p.Rules[:min(1, len(p.Rules))] }),
		"only the first set of a rule counts": changedRules(func(r *iam.Rule) {
			r.PermissionSets = r.PermissionSets[:min(1, len(r.PermissionSets))]
		}),
		"the first rule that matches decides": func(m moment) reference.Answer {
			matching := withRules(m, func(_ *iam.Policy, rule iam.Rule) []iam.Rule {
				rule.Condition = ""
				return []iam.Rule{rule}
			}).answer()
			if len(matching.Grants) == 0 {
				return m.answer()
			}
			return withRules(m, func(p *iam.Policy, rule iam.Rule) []iam.Rule {
				if p.ID == matching.Grants[0].PolicyID && rule.ID == matching.Grants[0].RuleID {
					return []iam.Rule{rule}
				}
				return nil
			}).answer()
		},
		"another Organization's policy counts": func(m moment) reference.Answer {
			_, home := m.bearer()
			return with(m, func(p *iam.Policy) { p.OrganizationID = home }).answer()
		},
		"the kind of a policy's principal is not compared": func(m moment) reference.Answer {
			return with(m, func(p *iam.Policy) {
				if _, ok := one[*iam.Group](m, p.PrincipalID); ok {
					p.PrincipalKind = iam.PrincipalGroup
				} else if _, ok := one[*iam.Application](m, p.PrincipalID); ok {
					p.PrincipalKind = iam.PrincipalApplication
				} else {
					p.PrincipalKind = iam.PrincipalMember
				}
			}).answer()
		},
	}
}

const failsAsFalse = "a condition that fails is false"

func conditionMutants() map[string]mutant {
	return map[string]mutant{
		"conditions are skipped": changedRules(func(r *iam.Rule) { r.Condition = "" }),
		"a condition that fails holds": func(m moment) reference.Answer {
			return withConditions(m, func(c reference.Condition) reference.Condition { return lenient{c} })
		},
		failsAsFalse: func(m moment) reference.Answer {
			return withConditions(m, func(c reference.Condition) reference.Condition {
				return reference.And{Left: lenient{c}, Right: strict{c}}
			})
		},
		"a condition that does not compile holds": func(m moment) reference.Answer {
			return withRules(m, func(_ *iam.Policy, rule iam.Rule) []iam.Rule {
				if _, compiles := m.world.Conditions[rule.Condition]; !compiles {
					rule.Condition = ""
				}
				return []iam.Rule{rule}
			}).answer()
		},
		"operators fail when a side does": func(m moment) reference.Answer { return withConditions(m, withoutAbsorption) },
		"conditions see the clock only": func(m moment) reference.Answer {
			m.asked.Attributes.Time = time.Time{}
			return m.answer()
		},
		"what is not known is empty": func(m moment) reference.Answer {
			return withConditions(m, func(c reference.Condition) reference.Condition { return emptyKnown{c} })
		},
	}
}

// withConditions answers with other conditions.
func withConditions(m moment, change func(reference.Condition) reference.Condition) reference.Answer {
	conditions := map[string]reference.Condition{}
	for text, condition := range m.world.Conditions {
		conditions[text] = change(condition)
	}
	m.world.Conditions = conditions
	return m.answer()
}

// lenient holds where its condition fails.
type lenient struct{ reference.Condition }

func (c lenient) Evaluate(a reference.Attributes) reference.Outcome {
	if outcome := c.Condition.Evaluate(a); outcome != reference.Failed {
		return outcome
	}
	return reference.True
}

// strict is false where its condition fails.
type strict struct{ reference.Condition }

func (c strict) Evaluate(a reference.Attributes) reference.Outcome {
	if outcome := c.Condition.Evaluate(a); outcome != reference.Failed {
		return outcome
	}
	return reference.False
}

// eager fails where a part of its condition does.
type eager struct {
	reference.Condition
	parts []reference.Condition
}

func (c eager) Evaluate(a reference.Attributes) reference.Outcome {
	for _, part := range c.parts {
		if part.Evaluate(a) == reference.Failed {
			return reference.Failed
		}
	}
	return c.Condition.Evaluate(a)
}

func withoutAbsorption(c reference.Condition) reference.Condition {
	switch c := c.(type) {
	case reference.Not:
		return reference.Not{Condition: withoutAbsorption(c.Condition)}
	case reference.And:
		return eager{c, []reference.Condition{withoutAbsorption(c.Left), withoutAbsorption(c.Right)}}
	case reference.Or:
		return eager{c, []reference.Condition{withoutAbsorption(c.Left), withoutAbsorption(c.Right)}}
	}
	return c
}

// emptyKnown takes terms that fail for false ones, also under a negation.
type emptyKnown struct{ reference.Condition }

func (c emptyKnown) Evaluate(a reference.Attributes) reference.Outcome {
	switch inner := c.Condition.(type) {
	case reference.Not:
		return reference.Not{Condition: emptyKnown{inner.Condition}}.Evaluate(a)
	case reference.And:
		return reference.And{Left: emptyKnown{inner.Left}, Right: emptyKnown{inner.Right}}.Evaluate(a)
	case reference.Or:
		return reference.Or{Left: emptyKnown{inner.Left}, Right: emptyKnown{inner.Right}}.Evaluate(a)
	}
	return strict(c).Evaluate(a)
}

// TestMutantsAreCaught protects the worth of TestAgreement: in as many pairs, each fault in the reading of the specification
// allows what must be denied, or the other way round. What a fault does to the reason alone does not count, but for the
// faults that can do no more.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	pairs, seed := setting(t, "AGREEMENT_PAIRS", 50_000), seedOf(t)
	alive := mutants()
	total := len(alive)
	for i := uint64(0); i*questionsAWorld < pairs && len(alive) > 0; i++ {
		generated := authztest.NewSmall(seed + i)
		world := generated.World()
		snapshot := authz.NewSnapshot(world.Entities, generated.Revision())
		for _, r := range generated.Requests(questionsAWorld) {
			decision := snapshot.Decide(&r, authztest.Now())
			for name, decide := range alive {
				answer := decide(moment{world, authztest.ForReference(&r), authztest.Now()})
				onlyReason := name == failsAsFalse && answer.Reason != string(decision.Reason)
				if answer.Allowed != decision.Allowed || onlyReason {
					t.Logf("after %d worlds: %s: %s, not %s", i, name, answer.Reason, decision.Reason)
					delete(alive, name)
				}
			}
		}
	}
	t.Logf("%d mutants of %d caught", total-len(alive), total)
	for name := range alive {
		t.Errorf("nothing tells that %s", name)
	}
}
