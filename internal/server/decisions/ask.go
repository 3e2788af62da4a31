// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"context"
	"net/http"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

// Alone is the item of a request that asks one question only.
const Alone = -1

// Decide answers a question, and logs it. The item is its place in a request of several, or Alone.
func (s *Session) Decide(q *authz.Request, item int) authz.Decision {
	d := s.within(s.view.Decide(q))
	s.record(q, &d, item)
	return d
}

// Explain answers a question with its reason in words, and logs it.
func (s *Session) Explain(q *authz.Request) authz.Explanation {
	e := s.view.Explain(q)
	e.Decision = s.within(e.Decision)
	switch e.Decision.Reason {
	case authz.ReasonUnknownSubject, authz.ReasonUnknownScope:
		// The engine's words may name what is of another Organization.
		e.Sentence, e.Remedies = ReasonInWords(e.Decision.Reason), nil
	}
	s.record(q, &e.Decision, Alone)
	return e
}

// within hides subjects of other Organizations.
func (s *Session) within(d authz.Decision) authz.Decision {
	switch d.Reason {
	case authz.ReasonMalformed, authz.ReasonStale: // It was not looked for.
		return d
	}
	if d.Principal.OrganizationID != s.caller.Principal.OrganizationID {
		return authz.Decision{Reason: authz.ReasonUnknownSubject, Revision: d.Revision}
	}
	return d
}

// knows says whether a subject is one of the caller's Organization.
func (s *Session) knows(subject authz.Subject) bool {
	d := s.within(s.view.Decide(&authz.Request{Subject: subject, Permission: checkPermission}))
	return d.Principal.OrganizationID != ""
}

// Page says which part of what a search finds is wanted.
type Page struct {
	// After is the last that was found before; empty for the first page.
	After string
	// Limit is how many are wanted; with zero it is only asked whether the caller may.
	Limit int
}

// wanted says whether anything is.
func (p Page) wanted() bool { return p.Limit > 0 }

// Gone gives an error when nobody waits for the answer any more.
func (s *Session) Gone() error { return s.request.Context().Err() }

// search runs a search when there is a place for it.
func (s *Session) search(run func(ctx context.Context) error) error {
	ctx := s.request.Context()
	waiting, cancel := context.WithTimeout(ctx, searchWait)
	defer cancel()
	select {
	case s.service.searches <- struct{}{}:
	case <-waiting.Done():
		if err := ctx.Err(); err != nil {
			return err
		}
		return wire.Refuse(http.StatusServiceUnavailable, "too many searches run at this moment; try again")
	}
	defer func() { <-s.service.searches }()
	return run(ctx)
}

// Subjects gives who of one kind may do what a question asks, its own subject apart.
func (s *Session) Subjects(q *authz.Request, page Page) (found []string, next string, err error) {
	if !s.mayCheck {
		return nil, "", s.Forbid("to search for subjects", q, Alone)
	}
	asked := *q
	asked.Subject.ID = ""
	if asked.Scope.OrganizationID == "" {
		asked.Scope.OrganizationID = s.caller.Principal.OrganizationID
	}
	if asked.Scope.OrganizationID == s.caller.Principal.OrganizationID && q.Permission.Concrete() && page.wanted() {
		err = s.search(func(ctx context.Context) (err error) {
			found, next, err = s.view.Subjects(ctx, &asked, page.After, page.Limit)
			return err
		})
	}
	if err != nil {
		return nil, "", err
	}
	s.recordSearch(&asked, len(found))
	return found, next, nil
}

// Scopes gives where a question's subject may do what it asks: within the question's scope, and of the kinds that are wanted.
func (s *Session) Scopes(q *authz.Request, kinds authz.ScopeKinds, page Page) (found []authz.Scope, next string, err error) {
	if err := s.MayAsk(q, Alone); err != nil {
		return nil, "", err
	}
	if s.knows(q.Subject) && q.Permission.Concrete() && page.wanted() {
		err = s.search(func(ctx context.Context) (err error) {
			found, next, err = s.view.Scopes(ctx, q, kinds, page.After, page.Limit)
			return err
		})
	}
	if err != nil {
		return nil, "", err
	}
	s.recordSearch(q, len(found))
	return found, next, nil
}

// Actions gives what a question's subject may do, of the permissions that have the segments which are given.
func (s *Session) Actions(q *authz.Request, page Page) (found []string, next string, err error) {
	if err := s.MayAsk(q, Alone); err != nil {
		return nil, "", err
	}
	if s.knows(q.Subject) && page.wanted() {
		err = s.search(func(ctx context.Context) (err error) {
			found, next, err = s.view.Actions(ctx, q, page.After, page.Limit)
			return err
		})
	}
	if err != nil {
		return nil, "", err
	}
	s.recordSearch(q, len(found))
	return found, next, nil
}

