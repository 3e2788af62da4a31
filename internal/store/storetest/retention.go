// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func retentionContracts() []contract {
	return []contract{
		{"retention removes the oldest of one chain, without a gap", testDrop},
		{"what retention removed is known by scope", testDropScopes},
		{"what retention removed is counted until it is told", testTakeDropped},
		{"no sequence is given twice, whatever retention removes", testDropAll},
		{"an origin that becomes known later is shown, and found by", testOrigins},
		{"an origin of what cannot have one is refused", testBadOrigins},
		{"an event goes with its origin, which goes after it", testDropOrigins},
	}
}

// recorded is an event of an Organization, so many minutes after birth.
func recorded(organization, id string, minutes int) iam.Event {
	e := eventOf(organization, id)
	e.RecordedAt = birth.Add(time.Duration(minutes) * time.Minute)
	return e
}

func dropEvents(t testing.TB, s store.Store, organization string, minutes, limit int) (dropped store.Dropped) {
	t.Helper()
	write(t, s, func(tx store.Tx) (err error) {
		dropped, err = tx.DropEvents(t.Context(), organization, birth.Add(time.Duration(minutes)*time.Minute), limit)
		return err
	})
	return dropped
}

func wantEvents(t testing.TB, s store.Store, query store.EventQuery, ids string) {
	t.Helper()
	if got := idsOf(events(t, s, query)); got != ids {
		t.Errorf("%+v gives the events %q, want %q", query, got, ids)
	}
}

func testDrop(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	appendEvents(t, s, recorded("a", "1", 1), recorded("b", "2", 1), recorded("a", "3", 2), recorded("a", "4", 9),
		recorded("a", "5", 3), recorded("", "6", 1))
	at := func(minutes int) time.Time { return birth.Add(time.Duration(minutes) * time.Minute) }
	steps := []struct {
		name           string
		organization   string
		minutes, limit int
		want           store.Dropped
		left           string
	}{
		{"nothing so old", "a", 1, 10, store.Dropped{}, "654321"},
		{"no such chain", "c", 10, 10, store.Dropped{}, "654321"},
		{"a limit of none", "a", 10, 0, store.Dropped{}, "654321"},
		{"a limit", "a", 10, 1, store.Dropped{Count: 1, First: 1, Last: 1, FirstAt: at(1), LastAt: at(1)}, "65432"},
		{"up to the first that is not so old", "a", 9, 10, store.Dropped{Count: 1, First: 3, Last: 3, FirstAt: at(2), LastAt: at(2)}, "6542"},
		{"again", "a", 9, 10, store.Dropped{}, "6542"},
		{"the chain of what belongs to none", "", 9, 10, store.Dropped{Count: 1, First: 6, Last: 6, FirstAt: at(1), LastAt: at(1)}, "542"},
		{"the rest", "a", 10, 10, store.Dropped{Count: 2, First: 4, Last: 5, FirstAt: at(9), LastAt: at(3)}, "2"},
	}
	for _, step := range steps {
		if got := dropEvents(t, s, step.organization, step.minutes, step.limit); got != step.want {
			t.Errorf("%s: dropped %+v, want %+v", step.name, got, step.want)
		}
		wantEvents(t, s, store.EventQuery{}, step.left)
		wantEvents(t, s, store.EventQuery{EventFilter: store.EventFilter{Method: "CreateProject"}}, step.left)
		wantChains(t, s)
	}
	_, err := s.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.DropEvents(t.Context(), "b", at(10), 10)
		return errors.Join(err, errMine)
	})
	wantError(t, err, errMine)
	s = h.Reopen(t, s)
	wantEvents(t, s, store.EventQuery{}, "2")
	wantChains(t, s)
	appendEvents(t, s, recorded("a", "7", 20), eventOf("b", "1")) // what is gone may come again
	wantChains(t, s)
}

func takeDropped(t testing.TB, s store.Store, organization string) (dropped store.Dropped) {
	t.Helper()
	write(t, s, func(tx store.Tx) (err error) {
		dropped, err = tx.TakeDropped(t.Context(), organization)
		return err
	})
	return dropped
}

func wantUntold(t testing.TB, s store.Store, want ...string) {
	t.Helper()
	var got []string
	write(t, s, func(tx store.Tx) (err error) {
		got, err = tx.UntoldChains(t.Context())
		return err
	})
	if !slices.Equal(got, want) {
		t.Errorf("something was removed and not told of the chains %q, want %q", got, want)
	}
}

