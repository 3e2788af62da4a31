// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// logMachine drives an audit log and a model of it that is as naive as can be.
type logMachine struct {
	t *testing.T
	s store.Store
	// run makes the names of one run its own: a store serves for all runs.
	run string
	// drawn makes the events' ids unique.
	drawn *int
	// events are those that were sealed and are kept, oldest first; gone are the others of this run.
	events, gone []iam.Event
	newest       int64
	// before are what retention had removed before the run, of everybody and of what belongs to none.
	before, beforeOwn int64
}

func testLogModel(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	drawn, runs := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		x := &logMachine{t: t, s: s, run: fmt.Sprint(runs), drawn: &drawn}
		for _, head := range headsOf(t, s) {
			if head.DroppedSequence == head.Sequence { // an earlier run's, which nothing is left of
				continue
			}
			dropEvents(t, s, head.OrganizationID, 1000, store.MaxPageSize)
		}
		there := rangeOf(t, s, store.EventScope{})
		x.newest, x.before, x.beforeOwn = there.Newest, there.Dropped, rangeOf(t, s, store.EventScope{OwnChain: true}).Dropped
		rt.Repeat(map[string]func(*rapid.T){
			"append": x.append,
			"submit": x.submit,
			"origin": x.origin,
			"drop":   x.drop,
			"query":  x.query,
			"after":  x.after,
		})
		wantChains(t, s)
		if rapid.IntRange(0, 9).Draw(rt, "reopen") == 0 {
			s = h.Reopen(t, s)
			x.s = s
			x.query(rt)
			x.after(rt)
		}
	})
}

func (x *logMachine) drawChain(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"", "a" + x.run, "b" + x.run}).Draw(rt, "chain")
}

func (x *logMachine) drawEvent(rt *rapid.T) iam.Event {
	*x.drawn++
	return iam.Event{
		ID: fmt.Sprintf("e%d", *x.drawn), RecordedAt: birth.Add(time.Duration(rapid.IntRange(0, 9).Draw(rt, "minute")) * time.Minute),
		Organization: iam.EventOrganization{ID: x.drawChain(rt)},
		Namespace:    "ns-" + x.run, NamespaceUID: rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, "uid"),
		Method:     rapid.SampledFrom([]string{"m", "n"}).Draw(rt, "method"),
		Principal:  iam.Actor{Name: drawName.Draw(rt, "principal")},
		SourceIP:   rapid.SampledFrom([]string{"", iam.Unknown, "10.0.0.1"}).Draw(rt, "source"),
		StatusCode: rapid.SampledFrom([]int{200, 403}).Draw(rt, "status"),
		Resources:  []iam.EventResource{{ID: drawID.Draw(rt, "resource")}, {Name: drawID.Draw(rt, "resource name")}},
	}
}

// add is what the log should do.
func (x *logMachine) add(all ...iam.Event) {
	for _, e := range all {
		x.newest++
		e.Sequence = x.newest
		x.events = append(x.events, e)
	}
}

