// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// errMine is what the model's transactions fail with on purpose.
var errMine = errors.New("mine")

// model is a store as naive as can be. Few ids, names and times make for many collisions.
type model struct {
	entities map[[2]string]iam.Entity
	changes  []store.Change
	events   []iam.Event
}

func (m *model) clone() *model {
	return &model{maps.Clone(m.entities), slices.Clone(m.changes), slices.Clone(m.events)}
}

func keyOf(e iam.Entity) [2]string { return [2]string{string(e.EntityKind()), e.GetHead().ID} }

// put gives what the store should: what was there, and whether there is a conflict.
func (m *model) put(t testing.TB, e iam.Entity) (iam.Entity, bool) {
	before := m.entities[keyOf(e)]
	if before != nil {
		a, b := before.GetHead().Object, e.GetHead().Object
		if a.Kind != b.Kind || a.Namespace != b.Namespace || a.Name != b.Name {
			return nil, true
		}
		if same(t, before, e) {
			return before, false
		}
	}
	for _, other := range m.entities {
		scoped := other.GetHead().OrganizationID == e.GetHead().OrganizationID || e.EntityKind() == iam.KindOrganization
		if other.EntityKind() == e.EntityKind() && other.GetHead().ID != e.GetHead().ID && scoped &&
			e.UniqueName() != "" && other.UniqueName() == e.UniqueName() {
			return nil, true
		}
	}
	m.entities[keyOf(e)] = e
	m.changes = append(m.changes, store.Change{Operation: store.OperationPut, Kind: e.EntityKind(), ID: e.GetHead().ID, Entity: e})
	return before, false
}

func (m *model) delete(kind iam.Kind, id string) iam.Entity {
	key := [2]string{string(kind), id}
	before := m.entities[key]
	if before != nil {
		delete(m.entities, key)
		m.changes = append(m.changes, store.Change{Operation: store.OperationDelete, Kind: kind, ID: id})
	}
	return before
}

func (m *model) list(query store.Query) (ids []string) {
	var found []iam.Entity
	for _, e := range m.entities {
		if selects(query, e) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b iam.Entity) int {
		x, y := a.GetHead(), b.GetHead()
		byCreation := cmp.Or(x.CreatedAt.Compare(y.CreatedAt), cmp.Compare(x.ID, y.ID))
		byLabel := cmp.Or(cmp.Compare(a.Label(), b.Label()), cmp.Compare(x.ID, y.ID))
		return []int{byCreation, -byCreation, byLabel, -byLabel}[query.Order]
	})
	for _, e := range found {
		ids = append(ids, e.GetHead().ID)
	}
	return ids
}

func selects(query store.Query, e iam.Entity) bool {
	h := e.GetHead()
	return e.EntityKind() == query.Kind &&
		(query.OrganizationID == "" || h.OrganizationID == query.OrganizationID) &&
		(len(query.IDs) == 0 || slices.Contains(query.IDs, h.ID)) &&
		(query.Label == "" || e.Label() == query.Label) &&
		(query.UniqueName == "" || e.UniqueName() == query.UniqueName) &&
		(query.Object == nil || isFrom(h.Object, *query.Object)) &&
		(query.RefersTo == nil || slices.ContainsFunc(e.References(), func(r iam.Reference) bool {
			return r.ID == query.RefersTo.ID && (query.RefersTo.Relation == "" || r.Relation == query.RefersTo.Relation)
		}))
}

func isFrom(object, want iam.Object) bool {
	if want.UID == "" {
		object.UID = ""
	}
	return object == want
}

// The values that the model draws from.
var (
	drawID   = rapid.SampledFrom([]string{"a", "b", "c", "A", "ab"})
	drawOrg  = rapid.SampledFrom([]string{"o", "O", "o2"})
	drawName = rapid.SampledFrom([]string{"", "ann", "Ann", "zoe", "émile", "a b"})
	drawKind = rapid.SampledFrom([]iam.Kind{iam.KindOrganization, iam.KindProject, iam.KindMember, iam.KindGroup, iam.KindPolicy})
	drawIDs  = rapid.SliceOfN(drawID, 0, 3)
	drawTime = rapid.SampledFrom([]time.Time{{}, birth, birth.Add(1), birth.Add(time.Hour)})
)

func drawObject(t *rapid.T, kind iam.Kind, id string) iam.Object {
	object := iam.Object{Kind: kind, Namespace: "ns", Name: "object-" + id, UID: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "uid")}
	if rapid.IntRange(0, 9).Draw(t, "stranger") == 0 {
		object.Namespace = "elsewhere"
	}
	return object
}

