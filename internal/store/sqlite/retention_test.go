// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// TestSameTermOfChains drops all that is due of a chain, and nothing else, where another chain's events share its term.
func TestSameTermOfChains(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	old := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	for i, e := range []struct {
		chain string
		hours int
	}{{"b", 9}, {"b", 0}, {"b", 0}, {"a", 0}, {"b", 9}, {"a", 0}, {"a", 9}} {
		appendOne(t, s, iam.Event{
			ID: fmt.Sprint("e", i+1), RecordedAt: old.Add(time.Duration(e.hours) * time.Hour), Organization: iam.EventOrganization{ID: e.chain},
		})
	}
	term := s.key.term("", facet{listChain, "a"})
	for _, sequence := range []int64{1, 2, 3, 5} {
		_, err := s.Write(t.Context(), func(tx store.Tx) error {
			tx.(*transaction).appended = true // or nothing is committed
			return tx.(*transaction).exec(t.Context(), "INSERT INTO audit_index (term, sequence) VALUES (?, ?)", term, sequence)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var dropped []int64
	for more := true; more; {
		_, err := s.Write(t.Context(), func(tx store.Tx) error {
			batch, err := tx.DropEvents(t.Context(), "a", old.Add(time.Hour), 2)
			if more = batch.Count > 0; more {
				dropped = append(dropped, batch.Last)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(dropped, []int64{4, 6}) {
		t.Errorf("dropped up to %v, want 4 and then 6", dropped)
	}
	left, err := s.EventsAfter(t.Context(), store.EventScope{OrganizationID: "b"}, 0, 10)
	if err != nil || len(left) != 4 {
		t.Errorf("of the other chain are left %+v (%v)", left, err)
	}
}
