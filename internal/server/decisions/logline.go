// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

// maxField is how many bytes of what a client says a line has, each field.
const maxField = 255

// line is an object of JSON that is being written.
type line []byte

func (l *line) text(name, value string) {
	if value == "" {
		return
	}
	l.name(name)
	*l = wire.AppendString(*l, beginning(value))
}

func (l *line) number(name string, value int64) {
	l.name(name)
	*l = strconv.AppendInt(*l, value, 10)
}

func (l *line) time(name string, at time.Time) {
	l.name(name)
	*l = append(*l, '"')
	*l = at.UTC().AppendFormat(*l, time.RFC3339Nano)
	*l = append(*l, '"')
}

func (l *line) name(name string) {
	if b := *l; b[len(b)-1] != '{' {
		*l = append(*l, ',')
	}
	*l = append(*l, '"')
	*l = append(*l, name...)
	*l = append(*l, '"', ':')
}

func beginning(text string) string {
	if len(text) <= maxField {
		return text
	}
	end := maxField
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// notAnAccessKey stands in the log for what somebody took for an access key. It may be the secret key.
const notAnAccessKey = "(not an access key)"

var accessKey = regexp.MustCompile(`^SCW[A-Z0-9]{17}$`)

// shorten cuts what a client says to what the line will have of it, in memory of its own: a line that waits must not keep the body of
// its request.
func (e *entry) shorten() {
	q := &e.question
	if q.Subject.Kind == authz.SubjectAPIKey && q.Subject.ID != "" && !accessKey.MatchString(q.Subject.ID) {
		q.Subject.ID = notAnAccessKey
	}
	kind := string(q.Subject.Kind)
	for _, text := range [...]*string{
		&e.requestID, &e.refusal, &kind, &q.Subject.ID, &q.Scope.OrganizationID, &q.Scope.ProjectID, &q.Attributes.IP, &q.Attributes.UserAgent,
		&q.Attributes.ResourceID, &q.Attributes.ResourceName, &q.Attributes.ResourceLocality,
	} {
		shorten(text)
	}
	q.Subject.Kind = authz.SubjectKind(kind)
	// The parts of a permission may be cut from one text: a short one keeps a long one.
	if p := &q.Permission; len(p.Service) > maxField || len(p.Resource) > maxField || len(p.Action) > maxField {
		for _, part := range [...]*string{&p.Service, &p.Resource, &p.Action} {
			*part = strings.Clone(beginning(*part))
		}
	}
	if err := e.decision.Err; err != nil { // It may hold what it is about.
		text := err.Error()
		shorten(&text)
		e.decision.Err = errors.New(text)
	}
}

func shorten(text *string) {
	if len(*text) > maxField {
		*text = strings.Clone(beginning(*text))
	}
}

// append adds the entry as a line.
func (e *entry) append(to []byte) []byte {
	l := line(append(to, '{'))
	l.time("time", e.at)
	l.text("kind", string(e.kind))
	l.text("endpoint", string(e.endpoint))
	l.text("request", e.requestID)
	if e.item != Alone {
		l.number("item", int64(e.item))
	}
	l.text("caller", e.caller.AccessKey)
	l.text("callerID", e.caller.Principal.ID)
	l.text("organization", e.caller.Principal.OrganizationID)
	e.appendQuestion(&l)
	e.appendOutcome(&l)
	l.text("revision", e.decision.Revision.String())
	l.number("micros", e.latency.Microseconds())
	return append(l, '}', '\n')
}

func (e *entry) appendQuestion(l *line) {
	q := &e.question
	l.text("subjectType", string(q.Subject.Kind))
	l.text("subject", q.Subject.ID)
	l.text("principal", e.decision.Principal.ID)
	l.text("service", q.Permission.Service)
	l.text("resourceType", q.Permission.Resource)
	l.text("action", q.Permission.Action)
	if scope := q.Scope.OrganizationID; scope != e.caller.Principal.OrganizationID {
		l.text("scopeOrganization", scope)
	}
	l.text("project", q.Scope.ProjectID)
	l.text("resource", q.Attributes.ResourceID)
	l.text("resourceName", q.Attributes.ResourceName)
	l.text("locality", q.Attributes.ResourceLocality)
	l.text("ip", q.Attributes.IP)
	l.text("userAgent", q.Attributes.UserAgent)
	if !q.Attributes.Time.IsZero() {
		l.time("at", q.Attributes.Time)
	}
}

func (e *entry) appendOutcome(l *line) {
	switch e.kind {
	case kindSearch:
		l.number("found", int64(e.found))
		return
	case kindRefusal:
		l.text("refusal", e.refusal)
		return
	case kindDecision, kindGap:
	}
	d := &e.decision
	l.text("decision", outcome(d))
	l.text("reason", string(d.Reason))
	if d.Grant != nil {
		l.text("policy", d.Grant.PolicyID)
		l.text("policyName", d.Grant.PolicyName)
		l.text("rule", d.Grant.RuleID)
		l.text("permissionSet", d.Grant.PermissionSet)
	}
	if d.Err != nil {
		l.text("error", d.Err.Error())
	}
}

// outcome is what a decision is called in log, metrics and answers.
func outcome(d *authz.Decision) string {
	if d.Allowed {
		return "allow"
	}
	return "deny"
}

// appendGap adds a line that says what is missing.
func appendGap(to []byte, now time.Time, missing lost) []byte {
	l := line(append(to, '{'))
	l.time("time", now)
	l.text("kind", string(kindGap))
	l.number("lost", int64(missing.count))
	l.time("since", missing.since)
	return append(l, '}', '\n')
}
