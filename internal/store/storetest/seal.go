// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func sealContracts() []contract {
	return []contract{
		{"every event is sealed after the one before it in its chain", testSealed},
		{"what was sealed is what is read back", testSealedAsRead},
		{"what is submitted is sealed, takes no revision, and wakes", testSubmit},
		{"those who submit at once share no failure", testSubmitAtOnce},
		{"an event that is refused is not there, and what is around it is", testBadEvents},
		{"checkpoints are kept in the order of their numbers", testCheckpoints},
		{"a cursor stays, and never goes back", testFollowerCursors},
	}
}

// eventOf is an event of an Organization, which is read in the Organization's home.
func eventOf(organization, id string) iam.Event {
	e := event(id)
	e.Organization.ID, e.Namespace, e.NamespaceUID = organization, "home-"+organization, "uid-"+organization
	return e
}

func appendEvents(t testing.TB, s store.Store, all ...iam.Event) {
	t.Helper()
	write(t, s, func(tx store.Tx) error {
		for _, e := range all {
			if err := tx.Append(t.Context(), e); err != nil {
				return err
			}
		}
		return nil
	})
}

func submit(t testing.TB, s store.Store, all ...iam.Event) {
	t.Helper()
	if err := s.Submit(t.Context(), all...); err != nil {
		t.Fatalf("submit: %v", err)
	}
}

// raw gives all events of a scope as they were sealed, in pages of a few.
func raw(t testing.TB, s store.Store, scope store.EventScope) (all []iam.Event) {
	t.Helper()
	there := rangeOf(t, s, scope)
	for after := there.Dropped; ; {
		page, err := s.EventsAfter(t.Context(), scope, after, 3)
		if err != nil {
			t.Fatalf("events after %d: %v", after, err)
		}
		if len(page) == 0 {
			return all
		}
		all, after = append(all, page...), page[len(page)-1].Sequence
	}
}

func rangeOf(t testing.TB, s store.Store, scope store.EventScope) store.EventRange {
	t.Helper()
	there, err := s.EventRange(t.Context(), scope)
	if err != nil {
		t.Fatalf("event range: %v", err)
	}
	return there
}

func headsOf(t testing.TB, s store.Store) (heads []iam.ChainHead) {
	t.Helper()
	write(t, s, func(tx store.Tx) (err error) {
		heads, err = tx.ChainHeads(t.Context())
		return err
	})
	return heads
}

func idsOf(all []iam.Event) (ids string) {
	for _, e := range all {
		ids += e.ID
	}
	return ids
}

// wantChains follows each chain from what retention has left of it to its head.
func wantChains(t testing.TB, s store.Store) {
	t.Helper()
	heads := headsOf(t, s)
	var all []iam.Event
	for _, head := range heads { // each by itself: retention may have come further in another
		all = append(all, raw(t, s, store.EventScope{OrganizationID: head.OrganizationID, OwnChain: head.OrganizationID == ""})...)
	}
	if err := checkChains(heads, all, revisionOf(t, s).Incarnation); err != nil {
		t.Error(err)
	}
}

func checkChains(heads []iam.ChainHead, all []iam.Event, incarnation string) error {
	newest := map[string]iam.ChainHead{}
	for _, head := range heads {
		if head.DroppedSequence == 0 && head.DroppedHash != iam.GenesisHash(incarnation, head.OrganizationID) {
			return fmt.Errorf("the chain of %q does not begin with its genesis", head.OrganizationID)
		}
		newest[head.OrganizationID] = iam.ChainHead{Sequence: head.DroppedSequence, Hash: head.DroppedHash}
	}
	for _, e := range all {
		content, err := e.ContentHash()
		if err != nil {
			return err
		}
		before, there := newest[e.Organization.ID]
		if want := iam.SealAfter(before.Hash, content); !there || e.Seal != want || e.Sequence <= before.Sequence {
			return fmt.Errorf("after %d event %d of %q has the seal %v, want %v", before.Sequence, e.Sequence, e.Organization.ID, e.Seal, want)
		}
		newest[e.Organization.ID] = iam.ChainHead{Sequence: e.Sequence, Hash: e.Seal.Hash}
	}
	for _, head := range heads {
		if at := newest[head.OrganizationID]; at.Sequence != head.Sequence || at.Hash != head.Hash {
			return fmt.Errorf("the chain of %q ends with %+v, and its head is %+v", head.OrganizationID, at, head)
		}
	}
	return nil
}

