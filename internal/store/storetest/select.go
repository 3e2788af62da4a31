// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func selectContracts() []contract {
	return []contract{
		{"each field selects events, and leaves them out", testFields},
		{"a scope selects events", testScopes},
		{"the time of events selects, in whatever order they came", testTimes},
		{"filters that many events pass and few pass together select", testRareMeeting},
	}
}

// full is an event of which every field that can be selected by says something of its own.
func full(id string) iam.Event {
	e := eventOf("o", id)
	e.RequestID, e.Method, e.Action, e.ProjectID = "request "+id, "Method"+id, iam.Action("action "+id), "project "+id
	e.Principal = iam.Actor{Kind: iam.ActorKind("kind " + id), ID: "principal " + id, Name: "Name " + id}
	e.Product, e.Service, e.SourceIP, e.StatusCode = "product "+id, "service "+id, "10.0.0."+id, 400+int(id[0]-'0')
	e.Resources = []iam.EventResource{
		{Kind: "shared", ID: "shared", Name: "shared"},
		{Kind: iam.Kind("resource kind " + id), ID: "resource " + id, Name: "resource name " + id},
	}
	return e
}

func testFields(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	appendEvents(t, s, full("1"), full("2"), full("3"), eventOf("o", "bare"))
	fields := map[string]func(id string) store.EventFilter{
		"id":             func(id string) store.EventFilter { return store.EventFilter{ID: id} },
		"request":        func(id string) store.EventFilter { return store.EventFilter{RequestID: "request " + id} },
		"principal name": func(id string) store.EventFilter { return store.EventFilter{PrincipalName: "Name " + id} },
		"principal id":   func(id string) store.EventFilter { return store.EventFilter{PrincipalID: "principal " + id} },
		"principal kind": func(id string) store.EventFilter {
			return store.EventFilter{PrincipalKind: iam.ActorKind("kind " + id)}
		},
		"method":        func(id string) store.EventFilter { return store.EventFilter{Method: "Method" + id} },
		"action":        func(id string) store.EventFilter { return store.EventFilter{Action: iam.Action("action " + id)} },
		"resource name": func(id string) store.EventFilter { return store.EventFilter{ResourceName: "resource name " + id} },
		"resource id":   func(id string) store.EventFilter { return store.EventFilter{ResourceID: "resource " + id} },
		"resource kind": func(id string) store.EventFilter {
			return store.EventFilter{ResourceKind: iam.Kind("resource kind " + id)}
		},
		"project": func(id string) store.EventFilter { return store.EventFilter{ProjectID: "project " + id} },
		"product": func(id string) store.EventFilter { return store.EventFilter{Product: "product " + id} },
		"service": func(id string) store.EventFilter { return store.EventFilter{Service: "service " + id} },
		"source":  func(id string) store.EventFilter { return store.EventFilter{SourceIP: "10.0.0." + id} },
		"status":  func(id string) store.EventFilter { return store.EventFilter{StatusCode: 400 + int(id[0]-'0')} },
	}
	for name, filter := range fields {
		t.Run(name, func(t *testing.T) {
			for _, scope := range []store.EventScope{{}, {Namespace: "home-o"}, {Namespace: "home-o", NamespaceUID: "uid-o"}, {OrganizationID: "o"}} {
				wantEvents(t, s, store.EventQuery{EventScope: scope, EventFilter: filter("2")}, "2")
				wantEvents(t, s, store.EventQuery{EventScope: scope, Not: filter("2")}, "bare31")
				wantEvents(t, s, store.EventQuery{EventScope: scope, EventFilter: filter("2"), Not: filter("2")}, "")
				wantEvents(t, s, store.EventQuery{EventScope: scope, EventFilter: filter("9")}, "")
				// Of another chain or place there is nothing, by whatever filter.
				elsewhere := store.EventScope{OrganizationID: scope.OrganizationID + "x", Namespace: scope.Namespace, NamespaceUID: scope.NamespaceUID}
				wantEvents(t, s, store.EventQuery{EventScope: elsewhere, EventFilter: filter("2")}, "")
			}
		})
	}
	shared := store.EventFilter{ResourceID: "shared", ResourceName: "shared", ResourceKind: "shared"}
	wantEvents(t, s, store.EventQuery{EventFilter: shared}, "321")
	wantEvents(t, s, store.EventQuery{Not: shared}, "bare")
	// The fields of a filter need not be those of one resource; what is left out says none of its fields.
	wantEvents(t, s, store.EventQuery{EventFilter: store.EventFilter{ResourceID: "shared", ResourceName: "resource name 2"}}, "2")
	wantEvents(t, s, store.EventQuery{Not: store.EventFilter{Method: "Method1", ResourceID: "resource 2"}}, "bare3")
	wantEvents(t, s, store.EventQuery{EventFilter: store.EventFilter{ResourceID: "shared"}, Not: store.EventFilter{StatusCode: 403}}, "21")
}