func drawEntity(t *rapid.T) iam.Entity {
	kind, id := drawKind.Draw(t, "kind"), drawID.Draw(t, "id")
	h := iam.Head{
		ID: id, OrganizationID: drawOrg.Draw(t, "organization"), Object: drawObject(t, kind, id),
		CreatedAt: drawTime.Draw(t, "created"),
	}
	name := drawName.Draw(t, "name")
	switch kind {
	case iam.KindOrganization:
		return &iam.Organization{Head: h, Name: name, Alias: drawName.Draw(t, "alias")}
	case iam.KindMember:
		return &iam.Member{Head: h, Username: name, Email: "e", Groups: drawIDs.Draw(t, "groups")}
	case iam.KindGroup:
		return &iam.Group{Head: h, Name: name, Members: drawIDs.Draw(t, "members")}
	case iam.KindPolicy:
		return &iam.Policy{Head: h, Name: name, PrincipalID: drawID.Draw(t, "principal"), Rules: []iam.Rule{{ProjectIDs: drawIDs.Draw(t, "projects")}}}
	default:
		return &iam.Project{Head: h, Name: name}
	}
}

func drawQuery(t *rapid.T) store.Query {
	query := store.Query{Kind: drawKind.Draw(t, "kind"), Order: store.Order(rapid.IntRange(0, 3).Draw(t, "order"))}
	sometimes := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, "by "+what) == 0 }
	if sometimes("organization") {
		query.OrganizationID = drawOrg.Draw(t, "organization")
	}
	if sometimes("ids") {
		query.IDs = drawIDs.Draw(t, "ids")
	}
	if sometimes("label") {
		query.Label = drawName.Draw(t, "label")
	}
	if sometimes("unique name") {
		query.UniqueName = drawName.Draw(t, "unique name")
	}
	if sometimes("object") {
		object := drawObject(t, query.Kind, drawID.Draw(t, "object"))
		if sometimes("no uid") {
			object.UID = ""
		}
		query.Object = &object
	}
	if sometimes("reference") {
		query.RefersTo = &iam.Reference{ID: drawID.Draw(t, "target"), Relation: rapid.SampledFrom([]iam.Relation{
			"", iam.RelationGroup, iam.RelationMember, iam.RelationPrincipal, iam.RelationProject,
		}).Draw(t, "relation")}
	}
	return query
}

// machine drives a store and its model side by side.
type machine struct {
	t     *testing.T
	h     Harness
	s     store.Store
	m     *model
	start store.Revision
	// sequence is that of the last event before the model began.
	sequence int64
	// drawn makes the events' ids unique.
	drawn *int
}

func testModel(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	drawn := 0
	rapid.Check(t, func(rt *rapid.T) {
		clearAll(t, s)
		x := &machine{t: t, h: h, s: s, m: &model{entities: map[[2]string]iam.Entity{}}, start: revisionOf(t, s), drawn: &drawn}
		if newest := events(t, s, store.EventQuery{Limit: 1}); len(newest) > 0 {
			x.sequence = newest[0].Sequence
		}
		rt.Repeat(map[string]func(*rapid.T){
			"":       x.compare,
			"write":  x.write,
			"list":   x.list,
			"follow": x.follow,
		})
		if rapid.IntRange(0, 9).Draw(rt, "reopen") == 0 {
			s = h.Reopen(t, s)
			x.s = s
			x.compare(rt)
		}
	})
}

