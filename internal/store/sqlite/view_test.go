// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func appendEvent(t *testing.T, s *Store, id string, status int) {
	t.Helper()
	_, err := s.Write(t.Context(), func(tx store.Tx) error { return tx.Append(t.Context(), iam.Event{ID: id, StatusCode: status}) })
	if err != nil {
		t.Fatal(err)
	}
}

// wantEvents looks for just these events, newest first.
func wantEvents(t *testing.T, view *View, want ...string) {
	t.Helper()
	events, err := view.Events(t.Context(), store.EventQuery{})
	if err != nil || len(events) != len(want) {
		t.Fatalf("the view gives %+v (%v), want %v", events, err, want)
	}
	for i, event := range events {
		if event.ID != want[i] {
			t.Errorf("event %d is %s, want %s", i, event.ID, want[i])
		}
	}
}

// TestViewFollowsAWriter reads what a store that is open for writing has committed, before
// the view was opened and since, and what is left when the writer has ended.
func TestViewFollowsAWriter(t *testing.T) {
	path := newPath(t)
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	appendEvent(t, s, "first", 200)
	view, err := OpenView(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, view, "first")
	appendEvent(t, s, "second", 403)
	wantEvents(t, view, "second", "first")
	refused, err := view.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{StatusCode: 403}})
	if err != nil || len(refused) != 1 || refused[0].ID != "second" {
		t.Errorf("by its status there is %+v (%v)", refused, err)
	}
	if _, err := view.s.readers.ExecContext(t.Context(), "DELETE FROM audit_events"); err == nil {
		t.Error("a view can write")
	}
	if err := view.Close(); err != nil {
		t.Error(err)
	}
	closeStore(t, s)

	after, err := OpenView(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, after, "second", "first")
	if err := after.Close(); err != nil {
		t.Error(err)
	}
}

// TestViewOfOlderSchema refuses what is not sealed, and leaves the schema as it is.
func TestViewOfOlderSchema(t *testing.T) {
	path := newPath(t)
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	appendEvent(t, s, "old", 200)
	downTo(t, s, 1)
	for range 2 {
		view, err := OpenView(t.Context(), path)
		if err == nil {
			t.Fatal("a view of an older schema opens", view.Close())
		}
		for _, word := range []string{path, "schema 1", "schema 4"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("the error %q does not say %q", err, word)
			}
		}
	}
}

// TestViewMakesNothing refuses a path without a file, and leaves it without one.
func TestViewMakesNothing(t *testing.T) {
	folder := t.TempDir()
	for _, path := range []string{filepath.Join(folder, "iam.db"), filepath.Join(folder, "none", "iam.db")} {
		if view, err := OpenView(t.Context(), path); err == nil {
			t.Error("a view of a missing file opens", view.Close())
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("the view left %v (%v)", left, err)
	}
}
