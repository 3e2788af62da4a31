// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/decisions"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
	"github.com/iam-operator/iam-operator/internal/store"
)

// question is what all requests are made of. A pointer tells what is absent from what is empty.
type question struct {
	Subject  *subject     `json:"subject"`
	Action   *action      `json:"action"`
	Resource *resource    `json:"resource"`
	Context  *environment `json:"context"`
}

type subject struct {
	Type       *string         `json:"type"`
	ID         *string         `json:"id"`
	Properties json.RawMessage `json:"properties"`
}

type action struct {
	Name       *string         `json:"name"`
	Properties json.RawMessage `json:"properties"`
}

type resource struct {
	Type       *string     `json:"type"`
	ID         *string     `json:"id"`
	Properties *properties `json:"properties"`
}

// properties are those of a resource that policies can tell apart.
type properties struct {
	OrganizationID *string `json:"organization_id"`
	ProjectID      *string `json:"project_id"`
	Name           *string `json:"name"`
	Locality       *string `json:"locality"`
}

// environment is the standard's context.
type environment struct {
	IP              *string `json:"ip"`
	UserAgent       *string `json:"user_agent"`
	Time            *string `json:"time"`
	AtLeastRevision *string `json:"at_least_revision"`
}

// The types of resource that are places themselves: their id is the scope.
const (
	typeProject      = "project"
	typeOrganization = "organization"
)

// wanted says which parts a request must have: what is searched for has no id, or is not there at all.
type wanted struct{ subjectID, action, resourceID bool }

var everything = wanted{subjectID: true, action: true, resourceID: true}

// asked is a question in the engine's terms, with what it demands beside.
type asked struct {
	authz.Request
	resourceType string
	// givesAgent says whether context.user_agent is there, be it empty.
	givesAgent bool
	demanded   store.Revision
}

// read checks a question, and turns it into the engine's terms.
func (q *question) read(s *decisions.Session, w wanted) (asked, error) {
	if err := q.complete(w); err != nil {
		return asked{}, err
	}
	a := asked{resourceType: *q.Resource.Type}
	a.Subject.Kind = authz.SubjectKind(*q.Subject.Type)
	if w.subjectID {
		a.Subject.ID = *q.Subject.ID
	}
	name := ""
	if w.action {
		name = *q.Action.Name
	}
	var err error
	if a.Permission, err = permissionOf(name, a.resourceType); err != nil {
		return asked{}, err
	}
	if err := a.readResource(q.Resource, w.resourceID); err != nil {
		return asked{}, err
	}
	return a, a.readContext(s, q.Context)
}

// complete refuses a question that lacks a part.
func (q *question) complete(w wanted) error {
	switch {
	case q.Subject == nil:
		return missing("subject")
	case q.Subject.Type == nil:
		return missing("subject.type")
	case w.subjectID && q.Subject.ID == nil:
		return missing("subject.id")
	case !isObject(q.Subject.Properties):
		return wire.BadField("subject.properties", "must be an object")
	}
	if w.action {
		if err := q.Action.complete(); err != nil {
			return err
		}
	}
	switch {
	case q.Resource == nil:
		return missing("resource")
	case q.Resource.Type == nil:
		return missing("resource.type")
	case w.resourceID && q.Resource.ID == nil:
		return missing("resource.id")
	}
	return nil
}

func (a *action) complete() error {
	switch {
	case a == nil:
		return missing("action")
	case a.Name == nil:
		return missing("action.name")
	case !isObject(a.Properties):
		return wire.BadField("action.properties", "must be an object")
	}
	return nil
}

func missing(field string) error { return wire.BadField(field, "is missing") }

func isObject(text json.RawMessage) bool {
	return len(text) == 0 || text[0] == '{' || string(text) == "null"
}

// permissionOf gives the permission that an action on a type of resource is. What is none is for the engine to refuse, which tells a
// question that cannot be granted from a request that is broken.
func permissionOf(name, resourceType string) (iam.Permission, error) {
	service, kind, typed := strings.Cut(resourceType, "/")
	first, rest, full := strings.Cut(name, ":")
	if !full {
		if !typed {
			return iam.Permission{Action: name}, nil
		}
		return iam.Permission{Service: service, Resource: kind, Action: name}, nil
	}
	second, third, _ := strings.Cut(rest, ":")
	if typed && (service != first || kind != second) {
		return iam.Permission{}, wire.BadField("action.name", "is of %q, but resource.type is %q", wire.Cut(first+"/"+second), wire.Cut(resourceType))
	}
	return iam.Permission{Service: first, Resource: second, Action: third}, nil
}