// ReasonInWords says for a person why something is refused, without anything that only some may know.
func ReasonInWords(reason authz.Reason) string {
	switch reason {
	case authz.ReasonMalformed:
		return "This is no permission that anybody could have, or no kind of subject."
	case authz.ReasonUnknownSubject:
		return "The Organization has no such subject."
	case authz.ReasonKeyExpired:
		return "The API key has expired."
	case authz.ReasonBearerGone:
		return "The bearer of the API key is gone."
	case authz.ReasonLocked:
		return "The user is locked."
	case authz.ReasonInvited:
		return "The invitation is not accepted yet."
	case authz.ReasonUnknownScope:
		return "The Organization has no such Project, or the question is about another Organization."
	case authz.ReasonOutOfScope:
		return "The permission is granted, but not here."
	case authz.ReasonConditionFalse, authz.ReasonConditionFailed:
		return "The permission is granted under a condition that this request does not meet."
	case authz.ReasonStale:
		return "Nothing is allowed while the decision engine is out of touch with its store."
	case authz.ReasonNotGranted, authz.ReasonOwner, authz.ReasonGranted:
	}
	return "The permission is not granted."
}

// record counts and logs a decision.
func (s *Session) record(q *authz.Request, d *authz.Decision, item int) {
	s.service.metrics.decided(d)
	if !s.service.Log.wants(d) {
		return
	}
	now := s.service.Clock.Now()
	s.service.Log.add(&entry{
		kind: kindDecision, at: now, latency: now.Sub(s.began), endpoint: s.endpoint, requestID: s.id, item: item, caller: s.caller,
		question: *q, decision: *d,
	})
}

// recordSearch logs a search, which is no decision by itself.
func (s *Session) recordSearch(q *authz.Request, found int) {
	now := s.service.Clock.Now()
	s.service.Log.add(&entry{
		kind: kindSearch, at: now, latency: now.Sub(s.began), endpoint: s.endpoint, requestID: s.id, item: Alone, caller: s.caller,
		question: *q, found: found, decision: authz.Decision{Revision: s.view.Revision()},
	})
}

// MayAsk refuses a question about somebody else, unless the caller has the permission to ask it; and logs that.
func (s *Session) MayAsk(q *authz.Request, item int) error {
	if s.mayCheck || s.isSelf(q.Subject) {
		return nil
	}
	return s.Forbid("to ask about others than yourself", q, item)
}

// Forbid gives the refusal of what only those may do who may ask about others, and logs it.
func (s *Session) Forbid(what string, q *authz.Request, item int) error {
	refusal := wire.Refuse(http.StatusForbidden, "%s takes the permission %s in the Organization, which permission set IAMPermissionChecker holds", what, checkPermission)
	s.recordRefusal(q, item, refusal)
	return refusal
}

// RefuseItem counts a question among several that is denied without a decision; and logs it, if it is broken. Where it may not be asked,
// that is logged already.
func (s *Session) RefuseItem(q *authz.Request, item int, refusal *wire.Refusal, broken bool) {
	s.service.metrics.refused.Inc()
	if broken {
		s.recordRefusal(q, item, refusal)
	}
}

func (s *Session) recordRefusal(q *authz.Request, item int, refusal *wire.Refusal) {
	now := s.service.Clock.Now()
	s.service.Log.add(&entry{
		kind: kindRefusal, at: now, latency: now.Sub(s.began), endpoint: s.endpoint, requestID: s.id, item: item, caller: s.caller,
		question: *q, refusal: refusal.Message, decision: authz.Decision{Revision: s.view.Revision()},
	})
}

// isSelf says whether a subject is the caller: the key that was shown, or its bearer.
func (s *Session) isSelf(subject authz.Subject) bool {
	bearer := s.caller.Principal
	switch subject.Kind {
	case authz.SubjectAPIKey:
		return subject.ID == s.caller.AccessKey
	case authz.SubjectApplication:
		return subject.ID == bearer.ID && bearer.Kind == iam.PrincipalApplication
	case authz.SubjectUser:
		return subject.ID == bearer.ID && bearer.Kind != iam.PrincipalApplication
	case authz.SubjectOwner:
		return subject.ID == bearer.ID && bearer.Kind == iam.PrincipalOwner
	}
	return false
}
