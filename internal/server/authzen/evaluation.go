// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/server/decisions"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
	"github.com/iam-operator/iam-operator/internal/store"
)

// maxEvaluations bounds how many questions a request asks.
const maxEvaluations = 1000

// The values of options.evaluations_semantic.
const (
	executeAll          = "execute_all"
	denyOnFirstDeny     = "deny_on_first_deny"
	permitOnFirstPermit = "permit_on_first_permit"
)

// evaluate answers one question.
func evaluate(s *decisions.Session, r *http.Request, to []byte) ([]byte, error) {
	var q question
	if err := wire.ReadJSON(r, &q); err != nil {
		return to, err
	}
	return q.answer(s, to)
}

func (q *question) answer(s *decisions.Session, to []byte) ([]byte, error) {
	a, err := q.read(s, everything)
	if err == nil {
		err = s.AtLeast(a.demanded)
	}
	if err == nil {
		err = a.allowed(s, decisions.Alone)
	}
	if err != nil {
		return to, err
	}
	d := s.Decide(&a.Request, decisions.Alone)
	return appendDecision(to, s, &d), nil
}

// explain answers one question, and says why.
func explain(s *decisions.Session, r *http.Request, to []byte) ([]byte, error) {
	var q question
	if err := wire.ReadJSON(r, &q); err != nil {
		return to, err
	}
	a, err := q.read(s, everything)
	if err == nil {
		err = s.AtLeast(a.demanded)
	}
	if err == nil {
		err = a.allowed(s, decisions.Alone)
	}
	if err != nil {
		return to, err
	}
	return appendExplanation(to, s, s.Explain(&a.Request)), nil
}

// batch is a request of several questions, for which the question beside them has the defaults.
type batch struct {
	question
	Evaluations []json.RawMessage `json:"evaluations"`
	Options     *struct {
		Semantic *string `json:"evaluations_semantic"`
	} `json:"options"`
}

// item is one question of a batch, or why it is none.
type item struct {
	asked asked
	err   error
}

// evaluateAll answers several questions, all at one revision.
func evaluateAll(s *decisions.Session, r *http.Request, to []byte) ([]byte, error) {
	var b batch
	if err := wire.ReadJSON(r, &b); err != nil {
		return to, err
	}
	semantic, err := b.semantic()
	if err != nil {
		return to, err
	}
	if len(b.Evaluations) == 0 {
		return b.answer(s, to)
	}
	if len(b.Evaluations) > maxEvaluations {
		return to, wire.BadField("evaluations", "has %d items; a request may have %d", len(b.Evaluations), maxEvaluations)
	}
	items, demanded, err := b.read(s)
	if err == nil {
		err = s.AtLeast(demanded)
	}
	if err != nil {
		return to, err
	}
	return answerItems(s, items, semantic, to)
}

func answerItems(s *decisions.Session, items []item, semantic string, to []byte) ([]byte, error) {
	to = append(to, `{"evaluations":[`...)
	for i := range items {
		if err := s.Gone(); err != nil {
			return to, err
		}
		if i > 0 {
			to = append(to, ',')
		}
		var allowed bool
		to, allowed = items[i].answer(s, i, to)
		if semantic == denyOnFirstDeny && !allowed || semantic == permitOnFirstPermit && allowed {
			break
		}
	}
	return append(to, "]}\n"...), nil
}

func (b *batch) semantic() (string, error) {
	if b.Options == nil || b.Options.Semantic == nil {
		return executeAll, nil
	}
	switch given := *b.Options.Semantic; given {
	case executeAll, denyOnFirstDeny, permitOnFirstPermit:
		return given, nil
	default:
		return "", wire.BadField("options.evaluations_semantic", "must be %s, %s or %s, not %q", executeAll, denyOnFirstDeny, permitOnFirstPermit, wire.Cut(given))
	}
}

// read reads all items, each with defaults, and gives the latest revision that any of them demands.
func (b *batch) read(s *decisions.Session) ([]item, store.Revision, error) {
	// The context of the request counts for it as a whole, also where each item has its own.
	demanded, err := s.Demands("context.at_least_revision", b.demand())
	if err != nil {
		return nil, demanded, err
	}
	items := make([]item, len(b.Evaluations))
	for i, text := range b.Evaluations {
		items[i].asked, items[i].err = b.readItem(s, text)
		if items[i].err != nil {
			continue
		}
		if demanded, err = decisions.Later(demanded, items[i].asked.demanded); err != nil {
			return nil, demanded, err
		}
	}
	return items, demanded, nil
}