func testTakeDropped(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	news := recorded("b", "5", 1)
	news.Method = store.MethodDropAuditEvents
	more := recorded("b", "6", 2)
	more.Method = store.MethodDropAuditEvents
	appendEvents(t, s, recorded("a", "1", 1), recorded("", "2", 1), recorded("a", "3", 2), recorded("a", "4", 3), news, more, recorded("b", "7", 3))
	at := func(minutes int) time.Time { return birth.Add(time.Duration(minutes) * time.Minute).UTC() }
	wantUntold(t, s)
	dropEvents(t, s, "a", 9, 1)
	dropEvents(t, s, "a", 9, 1)
	dropEvents(t, s, "a", 1, 1) // nothing
	dropEvents(t, s, "b", 9, 1)
	dropEvents(t, s, "b", 9, 1)
	_, err := s.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.TakeDropped(t.Context(), "a")
		return errors.Join(err, errMine)
	})
	wantError(t, err, errMine)
	s = h.Reopen(t, s)
	wantUntold(t, s, "a")
	for _, step := range []struct {
		name, chain string
		want        store.Dropped
	}{
		{"of two batches", "a", store.Dropped{Count: 2, First: 1, Last: 3, FirstAt: at(1), LastAt: at(2)}},
		{"again", "a", store.Dropped{}},
		{"of which nothing was removed", "", store.Dropped{}},
		{"that never was", "c", store.Dropped{}},
		{"of which the news were removed", "b", store.Dropped{}},
	} {
		if got := takeDropped(t, s, step.chain); got != step.want {
			t.Errorf("of a chain %s %+v was removed, want %+v", step.name, got, step.want)
		}
	}
	wantUntold(t, s)
	dropEvents(t, s, "a", 9, 10)
	dropEvents(t, s, "b", 9, 10)
	wantUntold(t, s, "a", "b")
	if got := takeDropped(t, s, "a"); got != (store.Dropped{Count: 1, First: 4, Last: 4, FirstAt: at(3), LastAt: at(3)}) {
		t.Errorf("after what was told %+v was removed", got)
	}
	if got := takeDropped(t, s, "b"); got != (store.Dropped{Count: 3, First: 5, Last: 7, FirstAt: at(1), LastAt: at(3)}) {
		t.Errorf("with the news that went before %+v was removed", got)
	}
	wantChains(t, s)
}

func testDropScopes(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	again := recorded("a", "3", 3)
	again.NamespaceUID = "another"
	appendEvents(t, s, recorded("a", "1", 1), recorded("b", "2", 1), again, recorded("", "4", 1), recorded("b", "5", 5))
	dropEvents(t, s, "a", 10, 1)
	tests := []struct {
		name    string
		scope   store.EventScope
		dropped int64
	}{
		{"everybody", store.EventScope{}, 1},
		{"the Organization", store.EventScope{OrganizationID: "a"}, 1},
		{"another", store.EventScope{OrganizationID: "b"}, 0},
		{"none", store.EventScope{OwnChain: true}, 0},
		{"the namespace", store.EventScope{Namespace: "home-a"}, 1},
		{"the namespace that was", store.EventScope{Namespace: "home-a", NamespaceUID: "uid-a"}, 1},
		{"its successor", store.EventScope{Namespace: "home-a", NamespaceUID: "another"}, 0},
		{"another namespace", store.EventScope{Namespace: "home-b"}, 0},
	}
	for _, test := range tests {
		if got := rangeOf(t, s, test.scope); got != (store.EventRange{Newest: 5, Dropped: test.dropped}) {
			t.Errorf("%s: the range is %+v, want %d dropped", test.name, got, test.dropped)
		}
		_, err := s.EventsAfter(t.Context(), test.scope, 0, 10)
		if gone := errors.Is(err, store.ErrEventsGone); gone != (test.dropped > 0) || err != nil && !gone {
			t.Errorf("%s: after 0 there is the error %v", test.name, err)
		}
		if _, err := s.EventsAfter(t.Context(), test.scope, 1, 10); err != nil {
			t.Errorf("%s: after 1: %v", test.name, err)
		}
	}
	dropEvents(t, s, "", 10, 10)
	if got := rangeOf(t, s, store.EventScope{OwnChain: true}); got.Dropped != 4 {
		t.Errorf("the range of what belongs to none is %+v", got)
	}
	dropEvents(t, s, "b", 3, 10)
	s = h.Reopen(t, s)
	for scope, want := range map[store.EventScope]int64{{}: 4, {OrganizationID: "b"}: 2, {Namespace: "home-b", NamespaceUID: "uid-b"}: 2} {
		if got := rangeOf(t, s, scope); got.Dropped != want {
			t.Errorf("of %+v is dropped up to %d, want %d", scope, got.Dropped, want)
		}
	}
}

