// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

var created = time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC)

func drawFilter(t *rapid.T, label string, seldom int) store.EventFilter {
	var f store.EventFilter
	draw := func(field string, set func(string), values ...string) {
		if rapid.IntRange(0, seldom).Draw(t, label+" has "+field) == 0 {
			set(rapid.SampledFrom(values).Draw(t, label+" "+field))
		}
	}
	draw("id", func(v string) { f.ID = v }, "event-1", "event-7")
	draw("request", func(v string) { f.RequestID = v }, "r1", "r2")
	draw("principal name", func(v string) { f.PrincipalName = v }, "maya", "Maya", "mo")
	draw("principal id", func(v string) { f.PrincipalID = v }, "m1", "m2")
	draw("principal kind", func(v string) { f.PrincipalKind = iam.ActorKind(v) }, "Member", "Owner")
	draw("method", func(v string) { f.Method = v }, "CreatePolicy", "DeletePolicy")
	draw("action", func(v string) { f.Action = iam.Action(v) }, "created", "deleted")
	draw("resource name", func(v string) { f.ResourceName = v }, "one", "two")
	draw("resource id", func(v string) { f.ResourceID = v }, "p1", "p2")
	draw("resource kind", func(v string) { f.ResourceKind = iam.Kind(v) }, "Policy", "Group")
	draw("project", func(v string) { f.ProjectID = v }, "web", "db")
	draw("product", func(v string) { f.Product = v }, "iam", "account")
	draw("service", func(v string) { f.Service = v }, "s1", "s2")
	draw("source", func(v string) { f.SourceIP = v }, iam.Unknown, "192.0.2.1")
	if rapid.IntRange(0, seldom).Draw(t, label+" has status") == 0 {
		f.StatusCode = rapid.SampledFrom([]int{200, 403}).Draw(t, label+" status")
	}
	return f
}

func drawEvent(t *rapid.T, n int) iam.Event {
	f := drawFilter(t, "event", 1)
	event := iam.Event{
		ID: fmt.Sprintf("event-%d", n), RecordedAt: created.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "hour")) * time.Hour),
		Organization: iam.EventOrganization{ID: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "organization")},
		Namespace:    rapid.SampledFrom([]string{"home", "other"}).Draw(t, "namespace"), NamespaceUID: rapid.SampledFrom([]string{"", "u1"}).Draw(t, "uid"),
		RequestID: f.RequestID, Principal: iam.Actor{Kind: f.PrincipalKind, ID: f.PrincipalID, Name: f.PrincipalName},
		Method: f.Method, Action: f.Action, ProjectID: f.ProjectID, Product: f.Product, Service: f.Service,
		SourceIP: f.SourceIP, StatusCode: f.StatusCode, Resources: []iam.EventResource{},
	}
	for range rapid.IntRange(0, 2).Draw(t, "resources") {
		r := drawFilter(t, "resource", 0)
		event.Resources = append(event.Resources, iam.EventResource{Kind: r.ResourceKind, ID: r.ResourceID, Name: r.ResourceName})
	}
	return event
}

// Who watches or exports is given what who lists is given: Selects agrees with Store.Events.
func TestSelectsAgreesWithTheStore(t *testing.T) {
	files := 0
	rapid.Check(t, func(r *rapid.T) {
		files++
		s, err := sqlite.Open(r.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), fmt.Sprint(files), "iam.db")})
		if err != nil {
			r.Fatal(err)
		}
		defer s.Close()
		var events []iam.Event
		for n := range rapid.IntRange(1, 12).Draw(r, "events") {
			events = append(events, drawEvent(r, n))
		}
		if err := s.Submit(r.Context(), events...); err != nil {
			r.Fatal(err)
		}
		for range 8 {
			query := store.EventQuery{EventFilter: drawFilter(r, "filter", 12), Not: drawFilter(r, "not", 15)}
			query.OrganizationID = rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "scope")
			query.OwnChain = query.OrganizationID == "" && rapid.Bool().Draw(r, "own chain")
			query.Namespace = rapid.SampledFrom([]string{"", "", "home"}).Draw(r, "in namespace")
			if query.Namespace != "" {
				query.NamespaceUID = rapid.SampledFrom([]string{"", "u1"}).Draw(r, "of uid")
			}
			if rapid.Bool().Draw(r, "has since") {
				query.Since = created.Add(time.Duration(rapid.IntRange(-3, 3).Draw(r, "since")) * time.Hour)
			}
			if rapid.Bool().Draw(r, "has until") {
				query.Until = created.Add(time.Duration(rapid.IntRange(-3, 3).Draw(r, "until")) * time.Hour)
			}
			given, err := s.Events(r.Context(), query)
			if err != nil {
				r.Fatal(err)
			}
			var got, want []string
			for _, event := range given {
				got = append(got, event.ID)
			}
			for _, event := range events {
				if query.Selects(event) {
					want = append(want, event.ID)
				}
			}
			slices.Reverse(want)
			if !slices.Equal(got, want) {
				r.Fatalf("%+v: the store gives %v, and Selects %v", query, got, want)
			}
		}
	})
}

func TestMatchesEmptyAndOrigins(t *testing.T) {
	event := iam.Event{ID: "x"}
	if !(store.EventFilter{}).Matches(event) || !(store.EventFilter{}).MatchesNone(event) || !(store.EventQuery{}).Selects(event) {
		t.Error("an empty filter leaves something out")
	}
	event.Origin = &iam.EventOrigin{}
	if (store.EventQuery{}).Selects(event) {
		t.Error("an event that only gives another's origin is selected")
	}
}

// What an event does not say, such as the id of what was never created, is nothing that it is found by.
func TestNoEmptyFacet(t *testing.T) {
	e := iam.Event{ID: "e", Resources: []iam.EventResource{{Name: "new"}, {ID: "r"}, {ID: "r"}}}
	want := []store.Facet{{Field: "id", Value: "e"}, {Field: "resourceName", Value: "new"}, {Field: "resourceID", Value: "r"}}
	if got := store.FacetsOf(e); !slices.Equal(got, want) {
		t.Errorf("the event is found by %q, want %q", got, want)
	}
}
