// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func doorContracts() []contract {
	return []contract{
		{"what was told of a Member comes back as it was, in order", testTold},
		{"what is settled is gone, and what was told since stays", testSettle},
		{"a sequence is never given twice", testSequences},
		{"those who tell at once are all heard", testToldAtOnce},
	}
}

// happened is an event of a Member, so many seconds after birth.
func happened(memberID string, kind iam.MemberEventKind, seconds int) iam.MemberEvent {
	return iam.MemberEvent{MemberID: memberID, Kind: kind, At: birth.Add(time.Duration(seconds) * time.Second)}
}

func tell(t testing.TB, s store.Store, events ...iam.MemberEvent) {
	t.Helper()
	if err := s.Tell(t.Context(), events...); err != nil {
		t.Fatalf("tell: %v", err)
	}
}

func settle(t testing.TB, s store.Store, memberID string, through int64) {
	t.Helper()
	if err := s.Settle(t.Context(), memberID, through); err != nil {
		t.Fatalf("settle: %v", err)
	}
}

func told(t testing.TB, s store.Store, memberID string) []iam.MemberEvent {
	t.Helper()
	events, err := s.Told(t.Context(), memberID)
	if err != nil {
		t.Fatalf("told: %v", err)
	}
	return events
}

func toldAbout(t testing.TB, s store.Store) []string {
	t.Helper()
	ids, err := s.ToldAbout(t.Context())
	if err != nil {
		t.Fatalf("told about: %v", err)
	}
	return ids
}

// wantTold compares what was told of a Member, but for the sequences, which must grow.
func wantTold(t testing.TB, s store.Store, memberID string, want ...iam.MemberEvent) {
	t.Helper()
	got := told(t, s, memberID)
	last := int64(0)
	for i := range got {
		if got[i].Sequence <= last {
			t.Errorf("after %d came %d", last, got[i].Sequence)
		}
		last, got[i].Sequence = got[i].Sequence, 0
	}
	if !slices.Equal(got, want) {
		t.Errorf("of %s was told %+v\nwant %+v", memberID, got, want)
	}
}

func testTold(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	if got := toldAbout(t, s); len(got) > 0 {
		t.Errorf("in a new store was told of %q", got)
	}
	nine := happened("m", iam.LoginFailed, 9)
	nine.Sequence = 99 // is the store's to give
	elsewhere := happened("n", iam.PasswordChanged, 7)
	elsewhere.At = elsewhere.At.In(time.FixedZone("", 3600)) // the same moment
	tell(t, s, nine, happened("z", iam.MFASet, 2), happened("m", iam.LoginFailed, 9))
	tell(t, s, elsewhere)
	tell(t, s, happened("m", iam.LoginSucceeded, 1)) // in the order of the telling, not of the clock
	tell(t, s)
	for range 2 {
		wantTold(t, s, "m", happened("m", iam.LoginFailed, 9), happened("m", iam.LoginFailed, 9), happened("m", iam.LoginSucceeded, 1))
		wantTold(t, s, "n", happened("n", iam.PasswordChanged, 7))
		wantTold(t, s, "M")
		if got := toldAbout(t, s); !slices.Equal(got, []string{"m", "n", "z"}) {
			t.Errorf("was told of %q", got)
		}
		s = h.Reopen(t, s)
	}
}

func testSettle(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	tell(t, s, happened("m", iam.LoginFailed, 1), happened("n", iam.LoginFailed, 2), happened("m", iam.LoginFailed, 3), happened("m", iam.LoginFailed, 4))
	middle := told(t, s, "m")[1].Sequence
	settle(t, s, "m", middle-1)
	wantTold(t, s, "m", happened("m", iam.LoginFailed, 3), happened("m", iam.LoginFailed, 4))
	tell(t, s, happened("m", iam.MFASet, 5)) // since
	settle(t, s, "m", middle)
	settle(t, s, "m", middle) // again
	settle(t, s, "nobody", 1000)
	want := []iam.MemberEvent{happened("m", iam.LoginFailed, 4), happened("m", iam.MFASet, 5)}
	wantTold(t, s, "m", want...)
	wantTold(t, s, "n", happened("n", iam.LoginFailed, 2))
	s = h.Reopen(t, s)
	wantTold(t, s, "m", want...)
	settle(t, s, "m", told(t, s, "m")[1].Sequence)
	wantTold(t, s, "m")
	if got := toldAbout(t, s); !slices.Equal(got, []string{"n"}) {
		t.Errorf("was told of %q", got)
	}
}

func testSequences(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	last := int64(0)
	for i := range 4 {
		tell(t, s, happened("m", iam.LoginFailed, 1), happened("m", iam.LoginFailed, 2))
		got := told(t, s, "m")
		if len(got) != 2 || got[0].Sequence <= last || got[1].Sequence <= got[0].Sequence {
			t.Fatalf("after sequence %d came %+v", last, got)
		}
		// Whoever settles late, by a sequence of long ago, settles nothing of now.
		settle(t, s, "m", last)
		wantTold(t, s, "m", happened("m", iam.LoginFailed, 1), happened("m", iam.LoginFailed, 2))
		last = got[1].Sequence
		settle(t, s, "m", last)
		if i%2 == 1 {
			s = h.Reopen(t, s)
		}
	}
}

func testToldAtOnce(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	const callers, each = 8, 10
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				events := []iam.MemberEvent{happened("all", iam.LoginFailed, caller), happened(fmt.Sprint(caller), iam.LoginFailed, i)}
				if err := s.Tell(t.Context(), events...); err != nil {
					t.Errorf("caller %d: %v", caller, err)
				}
			}
		})
	}
	wg.Wait()
	sequences := map[int64]bool{}
	for _, event := range told(t, s, "all") {
		sequences[event.Sequence] = true
	}
	for caller := range callers {
		var want []iam.MemberEvent
		for i := range each {
			want = append(want, happened(fmt.Sprint(caller), iam.LoginFailed, i))
		}
		wantTold(t, s, fmt.Sprint(caller), want...)
		for _, event := range told(t, s, fmt.Sprint(caller)) {
			sequences[event.Sequence] = true
		}
	}
	if len(sequences) != 2*callers*each {
		t.Errorf("%d tellings have %d sequences", 2*callers*each, len(sequences))
	}
}