// readResource takes scope and attributes from a resource.
func (a *asked) readResource(r *resource, hasID bool) error {
	id := ""
	if hasID {
		id = *r.ID
	}
	if r.Properties != nil {
		for _, scope := range [...]struct {
			field string
			given *string
			to    *string
		}{
			{"resource.properties.project_id", r.Properties.ProjectID, &a.Scope.ProjectID},
			{"resource.properties.organization_id", r.Properties.OrganizationID, &a.Scope.OrganizationID},
		} {
			if scope.given == nil {
				continue
			}
			if *scope.given == "" {
				return wire.BadField(scope.field, "must not be empty; leave it out to ask about the Organization as a whole")
			}
			*scope.to = *scope.given
		}
		a.Attributes.ResourceName = wire.Value(r.Properties.Name)
		a.Attributes.ResourceLocality = wire.Value(r.Properties.Locality)
	}
	if !hasID {
		return nil
	}
	switch *r.Type {
	case typeProject:
		return place(&a.Scope.ProjectID, id, "resource.properties.project_id")
	case typeOrganization:
		if a.Scope.ProjectID != "" {
			return wire.BadField("resource.properties.project_id", "is of no use for a resource that is an Organization")
		}
		return place(&a.Scope.OrganizationID, id, "resource.properties.organization_id")
	}
	a.Attributes.ResourceID = id
	return nil
}

// place takes a resource's id for the scope.
func place(scope *string, id, field string) error {
	if id == "" {
		return wire.BadField("resource.id", "must not be empty for a resource that is a Project or an Organization")
	}
	if *scope != "" && *scope != id {
		return wire.BadField(field, "is another than resource.id")
	}
	*scope = id
	return nil
}

// readContext takes attributes from the context.
func (a *asked) readContext(s *decisions.Session, c *environment) (err error) {
	if c == nil {
		c = &environment{}
	}
	if a.demanded, err = s.Demands("context.at_least_revision", wire.Value(c.AtLeastRevision)); err != nil {
		return err
	}
	a.Attributes.UserAgent, a.givesAgent = wire.Value(c.UserAgent), c.UserAgent != nil
	if c.IP != nil {
		if address, err := netip.ParseAddr(*c.IP); err != nil || address.Zone() != "" {
			return wire.BadField("context.ip", "must be an IP address without a zone, not %q", wire.Cut(*c.IP))
		}
		a.Attributes.IP = *c.IP
	}
	if c.Time != nil {
		if a.Attributes.Time, err = readTime(*c.Time); err != nil || !inRange(a.Attributes.Time) {
			return wire.BadField("context.time", `must be a time such as "2026-03-02T14:30:00Z" (RFC 3339), not %q`, wire.Cut(*c.Time))
		}
	}
	return nil
}

// inRange says whether a time is of a year that RFC 3339 can write, in UTC; and it is not the zero time, which is no time to the engine.
func inRange(at time.Time) bool {
	year := at.UTC().Year()
	return year >= 1 && year <= 9999 && !at.IsZero()
}

// readTime reads RFC 3339, and the form without seconds that the standard's own examples have.
func readTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04Z07:00", text)
	}
	return at, err
}

// allowed refuses a question that the caller may not ask.
func (a *asked) allowed(s *decisions.Session, item int) error {
	if err := s.MayAsk(&a.Request, item); err != nil {
		return err
	}
	return a.confine(s, item)
}

// confine has who may not ask about others ask for here and now: conditions see where the caller itself calls from, and what it calls
// itself. With addresses of its own choosing, whoever has found a key could try from where it works.
func (a *asked) confine(s *decisions.Session, item int) error {
	if s.MayAskAboutOthers() {
		return nil
	}
	own := s.Attributes()
	switch {
	case !a.Attributes.Time.IsZero():
		return s.Forbid("to give context.time", &a.Request, item)
	case a.Attributes.IP != "" && !sameAddress(a.Attributes.IP, own.IP):
		return s.Forbid("to give another context.ip than the address that you call from", &a.Request, item)
	case a.givesAgent && a.Attributes.UserAgent != own.UserAgent:
		return s.Forbid("to give another context.user_agent than your User-Agent", &a.Request, item)
	}
	a.Attributes.IP, a.Attributes.UserAgent = own.IP, own.UserAgent
	return nil
}

// sameAddress says whether an address, which may be an IPv4 address written as IPv6, is the caller's.
func sameAddress(given, own string) bool {
	address, err := netip.ParseAddr(given)
	return err == nil && address.Unmap().String() == own
}
