// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"strconv"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Matches says whether an event says all that a filter asks for, as Store.Events selects. The
// event is as readers see it: with the origin that became known later, where there is one.
func Matches(event iam.Event, filter store.EventFilter) bool {
	for _, c := range comparisons(event, filter) {
		if c.asked() && !c.met() {
			return false
		}
	}
	return true
}

// MatchesNone says whether an event says nothing of what a filter asks for, as EventQuery.Not selects.
func MatchesNone(event iam.Event, filter store.EventFilter) bool {
	for _, c := range comparisons(event, filter) {
		if c.asked() && c.met() {
			return false
		}
	}
	return true
}

// Selects says whether Store.Events gives an event for a query, its Before and Limit apart.
func Selects(event iam.Event, query store.EventQuery) bool {
	return event.Origin == nil && inScope(event, query.EventScope) &&
		(query.Since.IsZero() || !event.RecordedAt.Before(query.Since)) &&
		(query.Until.IsZero() || event.RecordedAt.Before(query.Until)) &&
		Matches(event, query.EventFilter) && MatchesNone(event, query.Not)
}

func inScope(event iam.Event, scope store.EventScope) bool {
	for _, c := range []comparison{
		one(scope.OrganizationID, event.Organization.ID),
		one(scope.Namespace, event.Namespace),
		one(scope.NamespaceUID, event.NamespaceUID),
	} {
		if c.asked() && !c.met() {
			return false
		}
	}
	return !scope.OwnChain || event.Organization.ID == ""
}

// comparison is one field of a filter, and what an event says of it.
type comparison struct {
	want string
	says []string
}

func (c comparison) asked() bool { return c.want != "" }

func (c comparison) met() bool {
	for _, said := range c.says {
		if said == c.want {
			return true
		}
	}
	return false
}

func one(want, said string) comparison { return comparison{want, []string{said}} }

func comparisons(event iam.Event, filter store.EventFilter) []comparison {
	status := ""
	if filter.StatusCode != 0 {
		status = strconv.Itoa(filter.StatusCode)
	}
	names, ids, kinds := make([]string, 0, len(event.Resources)), make([]string, 0, len(event.Resources)), make([]string, 0, len(event.Resources))
	for _, resource := range event.Resources {
		names, ids, kinds = append(names, resource.Name), append(ids, resource.ID), append(kinds, string(resource.Kind))
	}
	return []comparison{
		one(filter.ID, event.ID),
		one(filter.RequestID, event.RequestID),
		one(filter.PrincipalName, event.Principal.Name),
		one(filter.PrincipalID, event.Principal.ID),
		one(string(filter.PrincipalKind), string(event.Principal.Kind)),
		one(filter.Method, event.Method),
		one(string(filter.Action), string(event.Action)),
		{filter.ResourceName, names},
		{filter.ResourceID, ids},
		{string(filter.ResourceKind), kinds},
		one(filter.ProjectID, event.ProjectID),
		one(filter.Product, event.Product),
		one(filter.Service, event.Service),
		one(filter.SourceIP, event.SourceIP),
		one(status, strconv.Itoa(event.StatusCode)),
	}
}
