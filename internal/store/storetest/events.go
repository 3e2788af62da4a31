// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func eventContracts() []contract {
	return []contract{
		{"an event comes back as it was", testEventRoundTrip},
		{"events come newest first, without a gap, with their change's revision", testEventOrder},
		{"each filter of events selects", testEventFilters},
		{"events are read in pages", testEventPages},
	}
}

func testEventRoundTrip(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	want := iam.Event{
		ID: "0197e5c8-0000-7000-8000-000000000001", RecordedAt: birth, Organization: iam.EventOrganization{ID: "o", Name: "O"},
		Namespace: "ns", NamespaceUID: "uid", ProjectID: "p", Principal: iam.Actor{Kind: iam.ActorMember, ID: "m", Name: "Ann"},
		KubernetesUser: "ann", SourceIP: iam.Unknown, UserAgent: "kubectl", Product: "iam", Service: "iam", Method: "CreateProject",
		Action: iam.ActionCreated, RequestID: "r", StatusCode: 403, Reason: "needs the verb bind",
		Authorship: &iam.Authorship{
			State: iam.AuthorshipAbsent, FieldManager: "kubectl",
			Authors: []iam.Author{{Generation: 1, KubernetesUser: "ann", At: birth}, {Generation: 2, KubernetesUser: "bea", At: birth.Add(1)}},
		},
		Resources: []iam.EventResource{
			{Kind: iam.KindProject, Type: "account_project", ID: "p", Name: "P", Action: iam.ActionCreated},
			{Kind: iam.KindProject, Type: "account_project", ID: "p", Name: "P", Action: iam.ActionUpdated}, // twice the same id
			{Kind: iam.KindProject, Type: "account_project", Name: "none yet", Action: iam.ActionCreated},
		},
		Change: iam.EventChange{After: json.RawMessage(`{"name":"P"}`)},
	}
	write(t, s, func(tx store.Tx) error { return tx.Append(t.Context(), want) })
	want.Sequence, want.Revision = 1, revisionOf(t, s).String()
	got := events(t, s, store.EventQuery{})
	if len(got) == 1 {
		want.Seal = got[0].Seal // which a contract of its own is about
	}
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func testEventOrder(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	write(t, s, func(tx store.Tx) error { // before any change: of the store as it is
		return tx.Append(t.Context(), event("refused"))
	})
	write(t, s, func(tx store.Tx) error { // of the changes 1 and 2
		for _, id := range []string{"a", "b"} {
			if err := putAll(t.Context(), tx, project("o", id, "P")); err != nil {
				return err
			}
			if err := tx.Append(t.Context(), event("of "+id, id)); err != nil {
				return err
			}
		}
		return nil
	})
	_, _ = s.Write(t.Context(), func(tx store.Tx) error { // takes no sequence
		_ = tx.Append(t.Context(), event("never"))
		return fmt.Errorf("mine")
	})
	write(t, s, func(tx store.Tx) error { return tx.Append(t.Context(), event("later")) })
	incarnation := revisionOf(t, s).Incarnation
	want := []struct {
		id       string
		revision int64
	}{{"later", 2}, {"of b", 2}, {"of a", 1}, {"refused", 0}}
	got := events(t, s, store.EventQuery{})
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i, e := range got {
		revision := store.Revision{Incarnation: incarnation, N: want[i].revision}.String()
		if e.ID != want[i].id || e.Sequence != int64(len(want)-i) || e.Revision != revision {
			t.Errorf("event %d is %q with sequence %d and revision %s; want %q with %d and %s",
				i, e.ID, e.Sequence, e.Revision, want[i].id, len(want)-i, revision)
		}
	}
}

func testEventFilters(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	add := func(e iam.Event) {
		write(t, s, func(tx store.Tx) error { return tx.Append(t.Context(), e) })
	}
	for i, id := range []string{"a", "b", "c"} {
		e := event(id, id, "shared")
		e.Organization.ID, e.Namespace = "o"+id, "ns-"+id
		e.Principal.Name = "User " + id
		e.Method = []string{"CreateProject", "UpdateProject", "UpdateProject"}[i]
		e.Action = []iam.Action{iam.ActionCreated, iam.ActionUpdated, iam.ActionUpdated}[i]
		e.StatusCode = []int{200, 403, 200}[i]
		add(e)
	}
	tests := []struct {
		name  string
		query store.EventQuery
		want  string
	}{
		{"nothing", store.EventQuery{}, "cba"},
		{"Organization", store.EventQuery{EventScope: store.EventScope{OrganizationID: "ob"}}, "b"},
		{"Organization in other case", store.EventQuery{EventScope: store.EventScope{OrganizationID: "OB"}}, ""},
		{"namespace", store.EventQuery{EventScope: store.EventScope{Namespace: "ns-a"}}, "a"},
		{"method", store.EventQuery{EventFilter: store.EventFilter{Method: "UpdateProject"}}, "cb"},
		{"action", store.EventQuery{EventFilter: store.EventFilter{Action: iam.ActionCreated}}, "a"},
		{"principal", store.EventQuery{EventFilter: store.EventFilter{PrincipalName: "User c"}}, "c"},
		{"principal in other case", store.EventQuery{EventFilter: store.EventFilter{PrincipalName: "user c"}}, ""},
		{"status code", store.EventQuery{EventFilter: store.EventFilter{StatusCode: 200}}, "ca"},
		{"no such status code", store.EventQuery{EventFilter: store.EventFilter{StatusCode: 404}}, ""},
		{"resource", store.EventQuery{EventFilter: store.EventFilter{ResourceID: "b"}}, "b"},
		{"a resource of all", store.EventQuery{EventFilter: store.EventFilter{ResourceID: "shared"}}, "cba"},
		{"no such resource", store.EventQuery{EventFilter: store.EventFilter{ResourceID: "x"}}, ""},
		{"before the second", store.EventQuery{Before: 2}, "a"},
		{"a limit", store.EventQuery{Limit: 2}, "cb"},
		{"all at once", store.EventQuery{
			EventScope: store.EventScope{OrganizationID: "ob", Namespace: "ns-b"},
			EventFilter: store.EventFilter{
				Method: "UpdateProject", Action: iam.ActionUpdated, PrincipalName: "User b", ResourceID: "b", StatusCode: 403,
			},
			Before: 3, Limit: 1,
		}, "b"},
		{"two that do not meet", store.EventQuery{EventScope: store.EventScope{OrganizationID: "oa"}, EventFilter: store.EventFilter{ResourceID: "b"}}, ""},
	}
	for _, test := range tests {
		got := ""
		for _, e := range events(t, s, test.query) {
			got += e.ID
		}
		if got != test.want {
			t.Errorf("by %s: %q, want %q", test.name, got, test.want)
		}
	}
	for _, limit := range []int{-1, store.MaxPageSize + 1} {
		if _, err := s.Events(t.Context(), store.EventQuery{Limit: limit}); err == nil {
			t.Errorf("limit %d: there was no error", limit)
		}
	}
}

func testEventPages(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	const count = store.MaxPageSize + 5
	write(t, s, func(tx store.Tx) error {
		for i := range count {
			if err := tx.Append(t.Context(), event(fmt.Sprintf("e%d", i), "r")); err != nil {
				return err
			}
		}
		return nil
	})
	if got := events(t, s, store.EventQuery{}); len(got) != store.MaxPageSize {
		t.Errorf("without a limit there are %d events, want %d", len(got), store.MaxPageSize)
	}
	var sequences []int64
	for query := (store.EventQuery{EventFilter: store.EventFilter{ResourceID: "r"}, Limit: 300}); ; {
		page := events(t, s, query)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			sequences = append(sequences, e.Sequence)
		}
		query.Before = sequences[len(sequences)-1]
		write(t, s, func(tx store.Tx) error { // newer ones do not disturb
			return tx.Append(t.Context(), event(fmt.Sprintf("new%d", query.Before), "r"))
		})
	}
	slices.Reverse(sequences)
	for i, sequence := range sequences {
		if sequence != int64(i+1) {
			t.Fatalf("event %d of the pages has sequence %d", i+1, sequence)
		}
	}
	if len(sequences) != count {
		t.Errorf("the pages have %d events, want %d", len(sequences), count)
	}
}