// clearAll empties a store, so that one serves for all runs: to open one takes long.
func clearAll(t testing.TB, s store.Store) {
	t.Helper()
	entities, _, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, func(tx store.Tx) error {
		for _, e := range entities {
			if _, err := tx.Delete(t.Context(), e.EntityKind(), e.GetHead().ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// write does a few things in one transaction, which now and then fails.
func (x *machine) write(rt *rapid.T) {
	steps := rapid.SliceOfN(rapid.Custom(x.drawStep), 1, 4).Draw(rt, "steps")
	fails := rapid.IntRange(0, 4).Draw(rt, "fails") == 0
	next := x.m.clone()
	revision, err := x.s.Write(x.t.Context(), func(tx store.Tx) error {
		next = x.m.clone() // fn may run again
		for _, step := range steps {
			if err := step(tx, next); err != nil {
				return err
			}
		}
		if fails {
			return errMine
		}
		return nil
	})
	if fails {
		if !errors.Is(err, errMine) {
			rt.Fatalf("the transaction failed with %v, want %v", err, errMine)
		}
		return
	}
	if err != nil {
		rt.Fatalf("the transaction failed: %v", err)
	}
	x.m = next
	if want := x.start.N + int64(len(x.m.changes)); revision.N != want {
		rt.Fatalf("the transaction gave revision %s, want .%d", revision, want)
	}
}

type step func(tx store.Tx, m *model) error

func (x *machine) drawStep(rt *rapid.T) step {
	switch rapid.IntRange(0, 4).Draw(rt, "step") {
	case 0:
		kind, id := drawKind.Draw(rt, "kind"), drawID.Draw(rt, "id")
		return func(tx store.Tx, m *model) error { return x.deleteBoth(tx, m, kind, id) }
	case 1:
		*x.drawn++
		e := event(fmt.Sprintf("e%d", *x.drawn), drawIDs.Draw(rt, "resources")...)
		e.Organization.ID = drawOrg.Draw(rt, "organization")
		return func(tx store.Tx, m *model) error {
			appended := e
			appended.Sequence = x.sequence + int64(len(m.events)) + 1
			appended.Revision = store.Revision{Incarnation: x.start.Incarnation, N: x.start.N + int64(len(m.changes))}.String()
			m.events = append(m.events, appended)
			return tx.Append(x.t.Context(), e)
		}
	default:
		e := drawEntity(rt)
		return func(tx store.Tx, m *model) error { return x.putBoth(tx, m, e) }
	}
}

func (x *machine) deleteBoth(tx store.Tx, m *model, kind iam.Kind, id string) error {
	want := m.delete(kind, id)
	got, err := tx.Delete(x.t.Context(), kind, id)
	if want == nil && errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || !same(x.t, got, want) {
		return fmt.Errorf("delete %s %s gave %+v (%w), want %+v", kind, id, got, err, want)
	}
	return nil
}

func (x *machine) putBoth(tx store.Tx, m *model, e iam.Entity) error {
	want, conflicts := m.put(x.t, e)
	got, err := tx.Put(x.t.Context(), e)
	var conflict *store.ConflictError
	if errors.As(err, &conflict) != conflicts || (err != nil && conflict == nil) || !same(x.t, got, want) {
		return fmt.Errorf("put %+v gave %+v (%w), want %+v, conflict %t", e, got, err, want, conflicts)
	}
	return nil
}

// compare compares the whole state.
func (x *machine) compare(rt *rapid.T) {
	want, err := contentOf(slices.Collect(maps.Values(x.m.entities)))
	if err != nil {
		rt.Fatal(err)
	}
	got, err := Content(x.t.Context(), x.s)
	if err != nil {
		rt.Fatal(err)
	}
	if last := revisionOf(x.t, x.s); got != want || last.N != x.start.N+int64(len(x.m.changes)) {
		rt.Fatalf("the store is at %s and holds\n%swant .%d and\n%s", last, got, x.start.N+int64(len(x.m.changes)), want)
	}
	var wantEvents, gotEvents strings.Builder
	for _, e := range slices.Backward(x.m.events) {
		fmt.Fprintln(&wantEvents, e.ID, e.Sequence, e.Revision)
	}
	// One more than there should be; those of earlier runs are not read again and again.
	for _, e := range events(x.t, x.s, store.EventQuery{Limit: len(x.m.events) + 1}) {
		if e.Sequence > x.sequence {
			fmt.Fprintln(&gotEvents, e.ID, e.Sequence, e.Revision)
		}
	}
	if gotEvents.String() != wantEvents.String() {
		rt.Fatalf("the events are\n%swant\n%s", gotEvents.String(), wantEvents.String())
	}
}

// list reads a query page by page.
func (x *machine) list(rt *rapid.T) {
	query := drawQuery(rt)
	want := x.m.list(query)
	query.Limit = rapid.IntRange(0, 3).Draw(rt, "limit")
	var got []string
	for more := true; more; more = query.Cursor != "" {
		page, err := x.s.List(x.t.Context(), query)
		if err != nil {
			rt.Fatal(err)
		}
		for _, row := range page.Rows {
			got = append(got, row.Entity.GetHead().ID)
			if !same(x.t, row.Entity, x.m.entities[keyOf(row.Entity)]) {
				rt.Fatalf("%+v lists %+v", query, row.Entity)
			}
		}
		query.Cursor = page.Next
	}
	count, err := x.s.Count(x.t.Context(), query)
	if err != nil || count != len(want) || !slices.Equal(got, want) {
		rt.Fatalf("%+v gives %v, count %d (%v), want %v", query, got, count, err, want)
	}
}

// follow reads the changes after some revision.
func (x *machine) follow(rt *rapid.T) {
	skip := rapid.IntRange(0, len(x.m.changes)).Draw(rt, "after")
	got := changesAfter(x.t, x.s, store.Revision{Incarnation: x.start.Incarnation, N: x.start.N + int64(skip)})
	want := x.m.changes[skip:]
	if len(got) != len(want) {
		rt.Fatalf("there are %d changes after .%d, want %d", len(got), x.start.N+int64(skip), len(want))
	}
	for i, c := range got {
		w := want[i]
		if c.Revision.N != x.start.N+int64(skip+i+1) || c.Operation != w.Operation || c.Kind != w.Kind || c.ID != w.ID || !same(x.t, c.Entity, w.Entity) {
			rt.Fatalf("change %+v, want %+v", c, w)
		}
	}
}
