// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"
	"strconv"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// Facet is one thing that an audit event says and can be selected by.
type Facet struct{ Field, Value string }

// Facets gives what a filter asks for.
func (f EventFilter) Facets() []Facet {
	facets := []Facet{
		{"id", f.ID},
		{"requestID", f.RequestID},
		{"principalName", f.PrincipalName},
		{"principalID", f.PrincipalID},
		{"principalKind", string(f.PrincipalKind)},
		{"method", f.Method},
		{"action", string(f.Action)},
		{"resourceName", f.ResourceName},
		{"resourceID", f.ResourceID},
		{"resourceKind", string(f.ResourceKind)},
		{"projectID", f.ProjectID},
		{"product", f.Product},
		{"service", f.Service},
		{"sourceIP", f.SourceIP},
	}
	if f.StatusCode != 0 {
		facets = append(facets, Facet{"statusCode", strconv.Itoa(f.StatusCode)})
	}
	return slices.DeleteFunc(facets, func(f Facet) bool { return f.Value == "" })
}

// FacetsOf gives all that an event can be selected by, each once.
func FacetsOf(e iam.Event) []Facet {
	facets := EventFilter{
		ID: e.ID, RequestID: e.RequestID,
		PrincipalName: e.Principal.Name, PrincipalID: e.Principal.ID, PrincipalKind: e.Principal.Kind,
		Method: e.Method, Action: e.Action, ProjectID: e.ProjectID, Product: e.Product, Service: e.Service,
		SourceIP: e.SourceIP, StatusCode: e.StatusCode,
	}.Facets()
	for _, r := range e.Resources {
		for _, f := range (EventFilter{ResourceName: r.Name, ResourceID: r.ID, ResourceKind: r.Kind}).Facets() {
			if !slices.Contains(facets, f) {
				facets = append(facets, f)
			}
		}
	}
	return facets
}

// Matches says whether an event says all that a filter asks for. The event is as readers see it: with the origin that
// became known later, where there is one.
func (f EventFilter) Matches(event iam.Event) bool {
	says := FacetsOf(event)
	return !slices.ContainsFunc(f.Facets(), func(asked Facet) bool { return !slices.Contains(says, asked) })
}

// MatchesNone says whether an event says nothing of what a filter asks for, as EventQuery.Not selects.
func (f EventFilter) MatchesNone(event iam.Event) bool {
	says := FacetsOf(event)
	return !slices.ContainsFunc(f.Facets(), func(asked Facet) bool { return slices.Contains(says, asked) })
}

// Includes says whether an event belongs to a scope.
func (s EventScope) Includes(event iam.Event) bool {
	return (s.OrganizationID == "" || event.Organization.ID == s.OrganizationID) &&
		(!s.OwnChain || event.Organization.ID == "") &&
		(s.Namespace == "" || event.Namespace == s.Namespace) &&
		(s.NamespaceUID == "" || event.NamespaceUID == s.NamespaceUID)
}

// Selects says whether Store.Events gives an event for a query, its Before and Limit apart.
func (q EventQuery) Selects(event iam.Event) bool {
	return event.Origin == nil && q.Includes(event) &&
		(q.Since.IsZero() || !event.RecordedAt.Before(q.Since)) &&
		(q.Until.IsZero() || event.RecordedAt.Before(q.Until)) &&
		q.Matches(event) && q.Not.MatchesNone(event)
}
