// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// logged makes a file with four events, of which the second gives the first one's origin, and closes it.
func logged(t *testing.T) (path string) {
	t.Helper()
	path = newPath(t)
	s := open(t, Options{Path: path})
	at := time.Date(2026, time.October, 1, 0, 0, 0, 0, time.UTC)
	for i := range 4 {
		e := iam.Event{
			ID: fmt.Sprint("e", i+1), RecordedAt: at.Add(time.Duration(i) * time.Hour), Namespace: "n", NamespaceUID: "u",
			Organization: iam.EventOrganization{ID: "o"}, Method: "CreatePolicy", SourceIP: iam.Unknown, StatusCode: 200,
			Resources: []iam.EventResource{{ID: "r"}},
		}
		if i == 1 {
			e.Origin = &iam.EventOrigin{EventID: "e1", EventSequence: 1, SourceIP: "10.0.0.1", UserAgent: "kubectl"}
		}
		if err := s.Submit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	return path
}

// wantUnlisted looks for the first event that the index does not show as it is; zero for none.
func wantUnlisted(t *testing.T, path string, want int64) {
	t.Helper()
	view, err := OpenView(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := view.Unlisted(t.Context()); err != nil || got != want {
		t.Errorf("unlisted is %d (%v), want %d", got, err, want)
	}
	if err := view.Close(); err != nil {
		t.Error(err)
	}
}

// TestUnlisted alters what is beside the events, one thing at a time.
func TestUnlisted(t *testing.T) {
	wantUnlisted(t, logged(t), 0)
	tests := []struct {
		name  string
		alter string
		want  int64
	}{
		{"a time in its column", "UPDATE audit_events SET recorded_at = recorded_at + 1 WHERE sequence = 3", 3},
		{"a time in its block", "UPDATE audit_blocks SET max_at = max_at - 1", 4},
		{"no block", "DELETE FROM audit_blocks", 1},
		{"no index", "DELETE FROM audit_index", 1},
		{"an event out of the index", "DELETE FROM audit_index WHERE sequence = 4", 4},
		{"an origin out of the index", "DELETE FROM audit_index WHERE sequence = 2", 2},
		{"an origin taken away", "DELETE FROM audit_origins", 1},
		{"an origin of another", "UPDATE audit_origins SET event_sequence = 3", 1},
		{"another event as origin", "UPDATE audit_origins SET origin_sequence = 4", 1},
		{"an origin that is not there", "UPDATE audit_origins SET origin_sequence = 9", 1},
		{"an origin more", "INSERT INTO audit_origins (event_sequence, origin_sequence) VALUES (4, 2)", 4},
		{"an event that cannot be read", "UPDATE audit_events SET body = '{' WHERE sequence = 3", 3},
		{"an event that says something else", "UPDATE audit_events SET body = replace(body, 'CreatePolicy', 'DeletePolicy') WHERE sequence = 3", 3},
		{"an event that the index has no word of", "UPDATE audit_events SET sequence = 5 WHERE sequence = 3; UPDATE audit_chains SET sequence = 5", 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := logged(t)
			alter(t, path, test.alter)
			wantUnlisted(t, path, test.want)
		})
	}
}

// TestStray adds an event that is in all lists, and in no chain.
func TestStray(t *testing.T) {
	const next = "INSERT INTO audit_events SELECT 5, recorded_at, revision, previous, hash, body FROM audit_events WHERE sequence = 4; " +
		"INSERT INTO audit_index SELECT term, 5 FROM audit_index WHERE sequence = 4"
	tests := []struct {
		name   string
		alter  string
		want   int64
		reason string
	}{
		{"above the head", next, 5, "the chain ends with event 4"},
		{"below what retention has removed", "UPDATE audit_chains SET dropped_sequence = 3", 1, "retention has removed all of the chain up to event 3"},
		{"of no chain", "DELETE FROM audit_chains", 1, "there is no such chain in the list of chains"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := logged(t)
			alter(t, path, test.alter)
			view, err := OpenView(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer view.Close()
			var stray *store.StrayEventError
			if _, err := view.Unlisted(t.Context()); !errors.As(err, &stray) || stray.Sequence != test.want || stray.OrganizationID != "o" || stray.Reason != test.reason {
				t.Errorf("found %v, want event %d: %s", err, test.want, test.reason)
			}
		})
	}
}

// TestUnlistedEach takes each row out of the index by itself.
func TestUnlistedEach(t *testing.T) {
	path := logged(t)
	s := open(t, Options{Path: path})
	var count int
	if err := queryOne(t.Context(), s, "SELECT count(*) FROM audit_index", nil, &count); err != nil || count < 40 {
		t.Fatalf("the index has %d rows (%v)", count, err)
	}
	for i := range count {
		var term, sequence int64
		err := queryOne(t.Context(), s, "SELECT term, sequence FROM audit_index ORDER BY term, sequence LIMIT 1 OFFSET ?", []any{i}, &term, &sequence)
		if err != nil {
			t.Fatal(err)
		}
		run := func(text string) {
			if _, err := s.writers.ExecContext(t.Context(), text, term, sequence); err != nil {
				t.Fatal(err)
			}
		}
		run("DELETE FROM audit_index WHERE term = ? AND sequence = ?")
		if got, err := s.unlisted(t.Context()); err != nil || got != sequence {
			t.Errorf("without term %d of event %d unlisted is %d (%v)", term, sequence, got, err)
		}
		run("INSERT INTO audit_index (term, sequence) VALUES (?, ?)")
	}
}

// TestUnreadable says which event cannot be read, and goes on with the others.
func TestUnreadable(t *testing.T) {
	path := logged(t)
	alter(t, path, "UPDATE audit_events SET body = '[]' WHERE sequence = 3")
	s := open(t, Options{Path: path})
	_, errAfter := s.EventsAfter(t.Context(), store.EventScope{}, 0, 10)
	_, errEvents := s.Events(t.Context(), store.EventQuery{})
	for _, err := range []error{errAfter, errEvents} {
		var unreadable *store.UnreadableEventError
		if !errors.As(err, &unreadable) || unreadable.Sequence != 3 {
			t.Errorf("the error is %v", err)
		}
	}
	if found, err := s.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ID: "e4"}}); err != nil || len(found) != 1 {
		t.Errorf("the next event is %+v (%v)", found, err)
	}
	if found, err := s.EventsAfter(t.Context(), store.EventScope{OrganizationID: "o"}, 3, 10); err != nil || len(found) != 1 {
		t.Errorf("after it comes %+v (%v)", found, err)
	}
}