func testDropAll(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	if got := rangeOf(t, s, store.EventScope{}); got != (store.EventRange{}) {
		t.Errorf("a new store has the range %+v", got)
	}
	for i := int64(1); i <= 4; i++ {
		appendEvents(t, s, recorded("a", fmt.Sprint(i), 1))
		dropEvents(t, s, "a", 2, 10)
		wantEvents(t, s, store.EventQuery{}, "")
		if i%2 == 0 {
			s = h.Reopen(t, s)
		}
		if got := rangeOf(t, s, store.EventScope{}); got != (store.EventRange{Newest: i, Dropped: i}) {
			t.Errorf("the range is %+v, want %d", got, i)
		}
		wantChains(t, s)
	}
}

// originOf is an event that gives another's origin.
func originOf(e iam.Event, id, ip, agent string) iam.Event {
	origin := e
	origin.ID, origin.Method, origin.RequestID, origin.Resources = id, "", "", nil
	origin.Origin = &iam.EventOrigin{EventID: e.ID, EventSequence: e.Sequence, SourceIP: ip, UserAgent: agent}
	return origin
}

// known is an event that says nothing of its source, as it was sealed.
func known(t testing.TB, s store.Store, id string) iam.Event {
	t.Helper()
	found := events(t, s, store.EventQuery{EventFilter: store.EventFilter{ID: id}})
	if len(found) != 1 {
		t.Fatalf("of event %s there are %+v", id, found)
	}
	return found[0]
}

func testOrigins(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	for _, id := range []string{"1", "2"} {
		e := eventOf("o", id)
		e.SourceIP, e.UserAgent, e.RequestID = iam.Unknown, iam.Unknown, "request "+id
		appendEvents(t, s, e)
	}
	submit(t, s, originOf(known(t, s, "1"), "3", "10.0.0.7", "kubectl"))
	appendEvents(t, s, eventOf("o", "4"))
	scope := store.EventScope{Namespace: "home-o", NamespaceUID: "uid-o"}
	for range 2 {
		for name, c := range map[string]struct {
			query store.EventQuery
			want  string
		}{
			"nothing":          {store.EventQuery{}, "421"},
			"its scope":        {store.EventQuery{EventScope: scope}, "421"},
			"its chain":        {store.EventQuery{EventScope: store.EventScope{OrganizationID: "o"}}, "421"},
			"the source":       {store.EventQuery{EventFilter: store.EventFilter{SourceIP: "10.0.0.7"}}, "1"},
			"its scope's":      {store.EventQuery{EventScope: scope, EventFilter: store.EventFilter{SourceIP: "10.0.0.7"}}, "1"},
			"unknown":          {store.EventQuery{EventFilter: store.EventFilter{SourceIP: iam.Unknown}}, "2"},
			"unknown here":     {store.EventQuery{EventScope: scope, EventFilter: store.EventFilter{SourceIP: iam.Unknown}}, "2"},
			"not the source":   {store.EventQuery{Not: store.EventFilter{SourceIP: "10.0.0.7"}}, "42"},
			"the request":      {store.EventQuery{EventFilter: store.EventFilter{RequestID: "request 1"}}, "1"},
			"the origin's own": {store.EventQuery{EventFilter: store.EventFilter{ID: "3"}}, ""},
		} {
			if got := idsOf(events(t, s, c.query)); got != c.want {
				t.Errorf("by %s there are %q, want %q", name, got, c.want)
			}
		}
		if got := known(t, s, "1"); got.SourceIP != "10.0.0.7" || got.UserAgent != "kubectl" || got.Sequence != 1 {
			t.Errorf("the event with its origin is %+v", got)
		}
		for _, scope := range []store.EventScope{{}, scope, {OrganizationID: "o"}, {Namespace: "home-o"}} {
			got := raw(t, s, scope)
			if idsOf(got) != "1234" || got[0].SourceIP != iam.Unknown || got[2].Origin == nil {
				t.Errorf("of %+v were sealed %+v", scope, got)
			}
		}
		wantChains(t, s)
		s = h.Reopen(t, s)
	}
}