func (x *logMachine) append(rt *rapid.T) {
	all := rapid.SliceOfN(rapid.Custom(x.drawEvent), 1, 3).Draw(rt, "events")
	fails := rapid.IntRange(0, 4).Draw(rt, "fails") == 0
	_, err := x.s.Write(x.t.Context(), func(tx store.Tx) error {
		for _, e := range all {
			if err := tx.Append(x.t.Context(), e); err != nil {
				return err
			}
			var bad *store.BadEventError
			if err := tx.Append(x.t.Context(), e); !errors.As(err, &bad) {
				return fmt.Errorf("the same event again gives the error %w", err)
			}
		}
		if fails {
			return errMine
		}
		return nil
	})
	if fails && errors.Is(err, errMine) {
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	x.add(all...)
}

func (x *logMachine) submit(rt *rapid.T) {
	all := rapid.SliceOfN(rapid.Custom(x.drawEvent), 1, 3).Draw(rt, "events")
	bad := rapid.IntRange(0, 4).Draw(rt, "bad") == 0
	if bad {
		all = append(all, iam.Event{})
	}
	if err := x.s.Submit(x.t.Context(), all...); (err != nil) != bad {
		rt.Fatalf("submit gave the error %v", err)
	}
	if !bad {
		x.add(all...)
	}
}

// origin gives the origin of some event, which may be gone, or have one already.
func (x *logMachine) origin(rt *rapid.T) {
	all := slices.Concat(x.gone, x.events)
	if len(all) == 0 {
		return
	}
	of := all[rapid.IntRange(0, len(all)-1).Draw(rt, "of")]
	e := x.drawEvent(rt)
	e.Organization.ID, e.Namespace, e.NamespaceUID = of.Organization.ID, of.Namespace, of.NamespaceUID
	e.Origin = &iam.EventOrigin{
		EventID: of.ID, EventSequence: of.Sequence, SourceIP: rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2"}).Draw(rt, "origin"),
	}
	good := of.Origin == nil && slices.ContainsFunc(x.events, func(e iam.Event) bool { return e.ID == of.ID }) && x.originOf(of) == nil
	if err := x.s.Submit(x.t.Context(), e); (err == nil) != good {
		rt.Fatalf("the origin of %+v gave the error %v", of, err)
	}
	if good {
		x.add(e)
	}
}

func (x *logMachine) originOf(of iam.Event) *iam.EventOrigin {
	for _, e := range x.events {
		if e.Origin != nil && e.Origin.EventID == of.ID {
			return e.Origin
		}
	}
	return nil
}

func (x *logMachine) drop(rt *rapid.T) {
	chain, minutes, limit := x.drawChain(rt), rapid.IntRange(0, 10).Draw(rt, "minutes"), rapid.IntRange(0, 4).Draw(rt, "limit")
	var kept, gone []iam.Event
	open := true
	for _, e := range x.events {
		if e.Organization.ID == chain {
			open = open && len(gone) < limit && e.RecordedAt.Before(birth.Add(time.Duration(minutes)*time.Minute))
		}
		if e.Organization.ID == chain && open {
			gone = append(gone, e)
		} else {
			kept = append(kept, e)
		}
	}
	got := dropEvents(x.t, x.s, chain, minutes, limit)
	if got.Count != len(gone) || len(gone) > 0 && (got.First != gone[0].Sequence || got.Last != gone[len(gone)-1].Sequence) {
		rt.Fatalf("dropped %+v, want %+v", got, gone)
	}
	x.events, x.gone = kept, append(x.gone, gone...)
}

func (x *logMachine) drawScope(rt *rapid.T) store.EventScope {
	scope := store.EventScope{}
	switch rapid.IntRange(0, 3).Draw(rt, "whose") {
	case 0:
		scope.OrganizationID = x.drawChain(rt)
	case 1:
		scope.OwnChain = true
	}
	if rapid.Bool().Draw(rt, "by namespace") {
		scope.Namespace = "ns-" + x.run
	}
	if rapid.Bool().Draw(rt, "by uid") {
		scope.NamespaceUID = "1"
	}
	return scope
}

func drawFilter(rt *rapid.T) (f store.EventFilter) {
	sometimes := func(what string) bool { return rapid.IntRange(0, 4).Draw(rt, "by "+what) == 0 }
	if sometimes("method") {
		f.Method = "m"
	}
	if sometimes("principal") {
		f.PrincipalName = drawName.Draw(rt, "principal")
	}
	if sometimes("source") {
		f.SourceIP = rapid.SampledFrom([]string{iam.Unknown, "10.0.0.1", "10.0.0.2"}).Draw(rt, "source")
	}
	if sometimes("status") {
		f.StatusCode = 403
	}
	if sometimes("resource") {
		f.ResourceID = drawID.Draw(rt, "resource")
	}
	if sometimes("resource name") {
		f.ResourceName = drawID.Draw(rt, "resource name")
	}
	return f
}

// inScope says whether an event belongs to a scope.
func inScope(scope store.EventScope, e iam.Event) bool {
	return (scope.OrganizationID == "" || scope.OrganizationID == e.Organization.ID) && (!scope.OwnChain || e.Organization.ID == "") &&
		(scope.Namespace == "" || scope.Namespace == e.Namespace) && (scope.NamespaceUID == "" || scope.NamespaceUID == e.NamespaceUID)
}

// says gives, for each field of a filter that drawFilter sets, whether an event says it.
func says(f store.EventFilter, e iam.Event) (answers []bool) {
	for _, c := range []struct{ want, got string }{{f.Method, e.Method}, {f.PrincipalName, e.Principal.Name}, {f.SourceIP, e.SourceIP}} {
		if c.want != "" {
			answers = append(answers, c.want == c.got)
		}
	}
	if f.StatusCode != 0 {
		answers = append(answers, f.StatusCode == e.StatusCode)
	}
	if f.ResourceID != "" {
		answers = append(answers, slices.ContainsFunc(e.Resources, func(r iam.EventResource) bool { return r.ID == f.ResourceID }))
	}
	if f.ResourceName != "" {
		answers = append(answers, slices.ContainsFunc(e.Resources, func(r iam.EventResource) bool { return r.Name == f.ResourceName }))
	}
	return answers
}

func (x *logMachine) query(rt *rapid.T) {
	query := store.EventQuery{EventScope: x.drawScope(rt), EventFilter: drawFilter(rt), Limit: rapid.IntRange(1, 5).Draw(rt, "limit")}
	if rapid.Bool().Draw(rt, "without some") {
		query.Not = drawFilter(rt)
	}
	if rapid.Bool().Draw(rt, "since") {
		query.Since = birth.Add(time.Duration(rapid.IntRange(0, 9).Draw(rt, "since")) * time.Minute)
	}
	if rapid.Bool().Draw(rt, "until") {
		query.Until = birth.Add(time.Duration(rapid.IntRange(0, 9).Draw(rt, "until")) * time.Minute)
	}
	var want []string
	for _, e := range slices.Backward(x.events) {
		if origin := x.originOf(e); origin != nil {
			e.SourceIP = origin.SourceIP
		}
		if e.Origin == nil && inScope(query.EventScope, e) && !slices.Contains(says(query.EventFilter, e), false) &&
			!slices.Contains(says(query.Not, e), true) && !e.RecordedAt.Before(query.Since) &&
			(query.Until.IsZero() || e.RecordedAt.Before(query.Until)) {
			want = append(want, fmt.Sprint(e.ID, " ", e.Sequence, " ", e.SourceIP))
		}
	}
	var got []string
	for {
		page := events(x.t, x.s, query)
		for _, e := range page {
			got = append(got, fmt.Sprint(e.ID, " ", e.Sequence, " ", e.SourceIP))
		}
		if len(page) < query.Limit {
			break
		}
		query.Before = page[len(page)-1].Sequence
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("%+v gives\n%q\nwant\n%q", query, got, want)
	}
}

// after reads on from some sequence, and compares the range.
func (x *logMachine) after(rt *rapid.T) {
	scope := x.drawScope(rt)
	want := store.EventRange{Newest: x.newest}
	if scope == (store.EventScope{}) || scope == (store.EventScope{NamespaceUID: "1"}) {
		scope, want.Dropped = store.EventScope{}, x.before
	}
	if scope.OwnChain && scope.Namespace == "" {
		scope.NamespaceUID, want.Dropped = "", x.beforeOwn
	}
	for _, e := range x.gone {
		if inScope(scope, e) {
			want.Dropped = max(want.Dropped, e.Sequence)
		}
	}
	if got := rangeOf(x.t, x.s, scope); got != want {
		rt.Fatalf("the range of %+v is %+v, want %+v", scope, got, want)
	}
	after := max(0, x.newest-int64(rapid.IntRange(0, 20).Draw(rt, "after")))
	var wantIDs, gotIDs []string
	for _, e := range x.events {
		if e.Sequence > after && inScope(scope, e) {
			wantIDs = append(wantIDs, e.ID)
		}
	}
	limit := rapid.IntRange(1, 5).Draw(rt, "limit")
	got, err := x.s.EventsAfter(x.t.Context(), scope, after, limit)
	if gone := after < want.Dropped; gone || err != nil {
		if !gone || !errors.Is(err, store.ErrEventsGone) {
			rt.Fatalf("after %d of %+v, range %+v, there is the error %v", after, scope, want, err)
		}
		return
	}
	for _, e := range got {
		gotIDs = append(gotIDs, e.ID)
	}
	if wantIDs = wantIDs[:min(limit, len(wantIDs))]; !slices.Equal(gotIDs, wantIDs) {
		rt.Fatalf("after %d of %+v there are %q, want %q", after, scope, gotIDs, wantIDs)
	}
}
