// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"strconv"
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
	l.text("policy", d.Grant.PolicyID)
	l.text("policyName", d.Grant.PolicyName)
	l.text("rule", d.Grant.RuleID)
	l.text("permissionSet", d.Grant.PermissionSet)
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