func testScopes(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	successor := eventOf("o", "2")
	successor.NamespaceUID = "another"
	guest := eventOf("p", "3") // of another Organization, in the same place
	guest.Namespace, guest.NamespaceUID = "home-o", "uid-o"
	appendEvents(t, s, eventOf("o", "1"), successor, guest, eventOf("", "4"), eventOf("p", "5"))
	method := store.EventFilter{Method: "CreateProject"}
	tests := []struct {
		name  string
		scope store.EventScope
		want  string
	}{
		{"everybody", store.EventScope{}, "54321"},
		{"an Organization", store.EventScope{OrganizationID: "o"}, "21"},
		{"none", store.EventScope{OwnChain: true}, "4"},
		{"none, in a place where there is nothing", store.EventScope{OwnChain: true, Namespace: "home-o"}, ""},
		{"a namespace", store.EventScope{Namespace: "home-o"}, "321"},
		{"the namespace that was", store.EventScope{Namespace: "home-o", NamespaceUID: "uid-o"}, "31"},
		{"its successor", store.EventScope{Namespace: "home-o", NamespaceUID: "another"}, "2"},
		{"a UID alone", store.EventScope{NamespaceUID: "another"}, "2"},
		{"an Organization in a namespace", store.EventScope{OrganizationID: "p", Namespace: "home-o"}, "3"},
		{"an Organization in the namespace that was", store.EventScope{OrganizationID: "p", Namespace: "home-o", NamespaceUID: "uid-o"}, "3"},
		{"nobody", store.EventScope{OrganizationID: "O"}, ""},
	}
	for _, test := range tests {
		for _, filter := range []store.EventFilter{{}, method} {
			if got := idsOf(events(t, s, store.EventQuery{EventScope: test.scope, EventFilter: filter})); got != test.want {
				t.Errorf("%s, by %+v: %q, want %q", test.name, filter, got, test.want)
			}
		}
		sealed := raw(t, s, test.scope)
		slices.Reverse(sealed)
		if got := idsOf(sealed); got != test.want {
			t.Errorf("%s: %q are sealed, want %q", test.name, got, test.want)
		}
	}
}

func testTimes(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	// So many that some are far from others, and the clock goes back now and then.
	const count = 3000
	minutes := func(i int) int { return i - 7*(i%5) }
	write(t, s, func(tx store.Tx) error {
		for i := range count {
			e := recorded("o", "e", minutes(i))
			e.ID = e.RecordedAt.String() + string(rune('a'+i%26))
			if err := tx.Append(t.Context(), e); err != nil {
				return err
			}
		}
		return nil
	})
	at := func(minutes int) time.Time { return birth.Add(time.Duration(minutes) * time.Minute) }
	tests := []struct {
		name         string
		since, until time.Time
	}{
		{"since", at(2500), time.Time{}},
		{"since a nanosecond later", at(2500).Add(1), time.Time{}},
		{"until", time.Time{}, at(500)},
		{"between", at(1000), at(1500)},
		{"a minute, in another zone", at(1023).In(time.FixedZone("", 7200)), at(1024)},
		{"none at all", at(1500), at(1000)},
		{"in the future", at(count), time.Time{}},
		{"before all", time.Time{}, at(-100)},
		{"ever", at(-1000), at(2 * count)},
	}
	for _, test := range tests {
		want := 0
		for i := range count {
			if m := at(minutes(i)); !m.Before(test.since) && (test.until.IsZero() || m.Before(test.until)) {
				want++
			}
		}
		got := 0
		for query := (store.EventQuery{Since: test.since, Until: test.until}); ; {
			page := events(t, s, query)
			for _, e := range page {
				if e.RecordedAt.Before(test.since) || !test.until.IsZero() && !e.RecordedAt.Before(test.until) {
					t.Fatalf("%s: there is an event of %s", test.name, e.RecordedAt)
				}
			}
			if got += len(page); len(page) == 0 {
				break
			}
			query.Before = page[len(page)-1].Sequence
		}
		if got != want {
			t.Errorf("%s there are %d events, want %d", test.name, got, want)
		}
	}
}

func testRareMeeting(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	const count = 2500
	write(t, s, func(tx store.Tx) error {
		for i := range count {
			e := eventOf("o", "e"+time.Duration(i).String())
			if e.Method = "Even"; i%2 == 1 {
				e.Method = "Odd"
			}
			if i > 1000 {
				e.StatusCode = 200
			}
			if i == 1200 || i == 1201 || i == 10 {
				e.Principal.Name = "rare"
			}
			if err := tx.Append(t.Context(), e); err != nil {
				return err
			}
		}
		return nil
	})
	for _, scope := range []store.EventScope{{}, {Namespace: "home-o", NamespaceUID: "uid-o"}, {OrganizationID: "o"}} {
		for _, c := range []struct {
			name     string
			filter   store.EventFilter
			not      store.EventFilter
			sequence []int64
		}{
			{"two", store.EventFilter{Method: "Even", PrincipalName: "rare"}, store.EventFilter{}, []int64{1201, 11}},
			{"three", store.EventFilter{Method: "Even", PrincipalName: "rare", StatusCode: 200}, store.EventFilter{}, []int64{1201}},
			{"without most", store.EventFilter{}, store.EventFilter{PrincipalName: "system"}, []int64{1202, 1201, 11}},
			{"one without another", store.EventFilter{PrincipalName: "rare"}, store.EventFilter{Method: "Odd", StatusCode: 200}, []int64{11}},
		} {
			var got []int64
			for _, e := range events(t, s, store.EventQuery{EventScope: scope, EventFilter: c.filter, Not: c.not, Limit: 10}) {
				got = append(got, e.Sequence)
			}
			if !slices.Equal(got, c.sequence) {
				t.Errorf("%s in %+v: %v, want %v", c.name, scope, got, c.sequence)
			}
		}
	}
}
