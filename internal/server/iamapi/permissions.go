// SPDX-License-Identifier: Apache-2.0

// Package iamapi serves Scaleway's IAM API (https://www.scaleway.com/en/developers/api/iam/), of which this version has one method:
// CheckPermissions.
package iamapi

import (
	"fmt"
	"net/http"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/decisions"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

const (
	checkPermissionsPath = "/iam/v1alpha1/check-permissions"
	// maxPermissions bounds how many are asked about at once.
	maxPermissions = 1000
)

// Register adds the API to a mux, and below the path that its base URL may have; and it answers what is asked of no endpoint.
func Register(mux *http.ServeMux, service *decisions.Service, basePath string) {
	handler := service.Handle(decisions.EndpointCheckPermissions, checkPermissions, refuse)
	paths := map[string]struct{}{checkPermissionsPath: {}, basePath + checkPermissionsPath: {}}
	for path := range paths {
		mux.Handle(http.MethodPost+" "+path, handler)
		mux.Handle(path, service.NotAllowed(http.MethodPost, refuse))
	}
	mux.Handle("/", service.NotFound(refuse))
}

// checkRequest is the body of CheckPermissions.
type checkRequest struct {
	Permissions []permission `json:"permissions"`
}

type permission struct {
	Service string `json:"service"`
	// Name is the kind of resource.
	Name   string `json:"name"`
	Action string `json:"action"`
	// One of the two is the scope.
	ProjectID      *string `json:"project_id"`
	OrganizationID *string `json:"organization_id"`
}

// checkPermissions answers what the caller may do, in the order in which it asks.
func checkPermissions(s *decisions.Session, r *http.Request, to []byte) ([]byte, error) {
	var body checkRequest
	if err := wire.ReadJSON(r, &body); err != nil {
		return to, err
	}
	if len(body.Permissions) > maxPermissions {
		return to, invalid("permissions", reasonConstraint, fmt.Sprintf("at most %d permissions can be checked at once", maxPermissions))
	}
	questions, err := body.questions(s)
	if err != nil {
		return to, err
	}
	demanded, err := s.Demands("", "")
	if err == nil {
		err = s.AtLeast(demanded)
	}
	if err != nil {
		return to, err
	}
	to = append(to, `{"responses":[`...)
	for i := range questions {
		if err := s.Gone(); err != nil {
			return to, err
		}
		if i > 0 {
			to = append(to, ',')
		}
		if s.Decide(&questions[i], i).Allowed {
			to = append(to, `{"decision":"allow"}`...)
		} else {
			to = append(to, `{"decision":"deny"}`...)
		}
	}
	return append(to, "]}\n"...), nil
}

// questions turns a request into the engine's terms. Who calls asks for itself: from where it calls, and by what it calls, are what
// conditions see.
func (c *checkRequest) questions(s *decisions.Session) ([]authz.Request, error) {
	attributes := s.Attributes()
	questions := make([]authz.Request, len(c.Permissions))
	for i := range c.Permissions {
		p := &c.Permissions[i]
		if err := p.check(i); err != nil {
			return nil, err
		}
		questions[i] = authz.Request{
			Subject:    s.Caller().Subject(),
			Permission: iam.Permission{Service: p.Service, Resource: p.Name, Action: p.Action},
			Scope:      authz.Scope{ProjectID: wire.Value(p.ProjectID), OrganizationID: wire.Value(p.OrganizationID)},
			Attributes: attributes,
		}
	}
	return questions, nil
}

// check refuses a permission that lacks something. One that nobody could have is denied, as any other that is not granted.
func (p *permission) check(place int) error {
	at := func(field string) string { return fmt.Sprintf("permissions[%d].%s", place, field) }
	for _, part := range [...]struct{ field, value string }{{"service", p.Service}, {"name", p.Name}, {"action", p.Action}} {
		if part.value == "" {
			return invalid(at(part.field), reasonRequired, "value is required")
		}
	}
	switch inProject, inOrganization := wire.Value(p.ProjectID) != "", wire.Value(p.OrganizationID) != ""; {
	case !inProject && !inOrganization:
		return invalid(at("scope"), reasonRequired, "project_id or organization_id is required")
	case inProject && inOrganization:
		return invalid(at("scope"), reasonConstraint, "project_id and organization_id exclude each other")
	}
	return nil
}