func testBadOrigins(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	appendEvents(t, s, recorded("o", "gone", 1), recorded("o", "1", 5), recorded("o", "2", 5), eventOf("p", "3"))
	gone, one, two := known(t, s, "gone"), known(t, s, "1"), known(t, s, "2")
	dropEvents(t, s, "o", 2, 10)
	appendEvents(t, s, originOf(one, "origin", "10.0.0.1", "a"))
	bad := map[string]iam.Event{
		"of what is gone":                     originOf(gone, "x", "10.0.0.2", "b"),
		"a second time":                       originOf(one, "x", "10.0.0.2", "b"),
		"of another chain":                    originOf(known(t, s, "3"), "x", "10.0.0.2", "b"),
		"of what never was":                   originOf(two, "x", "10.0.0.2", "b"),
		"of another event than its name says": originOf(two, "x", "10.0.0.2", "b"),
		"of an origin":                        originOf(two, "x", "10.0.0.2", "b"),
		"of itself":                           originOf(two, "x", "10.0.0.2", "b"),
	}
	other := bad["of another chain"]
	other.Organization.ID = "o"
	bad["of another chain"] = other
	bad["of what never was"].Origin.EventSequence = 1000
	bad["of another event than its name says"].Origin.EventID = "1"
	*bad["of an origin"].Origin = iam.EventOrigin{EventID: "origin", EventSequence: two.Sequence + 2, SourceIP: "10.0.0.2"}
	*bad["of itself"].Origin = iam.EventOrigin{EventID: "x", EventSequence: two.Sequence + 3, SourceIP: "10.0.0.2"}
	for name, e := range bad {
		var refused *store.BadEventError
		if err := s.Submit(t.Context(), e); !errors.As(err, &refused) || refused.Known != (name == "a second time") {
			t.Errorf("an origin %s gives the error %v", name, err)
		}
	}
	wantEvents(t, s, store.EventQuery{}, "321")
	if got := known(t, s, "1"); got.SourceIP != "10.0.0.1" {
		t.Errorf("after the refusals the event is %+v", got)
	}
	wantChains(t, s)
	submit(t, s, originOf(two, "x", "10.0.0.2", "b")) // there is nothing wrong with the name
	// An event and its origin may come together.
	e := eventOf("o", "4")
	e.Sequence = rangeOf(t, s, store.EventScope{}).Newest + 1
	submit(t, s, e, originOf(e, "y", "10.0.0.4", "d"))
	if got := known(t, s, "4"); got.SourceIP != "10.0.0.4" {
		t.Errorf("with its origin in one commit the event is %+v", got)
	}
	wantChains(t, s)
}

func testDropOrigins(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	appendEvents(t, s, recorded("o", "1", 1), recorded("o", "2", 1))
	for i, id := range []string{"1", "2"} {
		origin := originOf(known(t, s, id), "origin of "+id, "10.0.0."+id, "a")
		origin.RecordedAt = birth.Add(time.Duration(5+i) * time.Minute)
		appendEvents(t, s, origin)
	}
	if got := dropEvents(t, s, "o", 2, 1); got.Count != 1 {
		t.Errorf("dropped %+v", got)
	}
	wantEvents(t, s, store.EventQuery{}, "2")
	for _, id := range []string{"1", "2"} {
		if got := idsOf(events(t, s, store.EventQuery{EventFilter: store.EventFilter{SourceIP: "10.0.0." + id}})); got != map[string]string{"2": "2"}[id] {
			t.Errorf("by the source of %s there is %q", id, got)
		}
	}
	if got := dropEvents(t, s, "o", 6, 10); got.Count != 2 || got.Last != 3 {
		t.Errorf("dropped %+v", got)
	}
	wantEvents(t, s, store.EventQuery{}, "")
	if got := idsOf(raw(t, s, store.EventScope{Namespace: "home-o"})); got != "origin of 2" {
		t.Errorf("there is left %q", got)
	}
	wantChains(t, s)
	dropEvents(t, s, "o", 10, 10)
	wantChains(t, s)
}
