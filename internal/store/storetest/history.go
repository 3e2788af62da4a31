// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// historyContracts are about attributions and the door alike.
func historyContracts() []contract {
	return []contract{
		{"who asked, and what log-in told, is no state", testHistoryIsNoState},
		{"who asked, and what log-in told, wakes those who wait", testHistoryWakes},
		{"what cannot be kept is refused as a whole", testBadHistory},
		{"in a context that has ended nothing is recorded or told", testHistoryEndedContext},
		{"attributions and the door agree with a naive model", testHistoryModel},
	}
}

func testHistoryIsNoState(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	start := revisionOf(t, s)
	put(t, s, organization("o", "acme"), member("o", "m", "ann"))
	before, changes := stateOf(t, s), len(changesAfter(t, s, start))
	steps := []struct {
		name string
		do   func()
	}{
		{"Attribute", func() { attribute(t, s, asked("uid-m", 1, "d", "ann"), askedDeletion("uid-m", "ann")) }},
		{"Tell", func() { tell(t, s, happened("m", iam.LoginFailed, 1)) }},
		{"ForgetAttributions", func() { forget(t, s, "uid-m", 1, "d") }},
		{"Settle", func() { settle(t, s, "m", told(t, s, "m")[0].Sequence) }},
		{"reopening", func() { s = h.Reopen(t, s) }},
	}
	for _, step := range steps {
		step.do()
		if after := stateOf(t, s); after != before {
			t.Errorf("after %s the store holds\n%+v\nwant\n%+v", step.name, after, before)
		}
		if got := len(changesAfter(t, s, start)); got != changes {
			t.Errorf("after %s there are %d changes, want %d", step.name, got, changes)
		}
	}
	if next := put(t, s, member("o", "m", "bea")); next.N != before.revision.N+1 {
		t.Errorf("after %s came %s", before.revision, next)
	}
	// Nor does what is recorded about an object, or told of a Member, go with its entity.
	attribute(t, s, asked("uid-m", 2, "d", "bea"))
	tell(t, s, happened("m", iam.MFASet, 1))
	remove(t, s, iam.KindMember, "m")
	if askers(t, s, "uid-m") != "ann bea" || len(told(t, s, "m")) != 1 {
		t.Errorf("after the deletion are left %q and %+v", askers(t, s, "uid-m"), told(t, s, "m"))
	}
}

func testHistoryWakes(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	for i := range 2 {
		one, two := s.Changed(), s.Changed()
		attribute(t, s, asked("x", int64(i), "d", "ann"))
		await(t, one, "the hint of a record")
		await(t, two, "the hint of a record, to another")
		hint := s.Changed()
		tell(t, s, happened("m", iam.LoginFailed, i))
		await(t, hint, "the hint of a telling")
	}
	// Whoever wakes sees what woke it.
	hint, seen := s.Changed(), make(chan []string, 1)
	go func() {
		<-hint
		ids, err := s.ToldAbout(t.Context())
		if err != nil {
			t.Errorf("told about: %v", err)
		}
		seen <- ids
	}()
	tell(t, s, happened("n", iam.LoginFailed, 1))
	if got := <-seen; !slices.Equal(got, []string{"m", "n"}) {
		t.Errorf("who woke saw %q", got)
	}
}

func testBadHistory(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	for name, call := range map[string]func() error{
		"a record of no object": func() error { return s.Attribute(t.Context(), asked("x", 1, "d", "ann"), asked("", 1, "d", "ann")) },
		"a telling of nobody":   func() error { return s.Tell(t.Context(), happened("m", iam.MFASet, 1), happened("", iam.MFASet, 1)) },
		"a telling of nothing":  func() error { return s.Tell(t.Context(), happened("m", iam.MFASet, 1), happened("m", "", 1)) },
	} {
		if err := call(); err == nil {
			t.Errorf("%s: there was no error", name)
		}
	}
	if askers(t, s, "x") != "" || len(toldAbout(t, s)) > 0 {
		t.Errorf("there are %q and %q", askers(t, s, "x"), toldAbout(t, s))
	}
}