func testSealed(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	if heads := headsOf(t, s); len(heads) > 0 {
		t.Errorf("a new store has the chains %+v", heads)
	}
	appendEvents(t, s, eventOf("b", "1"), eventOf("a", "2"), eventOf("b", "3"))
	_, err := s.Write(t.Context(), func(tx store.Tx) error { // which never was
		return errors.Join(tx.Append(t.Context(), eventOf("b", "x")), errMine)
	})
	wantError(t, err, errMine)
	appendEvents(t, s, eventOf("", "4"))
	put(t, s, project("o", "p", "P")) // for a revision
	appendEvents(t, s, eventOf("b", "5"))
	for range 2 {
		wantChains(t, s)
		var chains []string
		for _, head := range headsOf(t, s) {
			chains = append(chains, head.OrganizationID)
		}
		if !slices.Equal(chains, []string{"", "a", "b"}) {
			t.Errorf("the chains are %q", chains)
		}
		if got := idsOf(raw(t, s, store.EventScope{OrganizationID: "b"})); got != "135" {
			t.Errorf("the chain of b has the events %q", got)
		}
		s = h.Reopen(t, s)
	}
	appendEvents(t, s, eventOf("a", "6"))
	wantChains(t, s)
}

func testSealedAsRead(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	zone := time.FixedZone("somewhere", -5*3600)
	odd := map[string]func(e *iam.Event){
		"times in zones": func(e *iam.Event) {
			e.RecordedAt = birth.In(zone)
			e.Authorship = &iam.Authorship{Authors: []iam.Author{{At: time.Now().In(zone)}, {At: time.Now()}}}
		},
		"HTML":              func(e *iam.Event) { e.UserAgent, e.Reason = "<b>&amp;</b>", "\u2028" },
		"no UTF-8":          func(e *iam.Event) { e.Principal.Name, e.Resources = "a\xffb", []iam.EventResource{{Name: "\xc3("}} },
		"control":           func(e *iam.Event) { e.Method = "a\x00b\n\"\\" },
		"no resources":      func(e *iam.Event) { e.Resources = []iam.EventResource{} },
		"no time":           func(e *iam.Event) { e.RecordedAt = time.Time{} },
		"a change":          func(e *iam.Event) { e.Change.After = json.RawMessage("{ \"b\": 1e400,\n \"a\":\"<\", \"a\": null }") },
		"a change of null":  func(e *iam.Event) { e.Change.Before = json.RawMessage("null") },
		"a seal of its own": func(e *iam.Event) { e.Seal.Hash[0], e.Sequence, e.Revision = 7, 99, "mine" },
	}
	for name, change := range odd {
		e := eventOf("o", name)
		change(&e)
		appendEvents(t, s, e)
		wantChains(t, s)
	}
	late := eventOf("o", "late")
	late.RecordedAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	bad := eventOf("o", "bad")
	bad.Change.After = json.RawMessage("{")
	for _, e := range []iam.Event{late, bad} {
		var refused *store.BadEventError
		if err := s.Submit(t.Context(), e); !errors.As(err, &refused) || refused.ID != e.ID {
			t.Errorf("what cannot be encoded gives the error %v", err)
		}
	}
	s = h.Reopen(t, s)
	wantChains(t, s)
	if got := len(events(t, s, store.EventQuery{})); got != len(odd) {
		t.Errorf("there are %d events, want %d", got, len(odd))
	}
}

func testSubmit(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	last := put(t, s, project("o", "a", "A"))
	hint := s.Changed()
	submit(t, s, eventOf("o", "1"), eventOf("p", "2"))
	await(t, hint, "the hint of what was submitted")
	submit(t, s)
	for range 2 {
		got := raw(t, s, store.EventScope{})
		if idsOf(got) != "12" || got[1].Sequence != 2 || got[1].Revision != last.String() || revisionOf(t, s) != last {
			t.Errorf("the store is at %s and has %+v", revisionOf(t, s), got)
		}
		wantChains(t, s)
		s = h.Reopen(t, s)
	}
}

func testSubmitAtOnce(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	const callers, each = 8, 10
	submit(t, s, eventOf("o", "taken"))
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				good := eventOf(fmt.Sprint("o", caller%3), fmt.Sprintf("%d-%d", caller, i))
				if err := s.Submit(t.Context(), good); err != nil {
					t.Errorf("caller %d: %v", caller, err)
				}
				var bad *store.BadEventError
				err := s.Submit(t.Context(), eventOf("o", fmt.Sprintf("never %d-%d", caller, i)), eventOf("o", "taken"))
				if !errors.As(err, &bad) || !bad.Known || bad.ID != "taken" {
					t.Errorf("an event that is there already gives the error %v", err)
				}
			}
		})
	}
	wg.Wait()
	got := raw(t, s, store.EventScope{})
	if len(got) != callers*each+1 || got[len(got)-1].Sequence != int64(len(got)) {
		t.Errorf("there are %d events, the newest %+v", len(got), got[len(got)-1])
	}
	wantChains(t, s)
}