// TestSameTerm selects what is meant, and nothing else, where two facets share a term.
func TestSameTerm(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	key := s.key
	taken := map[int64]string{}
	var a, b string
	for i := 0; b == ""; i++ { // by the birthday paradox there is one among some hundred thousand
		id := fmt.Sprint("r", i)
		term := key.term("", facet{"resourceID", id})
		if other, ok := taken[term]; ok {
			a, b = other, id
		}
		taken[term] = id
	}
	for i, id := range []string{a, b, a} {
		appendOne(t, s, iam.Event{ID: fmt.Sprint("e", i), Resources: []iam.EventResource{{ID: id}}})
	}
	for id, want := range map[string]int{a: 2, b: 1} {
		for _, limit := range []int{1, 2, 10} {
			found, err := s.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ResourceID: id}, Limit: limit})
			if err != nil || len(found) != min(want, limit) || found[0].Resources[0].ID != id {
				t.Errorf("by resource %s, at most %d, there are %+v (%v)", id, limit, found, err)
			}
		}
		found, err := s.Events(t.Context(), store.EventQuery{Not: store.EventFilter{ResourceID: id}})
		if err != nil || len(found) != 3-want {
			t.Errorf("without resource %s there are %+v (%v)", id, found, err)
		}
	}
}

func appendOne(t *testing.T, s *Store, e iam.Event) {
	t.Helper()
	_, err := s.Write(t.Context(), func(tx store.Tx) error { return tx.Append(t.Context(), e) })
	if err != nil {
		t.Fatal(err)
	}
}