func (b *batch) demand() string {
	if b.Context == nil {
		return ""
	}
	return wire.Value(b.Context.AtLeastRevision)
}

// readItem reads one item. What it has, it has whole: nothing is merged into it.
func (b *batch) readItem(s *decisions.Session, text json.RawMessage) (asked, error) {
	q := question{}
	if err := wire.Decode(text, &q); err != nil {
		return asked{}, err
	}
	if q.Subject == nil {
		q.Subject = b.Subject
	}
	if q.Action == nil {
		q.Action = b.Action
	}
	if q.Resource == nil {
		q.Resource = b.Resource
	}
	if q.Context == nil {
		q.Context = b.Context
	}
	return q.read(s, everything)
}

// answer decides an item. One that is broken, or may not be asked, is denied, and says so.
func (it *item) answer(s *decisions.Session, place int, to []byte) ([]byte, bool) {
	err := it.err
	if err == nil {
		err = it.asked.allowed(s, place)
	}
	if err != nil {
		refusal := wire.RefusalOf(err)
		s.RefuseItem(&it.asked.Request, place, refusal, it.err != nil)
		return appendItemError(to, refusal), false
	}
	d := s.Decide(&it.asked.Request, place)
	return appendDecision(to, s, &d), d.Allowed
}

func appendItemError(to []byte, refusal *wire.Refusal) []byte {
	to = append(to, `{"decision":false,"context":{"error":{"status":`...)
	to = strconv.AppendInt(to, int64(refusal.Status), 10)
	to = append(to, `,"message":`...)
	to = wire.AppendString(to, refusal.Message)
	return append(to, "}}}"...)
}

// appendDecision writes a decision. Policy, rule and condition are for those who may ask about others: somebody who has found a key
// must not learn from where it works.
func appendDecision(to []byte, s *decisions.Session, d *authz.Decision) []byte {
	to = append(to, `{"decision":`...)
	to = strconv.AppendBool(to, d.Allowed)
	to = append(to, `,"context":{"reason":`...)
	to = wire.AppendString(to, string(d.Reason))
	if !d.Allowed {
		words := decisions.ReasonInWords(d.Reason)
		to = append(to, `,"reason_user":{"403":`...)
		to = wire.AppendString(to, words)
		to = append(to, '}')
		if s.MayAskAboutOthers() {
			to = append(to, `,"reason_admin":{"403":`...)
			to = wire.AppendString(to, adminWords(d, words))
			to = append(to, '}')
		}
	}
	if d.Grant != nil && s.MayAskAboutOthers() {
		to = appendGrant(to, d.Grant)
	}
	to = append(to, `,"revision":`...)
	to = wire.AppendString(to, d.Revision.String())
	return append(to, "}}"...)
}

func appendGrant(to []byte, g *authz.Grant) []byte {
	to = append(to, `,"policy":{"id":`...)
	to = wire.AppendString(to, g.PolicyID)
	to = append(to, `,"name":`...)
	to = wire.AppendString(to, g.PolicyName)
	to = append(to, `},"rule":{"id":`...)
	to = wire.AppendString(to, g.RuleID)
	to = append(to, `},"permission_set":`...)
	return wire.AppendString(to, g.PermissionSet)
}

// adminWords says in place of a reason which condition it is about, where it is about one.
func adminWords(d *authz.Decision, words string) string {
	if obstacle, isPolicy := strings.CutPrefix(d.Obstacle(), "policy"); isPolicy {
		return "Policy" + obstacle // A sentence by itself.
	}
	return words
}

// appendExplanation writes a decision with its reasons in words.
func appendExplanation(to []byte, s *decisions.Session, e authz.Explanation) []byte {
	sentence, remedies := e.Sentence, e.Remedies
	if !s.MayAskAboutOthers() {
		remedies, sentence = nil, "The permission is granted."
		if !e.Decision.Allowed {
			sentence = decisions.ReasonInWords(e.Decision.Reason)
		}
	}
	to = appendDecision(to, s, &e.Decision)
	to = append(to[:len(to)-1], `,"sentence":`...)
	to = wire.AppendString(to, sentence)
	to = append(to, `,"remedies":[`...)
	for i, remedy := range remedies {
		if i > 0 {
			to = append(to, ',')
		}
		to = wire.AppendString(to, remedy)
	}
	return append(to, "]}\n"...)
}
