// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// TestPragmas guards what durability and readers rest on: a misspelt pragma is no error to SQLite.
func TestPragmas(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	for pool, pragmas := range map[*sql.DB]map[string]string{
		s.writers: {"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "query_only": "0", "trusted_schema": "0", "wal_autocheckpoint": "0", "cache_size": "-16384"},
		s.readers: {"journal_mode": "wal", "synchronous": "2", "query_only": "1", "busy_timeout": "5000"},
	} {
		for pragma, want := range pragmas {
			if pool == s.writers && s.session != nil {
				t.Fatal("the writer's connection is taken")
			}
			var got string
			if err := pool.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %s (%v), want %s", pragma, got, err, want)
			}
		}
	}
}

// TestCheckpoint copies the log into the file while the store is in use, so that it does not grow without end.
func TestCheckpoint(t *testing.T) {
	path := newPath(t)
	s := open(t, Options{Path: path})
	for i := range 3 * checkpointEvery {
		fill(t, s, fmt.Sprintf("<%d>", i))
	}
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(file, fmt.Appendf(nil, "<%d>", checkpointEvery/2)) {
			return
		}
		select {
		case <-deadline:
			t.Fatal("the database file does not have what was written first")
		case <-tick.C:
		}
	}
}

// TestLogBeginsAnew while a writer never rests: a log that is copied and never begun anew fills the disk.
func TestLogBeginsAnew(t *testing.T) {
	path := newPath(t)
	s := open(t, Options{Path: path, maxLogPages: 100})
	longest := int64(0)
	for i := range 10 * checkpointEvery {
		fill(t, s, fmt.Sprintf("<%d>", i))
		file, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, file.Size())
	}
	// A commit here has about 15 pages. A file that begins anew keeps its size, and is written from the start.
	if limit := int64(60 * checkpointEvery * 4096); longest > limit {
		t.Errorf("the log grew to %d bytes, and should have begun anew before %d", longest, limit)
	}
}

// TestSilentWrite wakes nobody: a settled system does nothing at all.
func TestSilentWrite(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	fill(t, s, "a")
	hint := s.Changed()
	fill(t, s, "a")
	select {
	case <-hint:
		t.Error("an unchanged put woke the followers")
	default:
	}
}

