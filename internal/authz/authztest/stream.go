// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// Judged is a question with the reference's answer.
type Judged struct {
	Request authz.Request
	Answer  reference.Answer
}

// The shares of a stream, in percent; the others are allowed.
const (
	deniedShare  = 25
	unknownShare = 5
)

// Judge gives the reference's answer to a question.
func (l *Large) Judge(r *authz.Request) reference.Answer {
	asked := ForReference(r)
	return reference.Decide(World{Entities: l.connections.about(asked), Conditions: l.Conditions}, asked, Now())
}

// Stream gives so many questions to ask at Now, in random order: 70 % that are allowed by a grant, 25 % that are denied to
// somebody who is known, and 5 % with a key that nobody has. Half of those who are known ask with their key, the others by
// their id. Every question carries the attributes that conditions ask for.
func (l *Large) Stream(seed uint64, count int) []Judged {
	s := stream{l, newDice(seed, 3)}
	unknown, denied := count*unknownShare/100, count*deniedShare/100
	var questions []Judged
	for range unknown {
		questions = append(questions, s.unknown())
	}
	questions = append(questions, s.several(denied, false)...)
	questions = append(questions, s.several(count-len(questions), true)...)
	s.dice.Shuffle(len(questions), func(i, j int) { questions[i], questions[j] = questions[j], questions[i] })
	return questions
}

type stream struct {
	*Large
	dice dice
}

// patience is how often the stream tries to make one question as it should be.
const patience = 200

// several gives so many questions that come to what is wanted; fewer only in a world where they cannot be found.
func (s *stream) several(count int, allowed bool) []Judged {
	var found []Judged
	for tries := 0; len(found) < count && tries < patience*count; tries++ {
		question := s.aimed(allowed)
		if question.Answer = s.Judge(&question.Request); question.Answer.Allowed == allowed {
			found = append(found, question)
		}
	}
	return found
}

func (s *stream) unknown() Judged {
	question := s.aimed(true)
	question.Request.Subject = authz.Subject{Kind: authz.SubjectAPIKey, ID: newAccessKey(s.dice)}
	question.Answer = s.Judge(&question.Request)
	return question
}

// aimed gives a question that should come to what is wanted.
func (s *stream) aimed(allowed bool) Judged {
	o := pick(s.dice, s.organizations)
	p := pick(s.dice, o.principals)
	var question Judged
	r := &question.Request
	r.Subject = authz.Subject{Kind: authz.SubjectAPIKey, ID: p.key}
	if s.dice.chance(50) {
		r.Subject = authz.Subject{Kind: authz.SubjectApplication, ID: p.id}
		if p.isMember {
			r.Subject.Kind = authz.SubjectUser
		}
	}
	attributes := s.attributes()
	if policy := pick(s.dice, p.policies); policy != nil {
		rule := pick(s.dice, policy.Rules)
		r.Permission = s.concrete(pick(s.dice, s.connections.sets[strings.ToLower(pick(s.dice, rule.PermissionSets))].Permissions))
		r.Scope = s.scope(o, rule)
		if rule.Condition != "" {
			lean(s.dice, s.Conditions[rule.Condition], allowed, &attributes)
		}
	}
	if at := s.dice.IntN(10); !allowed && at < 5 || r.Permission == (iam.Permission{}) {
		r.Permission = s.anyPermission()
	} else if !allowed && at < 8 {
		r.Scope = authz.Scope{ProjectID: pick(s.dice, o.projects)}
	}
	r.Attributes = condition.Attributes(attributes)
	return question
}

// scope gives a scope that a rule covers.
func (s *stream) scope(o *tenant, rule iam.Rule) authz.Scope {
	switch {
	case !rule.OrganizationScope:
		return authz.Scope{ProjectID: pick(s.dice, rule.ProjectIDs)}
	case s.dice.chance(70):
		return authz.Scope{OrganizationID: o.id, ProjectID: pick(s.dice, o.projects)}
	}
	return authz.Scope{OrganizationID: o.id}
}

// attributes give all that conditions of large worlds ask for, at a time of the week after Now.
func (s *stream) attributes() reference.Attributes {
	address := netip.AddrFrom4([4]byte{198, 18, byte(s.dice.IntN(256)), byte(s.dice.IntN(256))}) //nolint:gosec // at most 255
	return reference.Attributes{
		IP: address.String(), UserAgent: pick(s.dice, userAgents) + "1.9.2", Time: Now().Add(time.Duration(s.dice.IntN(7*24*60)) * time.Minute),
	}
}

// words are what permissions are made of in the catalogue.
type words struct {
	services []string
	// resources of a service, and actions of all.
	resources map[string][]string
	actions   []string
	whole     []iam.Permission
}

var catalogueWords = sync.OnceValue(func() words {
	w := words{services: append(iam.ProjectServices(), customServices...), resources: map[string][]string{}, actions: []string{"read", "list", "create", "write", "delete"}}
	for _, set := range iam.Catalogue() {
		for _, p := range set.Permissions {
			if p.Resource != "*" {
				w.resources[p.Service] = append(w.resources[p.Service], p.Resource)
			}
			if p.Service != "*" {
				w.whole = append(w.whole, p)
			}
		}
	}
	return w
})

// concrete gives something that a permission of a set takes in.
func (s *stream) concrete(entry string) iam.Permission {
	p, err := iam.ParsePermission(entry)
	if err != nil {
		return iam.Permission{}
	}
	w := catalogueWords()
	if p.Service == "*" {
		p.Service = pick(s.dice, w.services)
	}
	if p.Resource == "*" {
		if p.Resource = pick(s.dice, w.resources[p.Service]); p.Resource == "" {
			p.Resource = "item"
		}
	}
	if p.Action == "*" {
		p.Action = pick(s.dice, w.actions)
	}
	return p
}

// anyPermission gives something of the catalogue.
func (s *stream) anyPermission() iam.Permission {
	return s.concrete(pick(s.dice, catalogueWords().whole).String())
}