func testHistoryEndedContext(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	attribute(t, s, asked("x", 1, "d", "ann"))
	tell(t, s, happened("m", iam.MFASet, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, call := range []func() error{
		func() error { return s.Attribute(ctx, asked("y", 1, "d", "bea")) },
		func() error { return s.Tell(ctx, happened("n", iam.MFASet, 1)) },
		func() error { return s.ForgetAttributions(ctx, "x", 1, "d") },
		func() error { return s.Settle(ctx, "m", 1000) },
	} {
		wantError(t, call(), context.Canceled)
	}
	attribute(t, s, asked("z", 1, "d", "cem")) // comes after whatever might still be in line
	if askers(t, s, "x") != "ann" || askers(t, s, "y") != "" || !slices.Equal(toldAbout(t, s), []string{"m"}) {
		t.Errorf("there are %q, %q and %q", askers(t, s, "x"), askers(t, s, "y"), toldAbout(t, s))
	}
}

// historyMachine drives the attributions and the door of a store, and a model of them.
type historyMachine struct {
	t       *testing.T
	h       Harness
	s       store.Store
	drawn   int
	records []iam.Attribution
	events  []iam.MemberEvent
	// sequence is the last one that was seen.
	sequence int64
}

var (
	drawGeneration = rapid.Int64Range(1, 4)
	drawDigest     = rapid.SampledFrom([]string{"d", "e", ""})
	drawEvent      = rapid.SampledFrom([]iam.MemberEventKind{iam.LoginSucceeded, iam.LoginFailed, iam.MFASet})
)

func testHistoryModel(t *testing.T, h Harness) {
	x := &historyMachine{t: t, h: h, s: h.Open(t, Options{})}
	prefix := 0
	rapid.Check(t, func(rt *rapid.T) {
		prefix++ // each check has objects and Members of its own
		x.records, x.events = nil, nil
		id := func(rt *rapid.T) string { return fmt.Sprintf("%d-%s", prefix, drawID.Draw(rt, "id")) }
		rt.Repeat(map[string]func(*rapid.T){
			"":          func(rt *rapid.T) { x.compare(rt, prefix) },
			"attribute": func(rt *rapid.T) { x.attribute(rt, id) },
			"forget": func(rt *rapid.T) {
				x.forget(id(rt), drawGeneration.Draw(rt, "generation"), drawDigest.Draw(rt, "digest"))
			},
			"tell":   func(rt *rapid.T) { x.tell(rt, id) },
			"settle": func(rt *rapid.T) { x.settle(id(rt), x.sequence-rapid.Int64Range(-2, 4).Draw(rt, "before")) },
		})
		if rapid.IntRange(0, 19).Draw(rt, "reopen") == 0 {
			x.s = h.Reopen(t, x.s)
			x.compare(rt, prefix)
		}
		for _, event := range x.events { // the next check begins with nothing told
			settle(t, x.s, event.MemberID, event.Sequence)
		}
	})
}

func (x *historyMachine) attribute(rt *rapid.T, id func(*rapid.T) string) {
	var records []iam.Attribution
	for range rapid.IntRange(1, 3).Draw(rt, "records") {
		x.drawn++
		record := asked(id(rt), drawGeneration.Draw(rt, "generation"), drawDigest.Draw(rt, "digest"), fmt.Sprint(x.drawn))
		if rapid.IntRange(0, 3).Draw(rt, "deletion") == 0 {
			record = askedDeletion(record.ObjectUID, record.Requester.Name)
		}
		records = append(records, record)
	}
	attribute(x.t, x.s, records...)
	for _, record := range records {
		second := func(other iam.Attribution) bool { return other.Deletion && other.ObjectUID == record.ObjectUID }
		if !record.Deletion || !slices.ContainsFunc(x.records, second) {
			x.records = append(x.records, record)
		}
	}
}

func (x *historyMachine) forget(uid string, generation int64, digest string) {
	forget(x.t, x.s, uid, generation, digest)
	x.records = slices.DeleteFunc(x.records, func(r iam.Attribution) bool {
		return r.ObjectUID == uid && !r.Deletion && (r.Generation < generation || r.Generation == generation && r.Digest == digest)
	})
}

func (x *historyMachine) tell(rt *rapid.T, id func(*rapid.T) string) {
	var events []iam.MemberEvent
	for range rapid.IntRange(1, 3).Draw(rt, "events") {
		events = append(events, happened(id(rt), drawEvent.Draw(rt, "kind"), rapid.IntRange(0, 9).Draw(rt, "second")))
	}
	tell(x.t, x.s, events...)
	for i, event := range events {
		// What came last of a Member has the place that the store gave it.
		all := told(x.t, x.s, event.MemberID)
		later := 0
		for _, other := range events[i+1:] {
			if other.MemberID == event.MemberID {
				later++
			}
		}
		if len(all) <= later {
			rt.Fatalf("of %s was told %+v only", event.MemberID, all)
		}
		event.Sequence = all[len(all)-1-later].Sequence
		if event.Sequence <= x.sequence {
			rt.Fatalf("after sequence %d came %d", x.sequence, event.Sequence)
		}
		x.sequence = event.Sequence
		x.events = append(x.events, event)
	}
}

func (x *historyMachine) settle(memberID string, through int64) {
	settle(x.t, x.s, memberID, through)
	x.events = slices.DeleteFunc(x.events, func(e iam.MemberEvent) bool { return e.MemberID == memberID && e.Sequence <= through })
}

func (x *historyMachine) compare(rt *rapid.T, prefix int) {
	about := map[string]bool{}
	for _, name := range []string{"a", "b", "c", "A", "ab"} {
		id := fmt.Sprintf("%d-%s", prefix, name)
		var records, wantRecords []string
		for _, record := range attributions(x.t, x.s, id) {
			records = append(records, fmt.Sprintf("%+v", record))
		}
		for _, record := range x.records {
			if record.ObjectUID == id {
				wantRecords = append(wantRecords, fmt.Sprintf("%+v", record))
			}
		}
		if !slices.Equal(records, wantRecords) {
			rt.Fatalf("about %s asked %q\nwant %q", id, records, wantRecords)
		}
		var want []iam.MemberEvent
		for _, event := range x.events {
			if event.MemberID == id {
				about[id], want = true, append(want, event)
			}
		}
		if got := told(x.t, x.s, id); !slices.Equal(got, want) {
			rt.Fatalf("of %s was told %+v\nwant %+v", id, got, want)
		}
	}
	ids := toldAbout(x.t, x.s)
	for _, id := range ids {
		if !about[id] {
			rt.Fatalf("was told of %s: %q", id, ids)
		}
	}
	if len(ids) != len(about) || !slices.IsSorted(ids) {
		rt.Fatalf("was told of %q, want %v", ids, about)
	}
}