// TestTrim keeps no more than promised for long.
func TestTrim(t *testing.T) {
	const keep = 5
	s := open(t, Options{Path: newPath(t), KeepChanges: keep})
	kept := func() (count int64) {
		if err := queryOne(t.Context(), s, "SELECT count(*) FROM changes", nil, &count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		last := fill(t, s, id)
		if got, want := kept(), min(last.N, keep); got != want {
			t.Errorf("at %s %d changes are kept, want %d", last, got, want)
		}
	}
	// A backlog, as when the setting was lowered, goes in portions.
	_, err := s.Write(t.Context(), func(tx store.Tx) error {
		for range 2 * trimBatch {
			for _, name := range []string{"x", "y"} {
				head := iam.Head{ID: "z", Object: iam.Object{Kind: iam.KindProject, Name: "z"}}
				if _, err := tx.Put(t.Context(), &iam.Project{Head: head, Name: name}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := kept(); after < keep {
		t.Errorf("%d changes are kept, fewer than promised", after)
	}
	for i := 0; kept() > keep; i++ {
		before := kept()
		fill(t, s, strings.Repeat("q", i+1))
		if after := kept(); after >= before || before-after > trimBatch {
			t.Fatalf("a write went from %d changes to %d", before, after)
		}
	}
}

// TestReadersAtOnce runs more readers of every sort than there are connections: none may
// hold one while it waits for another.
func TestReadersAtOnce(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	start := store.Revision{Incarnation: fill(t, s, "a", "b").Incarnation}
	var wg sync.WaitGroup
	for range 8 {
		for _, read := range []func() error{
			func() error { _, _, err := s.Snapshot(t.Context()); return err },
			func() error { _, err := s.Changes(t.Context(), start, 0); return err },
			func() error { _, err := s.List(t.Context(), store.Query{Kind: iam.KindProject}); return err },
			func() error {
				_, err := s.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{Method: "m"}})
				return err
			},
			func() error { _, err := s.Get(t.Context(), iam.KindProject, "a"); return err },
		} {
			wg.Go(func() {
				if err := read(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
}

// TestPlans keeps the queries that many objects meet on their indexes: none may read a
// whole table or sort a whole kind.
func TestPlans(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	object := &iam.Object{Kind: iam.KindProject, Namespace: "ns", Name: "n"}
	page := cursor{ID: "x"}
	for name, query := range map[string]store.Query{
		"by creation":    {OrganizationID: "o", Limit: 10},
		"newest first":   {OrganizationID: "o", Limit: 10, Order: store.OrderCreatedDesc},
		"by label":       {OrganizationID: "o", Limit: 10, Order: store.OrderLabelAsc},
		"by label, down": {OrganizationID: "o", Limit: 10, Order: store.OrderLabelDesc},
	} {
		query.Kind = iam.KindProject
		for _, next := range []bool{false, true} {
			if next {
				query.Cursor = page.encode(query)
			}
			if plan := planOf(t, s, query); strings.Contains(plan, "SCAN") || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("%s, next page %t: %s", name, next, plan)
			}
		}
	}
	for name, query := range map[string]store.Query{
		"by object":      {Object: object},
		"by reference":   {RefersTo: &iam.Reference{Relation: iam.RelationGroup, ID: "g"}},
		"by unique name": {UniqueName: "x"},
		"by ids":         {IDs: []string{"x", "y"}},
	} {
		query.Kind = iam.KindMember
		for _, query.OrganizationID = range []string{"", "o"} {
			plan := planOf(t, s, query)
			if strings.Contains(plan, "SCAN e") || strings.Contains(plan, "entities_by_creation") || strings.Contains(plan, "(kind=?)") {
				t.Errorf("%s, Organization %q: %s", name, query.OrganizationID, plan)
			}
		}
	}
	for _, order := range []store.Order{store.OrderCreatedAsc, store.OrderCreatedDesc, store.OrderLabelAsc, store.OrderLabelDesc} {
		query := store.Query{Kind: iam.KindMember, OrganizationID: "o", Label: "l", Order: order, Limit: 2}
		if plan := planOf(t, s, query); !strings.Contains(plan, "entities_by_label (kind=? AND organization_id=? AND label=?") {
			t.Errorf("by label, order %d: %s", order, plan)
		}
	}
	for name, query := range map[string]store.EventQuery{
		"nothing": {}, "a namespace": {EventScope: store.EventScope{Namespace: "n"}}, "a method": {EventFilter: store.EventFilter{Method: "m"}},
		"two":  {EventScope: store.EventScope{Namespace: "n", NamespaceUID: "u"}, EventFilter: store.EventFilter{Method: "m", Action: "a"}},
		"time": {Since: time.Unix(1, 0), Until: time.Unix(2, 0)},
	} {
		text, args := selectText(s.key.termsFor(query), window{bounded: !query.Until.IsZero()}, 10)
		if plan := explainPlan(t, s, text, args); strings.Contains(plan, "SCAN") || strings.Contains(plan, "TEMP B-TREE") ||
			!strings.HasPrefix(plan, "SEARCH d USING PRIMARY KEY (term=? AND sequence>? AND sequence<?)") {
			t.Errorf("events by %s: %s", name, plan)
		}
		text, args = s.afterText(query.EventScope, 1, 10)
		if plan := explainPlan(t, s, text, args); strings.Contains(plan, "SCAN audit_") || strings.Contains(plan, "SCAN e") {
			t.Errorf("events after another by %s: %s", name, plan)
		}
	}
	for name, text := range map[string]string{
		"attributions": attributionsText, "forgotten": "SELECT 1 " + forgotten, "aged": "SELECT sequence " + aged,
		"rarest": rarestText, "told": toldText, "settled": "SELECT 1 " + settled,
	} {
		args := make([]any, strings.Count(text, "?"))
		for i := range args {
			args[i] = 1
		}
		if plan := explainPlan(t, s, text, args); strings.Contains(plan, "SCAN") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s: %s", name, plan)
		}
	}
}

func planOf(t *testing.T, s *Store, query store.Query) string {
	t.Helper()
	text, args, err := listText(query)
	if err != nil {
		t.Fatal(err)
	}
	return explainPlan(t, s, text, args)
}

func explainPlan(t *testing.T, s *Store, text string, args []any) string {
	t.Helper()
	var steps []string
	err := s.query(t.Context(), "EXPLAIN QUERY PLAN "+text, args, func(rows *sql.Rows) error {
		var id, parent, unused int
		var detail string
		err := rows.Scan(&id, &parent, &unused, &detail)
		steps = append(steps, detail)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(steps, "; ")
}

func FuzzCursor(f *testing.F) {
	query := store.Query{Kind: iam.KindProject, OrganizationID: "o", Limit: 1}
	good := cursor{Created: 7, Label: "l", ID: "i"}.encode(query)
	f.Add(good)
	f.Add("")
	f.Add("garbage")
	for _, text := range []string{"{}", "null", "[]", `{"q":"","c":1e99,"l":"","i":"x"}`, `{"q":"x"}{"q":"y"}`} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		query := query
		query.Cursor = text
		got, err := parseCursor(query)
		if err == nil && got.encode(query) != text {
			t.Errorf("%q is read as %+v, whose cursor is %q", text, got, got.encode(query))
		}
		if err != nil && !errors.Is(err, store.ErrBadCursor) {
			t.Errorf("%q gives the error %v", text, err)
		}
		query.Order = store.OrderLabelDesc
		if _, err := parseCursor(query); err == nil {
			t.Errorf("%q serves another query, too", text)
		}
	})
}

func TestNanoseconds(t *testing.T) {
	sorted := []time.Time{{}, time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1678, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0),
		time.Unix(0, 1), time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2262, 12, 1, 0, 0, 0, 0, time.UTC)}
	var got []int64
	for _, at := range sorted {
		got = append(got, nanoseconds(at))
	}
	if !slices.IsSorted(got) {
		t.Errorf("in order of time they are %v", got)
	}
}