func testBadEvents(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	appendEvents(t, s, eventOf("o", "1"))
	write(t, s, func(tx store.Tx) error {
		for name, bad := range map[string]iam.Event{"no id": {}, "an id that is taken": eventOf("p", "1")} {
			err := tx.Append(t.Context(), bad)
			var refused *store.BadEventError
			if !errors.As(err, &refused) || refused.ID != bad.ID || refused.Known != (bad.ID != "") || refused.Reason == "" {
				t.Errorf("%s: the error is %v", name, err)
			}
		}
		return tx.Append(t.Context(), eventOf("o", "2"))
	})
	got := raw(t, s, store.EventScope{})
	if idsOf(got) != "12" || got[1].Sequence != 2 {
		t.Errorf("there are %+v", got)
	}
	wantChains(t, s)
}

func checkpoint(number int64) iam.Checkpoint {
	return iam.Checkpoint{
		Number: number, Incarnation: "i", Previous: iam.Hash{byte(number)}, Sequence: number * 10, At: birth.In(time.FixedZone("", 3600)),
		Heads: []iam.ChainHead{{OrganizationID: "o", Sequence: number, Hash: iam.Hash{1, 2, 3}}}, Full: number%2 == 0, KeyID: "key", Signature: []byte{4, 5},
	}
}

func testCheckpoints(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	_, err := s.LastCheckpoint(t.Context())
	wantError(t, err, store.ErrNotFound)
	add := func(number int64) error {
		_, err := s.Write(t.Context(), func(tx store.Tx) error { return tx.AppendCheckpoint(t.Context(), checkpoint(number)) })
		return err
	}
	drop := func(number int64, limit int) {
		write(t, s, func(tx store.Tx) error { return tx.DropCheckpoints(t.Context(), number, limit) })
	}
	want := func(after int64, limit int, numbers ...int64) {
		t.Helper()
		got, err := s.Checkpoints(t.Context(), after, limit)
		var found []int64
		for _, c := range got {
			found = append(found, c.Number)
			a, errA := c.Hash()
			if b, errB := checkpoint(c.Number).Hash(); a != b || errors.Join(errA, errB) != nil {
				t.Errorf("checkpoint %d is read as %+v", c.Number, c)
			}
		}
		if err != nil || !slices.Equal(found, numbers) {
			t.Errorf("after %d there are the checkpoints %v (%v), want %v", after, found, err, numbers)
		}
	}
	for number := int64(1); number <= 5; number++ {
		if err := add(number); err != nil {
			t.Fatal(err)
		}
		if add(number) == nil || add(number+2) == nil {
			t.Errorf("after checkpoint %d another came than the next", number)
		}
	}
	want(0, 0, 1, 2, 3, 4, 5)
	want(2, 2, 3, 4)
	drop(4, 2)
	want(0, 0, 3, 4, 5)
	drop(4, 100)
	drop(4, -1)
	want(0, 0, 4, 5)
	s = h.Reopen(t, s)
	if last, err := s.LastCheckpoint(t.Context()); err != nil || last.Number != 5 {
		t.Errorf("the last checkpoint is %+v (%v)", last, err)
	}
	drop(100, 100)
	want(0, 0)
	s = h.Reopen(t, s)
	if add(1) == nil || add(6) != nil {
		t.Error("a number was given twice")
	}
	want(0, 0, 6)
}

func testFollowerCursors(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	want := func(name string, sequence int64) {
		t.Helper()
		if got, err := s.Cursor(t.Context(), name); err != nil || got != sequence {
			t.Errorf("the cursor %s is at %d (%v), want %d", name, got, err, sequence)
		}
	}
	move := func(name string, sequence int64) {
		t.Helper()
		if err := s.MoveCursor(t.Context(), name, sequence); err != nil {
			t.Errorf("move the cursor %s: %v", name, err)
		}
	}
	want("a", 0)
	move("a", 5)
	move("a", 3)
	move("b", 0)
	move("A", 1)
	want("a", 5)
	move("a", 6)
	s = h.Reopen(t, s)
	for name, sequence := range map[string]int64{"a": 6, "b": 0, "A": 1, "c": 0} {
		want(name, sequence)
	}
}
