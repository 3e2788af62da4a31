// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// tampered gives a copy of a store, of which somebody altered the file by SQL.
func tampered(t tb, original, folder string, tamper func(db *sql.DB)) string {
	t.Helper()
	path := filepath.Join(folder, "copy.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(path + suffix)
	}
	text, err := os.ReadFile(original)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // also when the check is skipped
	db.SetMaxOpenConns(1)
	tamper(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t tb, db *sql.DB, text string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func scan(t tb, db *sql.DB, text string, into ...any) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), text).Scan(into...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// finding verifies a file. What can't be read is found as well.
func finding(t tb, path string, trust chain.Trust) *chain.Finding {
	t.Helper()
	view, err := sqlite.OpenView(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	result, err := chain.VerifyStore(t.Context(), view, trust, nil)
	if err != nil {
		t.Fatalf("tampering is told as a fault: %v", err)
	}
	return result.Finding
}

// closedStory is a log that is at rest, all of it vouched for.
func closedStory(t *testing.T) *world {
	w := story(t, t.TempDir())
	w.sign(t)
	w.close(t)
	if path := tampered(t, w.path, t.TempDir(), func(*sql.DB) {}); finding(t, path, w.published.trust()) != nil {
		t.Fatal("the log is intact, and verification finds something")
	}
	return w
}

// The columns of what verification vouches for, and how each can be altered.
var columns = map[string]map[string]string{
	"audit_events":      {"sequence": "number", "recorded_at": "number", "revision": "number", "previous": "hash", "hash": "hash", "body": "text"},
	"audit_chains":      {"organization_id": "name", "sequence": "number", "hash": "hash", "dropped_sequence": "number", "dropped_hash": "hash"},
	"audit_checkpoints": {"number": "number", "body": "text"},
	"audit_index":       {"term": "number", "sequence": "number"},
	"audit_origins":     {"event_sequence": "number", "origin_sequence": "number"},
}

// Any column of any row that is altered is found.
func TestAnyAlterationIsFound(t *testing.T) {
	w := closedStory(t)
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		table := rapid.SampledFrom(slices.Sorted(keysOf(columns))).Draw(t, "table")
		column := rapid.SampledFrom(slices.Sorted(keysOf(columns[table]))).Draw(t, "column")
		var what string
		path := tampered(t, w.path, folder, func(db *sql.DB) { what = alter(t, db, table, column) })
		if finding(t, path, w.published.trust()) == nil {
			t.Fatalf("unnoticed: %s", what)
		}
	})
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

// alter alters one column of one row, and says how.
func alter(t *rapid.T, db *sql.DB, table, column string) string {
	var rows int
	scan(t, db, "SELECT count(*) FROM "+table, &rows)
	where := fmt.Sprintf("(%s) = (SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %d)", keyOf(table), keyOf(table), table, keyOf(table),
		rapid.IntRange(0, rows-1).Draw(t, "row"))
	var value string
	switch columns[table][column] {
	case "number":
		// Also such as another row has: then it fails, and something else is altered.
		value = fmt.Sprintf("%s + %d", column, rapid.SampledFrom([]int64{-1, 1, 100, -1_000_000_000, 1 << 40}).Draw(t, "by"))
	case "hash":
		value = rapid.SampledFrom([]string{"zeroblob(32)", "x''", "CAST(" + column + " || x'00' AS BLOB)", "CAST(substr(" + column + ", 2) || substr(" + column + ", 1, 1) AS BLOB)"}).Draw(t, "hash")
	case "name":
		value = "'someone'"
	default:
		value = rapid.SampledFrom([]string{
			"replace(body, '{', '{ ')", "replace(body, 'a', 'e')", "substr(body, 1, length(body) - 1) || ',\"note\":1}'", "''", "'{}'", "'null'", "body || ' '",
			"replace(body, '\"a\"', '\"b\"')", "upper(body)", "replace(body, ':[', ':[ ')",
		}).Draw(t, "text")
	}
	text := fmt.Sprintf("UPDATE OR IGNORE %s SET %s = %s WHERE %s AND %s IS NOT %s", table, column, value, where, column, value)
	result, err := db.ExecContext(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		t.Skipf("%s altered %d rows, %v", text, n, err)
	}
	return text
}

func keyOf(table string) string {
	switch table {
	case "audit_events":
		return "sequence"
	case "audit_chains":
		return "organization_id"
	case "audit_checkpoints":
		return "number"
	case "audit_origins":
		return "event_sequence"
	}
	return "term, sequence"
}

// Any row that is removed is found.
func TestAnyRemovalIsFound(t *testing.T) {
	w := closedStory(t)
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		table := rapid.SampledFrom(slices.Sorted(keysOf(columns))).Draw(t, "table")
		var what string
		path := tampered(t, w.path, folder, func(db *sql.DB) {
			var rows int
			scan(t, db, "SELECT count(*) FROM "+table, &rows)
			what = fmt.Sprintf("DELETE FROM %s WHERE (%s) = (SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %d)", table, keyOf(table), keyOf(table), table, keyOf(table),
				rapid.IntRange(0, rows-1).Draw(t, "row"))
			run(t, db, what)
		})
		if finding(t, path, w.published.trust()) == nil {
			t.Fatalf("unnoticed: %s", what)
		}
	})
}

// ledger is what somebody with the file, and with this program, but without the Secret, can do.
type ledger struct {
	t           tb
	db          *sql.DB
	incarnation string
}

func forger(t tb, db *sql.DB) *ledger {
	l := &ledger{t: t, db: db}
	scan(t, db, "SELECT incarnation FROM meta", &l.incarnation)
	return l
}

type row struct {
	sequence, revision int64
	previous, hash     []byte
	event              iam.Event
}

// rows gives the events of a chain.
func (l *ledger) rows(organization string) []row {
	l.t.Helper()
	found, err := l.db.QueryContext(l.t.Context(), "SELECT sequence, revision, previous, hash, body FROM audit_events WHERE body ->> '$.organization.id' = ? ORDER BY sequence", organization)
	if err != nil {
		l.t.Fatal(err)
	}
	defer found.Close()
	var rows []row
	for found.Next() {
		var r row
		var body []byte
		err := found.Scan(&r.sequence, &r.revision, &r.previous, &r.hash, &body)
		if err == nil {
			err = json.Unmarshal(body, &r.event)
		}
		if err != nil {
			l.t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if err := found.Err(); err != nil {
		l.t.Fatal(err)
	}
	return rows
}

// reseal computes all hashes of a chain anew, from a row on.
func (l *ledger) reseal(organization string, rows []row, from int) {
	l.t.Helper()
	for i := from; i < len(rows); i++ {
		r := &rows[i]
		if i > 0 {
			r.previous = rows[i-1].hash
		}
		r.event.Sequence, r.event.Revision = r.sequence, fmt.Sprintf("%s.%d", l.incarnation, r.revision)
		content, err := r.event.ContentHash()
		if err != nil {
			l.t.Fatal(err)
		}
		seal := iam.SealAfter(iam.Hash(r.previous), content)
		r.hash = seal.Hash[:]
		body, err := json.Marshal(r.event)
		if err != nil {
			l.t.Fatal(err)
		}
		run(l.t, l.db, "UPDATE audit_events SET previous = ?, hash = ?, body = ? WHERE sequence = ?", r.previous, r.hash, string(body), r.sequence)
	}
	last := rows[len(rows)-1]
	run(l.t, l.db, "UPDATE audit_chains SET sequence = ?, hash = ? WHERE organization_id = ?", last.sequence, last.hash, organization)
}

// resign signs all checkpoints anew, with a key of the forger's own, so that they say what the chains now are.
func (l *ledger) resign(keys chain.Keys, heads map[int64]iam.Hash) {
	l.t.Helper()
	found, err := l.db.QueryContext(l.t.Context(), "SELECT body FROM audit_checkpoints ORDER BY number")
	if err != nil {
		l.t.Fatal(err)
	}
	var all []iam.Checkpoint
	for found.Next() {
		var body []byte
		var c iam.Checkpoint
		if err := found.Scan(&body); err != nil {
			l.t.Fatal(err)
		}
		if err := json.Unmarshal(body, &c); err != nil {
			l.t.Fatal(err)
		}
		all = append(all, c)
	}
	if err := errors.Join(found.Err(), found.Close()); err != nil {
		l.t.Fatal(err)
	}
	var previous iam.Hash
	for i, c := range all {
		for j, head := range c.Heads {
			if hash, ok := heads[head.Sequence]; ok {
				c.Heads[j].Hash = hash
			}
		}
		if i > 0 {
			c.Previous = previous
		}
		if c.HeadsHash, err = iam.HashHeads(c.Heads); err != nil {
			l.t.Fatal(err)
		}
		c.Signature = []byte(strings.Repeat("x", 64))
		c.KeyID = keys.ID
		if previous, err = c.Hash(); err != nil {
			l.t.Fatal(err)
		}
		body, err := json.Marshal(c)
		if err != nil {
			l.t.Fatal(err)
		}
		run(l.t, l.db, "UPDATE audit_checkpoints SET body = ? WHERE number = ?", string(body), c.Number)
	}
}

// Who has the file and not the Secret can seal all anew, and even sign it anew: it is found, also by
// who has only the published checkpoint, and no key.
func TestSealingAnewIsFound(t *testing.T) {
	w := closedStory(t)
	folder := t.TempDir()
	trust := w.published.trust()
	rapid.Check(t, func(t *rapid.T) {
		organization := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "chain")
		kind := rapid.SampledFrom([]string{"alter", "remove", "insert", "swap", "truncate", "restart"}).Draw(t, "kind")
		signs := rapid.Bool().Draw(t, "signs anew")
		path := tampered(t, w.path, folder, func(db *sql.DB) {
			l := forger(t, db)
			rows := l.rows(organization)
			i := rapid.IntRange(0, len(rows)-1).Draw(t, "row")
			rows, from := l.forge(kind, rows, i)
			if len(rows) == 0 {
				run(t, db, "DELETE FROM audit_chains WHERE organization_id = ?", organization)
				return
			}
			l.reseal(organization, rows, min(from, len(rows)))
			if signs {
				heads := map[int64]iam.Hash{}
				for _, r := range rows {
					heads[r.sequence] = iam.Hash(r.hash)
				}
				l.resign(w.keys, heads)
			}
		})
		for name, trust := range map[string]chain.Trust{"checkpoint and keys": trust, "the checkpoint alone": {Newest: trust.Newest}} {
			if finding(t, path, trust) == nil {
				t.Fatalf("%s of the chain %q goes unnoticed by %s", kind, organization, name)
			}
		}
	})
}

// free gives a sequence that no event has any more, below those that were signed.
func (l *ledger) free() (sequence int64) {
	l.t.Helper()
	scan(l.t, l.db, "SELECT min(sequence) + 1 FROM audit_events AS e WHERE NOT EXISTS (SELECT 1 FROM audit_events WHERE sequence = e.sequence + 1)", &sequence)
	return sequence
}

// index lists an event by all that it says, as the program itself does: in another store, with this one's key.
func (l *ledger) index(event iam.Event) {
	l.t.Helper()
	folder, err := os.MkdirTemp("", "forged")
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "iam.db")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(l.t.Context(), sqlite.Options{Path: path})
		if err != nil {
			l.t.Fatal(err)
		}
		return s
	}
	var key []byte
	scan(l.t, l.db, "SELECT term_key FROM meta", &key)
	err = open().Close()
	if err == nil {
		err = onFile(path, func(db *sql.DB) { run(l.t, db, "UPDATE meta SET term_key = ?", key) })
	}
	s := open()
	event.Origin = nil // what it is of is not there
	if err = errors.Join(err, s.Submit(l.t.Context(), event), s.Close()); err != nil {
		l.t.Fatal(err)
	}
	run(l.t, l.db, "ATTACH DATABASE ? AS forged", path)
	run(l.t, l.db, "INSERT INTO audit_index SELECT term, ? FROM forged.audit_index", event.Sequence)
	run(l.t, l.db, "DETACH DATABASE forged")
}

func onFile(path string, alter func(db *sql.DB)) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	alter(db)
	return db.Close()
}

// An event that the program itself has indexed and sealed, in a copy of the file, and that is of no chain any
// more once the list of chains is put back, is found. One that is well sealed after the last checkpoint is
// not told from one that the operator was about to vouch for; it is said that nothing vouches for it.
func TestInserted(t *testing.T) {
	const putBack = "UPDATE audit_chains SET (sequence, hash) = (SELECT sequence, hash FROM audit_events WHERE sequence < 1000 AND body ->> '$.organization.id' = organization_id ORDER BY sequence DESC LIMIT 1) WHERE sequence = 1000"
	origin := &iam.EventOrigin{SourceIP: "203.0.113.1", UserAgent: "forged"}
	for name, test := range map[string]struct {
		organization string
		origin       *iam.EventOrigin
		after        string
		at           int64
		says         string
	}{
		"a sealed tail":          {organization: "b"},
		"above the head":         {"b", nil, putBack, 1000, "the chain ends with event"},
		"an origin":              {"b", origin, putBack, 1000, "the chain ends with event"},
		"of no chain":            {"forged", nil, "DELETE FROM audit_chains WHERE organization_id = 'forged'", 1000, "no such chain"},
		"below what was removed": {"a", nil, "UPDATE audit_events SET sequence = 1 WHERE sequence = 1000; UPDATE audit_index SET sequence = 1 WHERE sequence = 1000; " + putBack, 1, "retention has removed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := closedStory(t)
			w.alter(t, func(db *sql.DB) { run(t, db, "UPDATE meta SET sequence = 999") })
			event := w.event(test.organization)
			if test.origin != nil {
				of := ofMethod(t, w, "CreatePolicy")
				i := slices.IndexFunc(of, func(e iam.Event) bool { return e.Organization.ID == test.organization && e.SourceIP == iam.Unknown })
				event.Origin = test.origin
				event.Origin.EventID, event.Origin.EventSequence = of[i].ID, of[i].Sequence
			}
			if err := w.store.Submit(t.Context(), event); err != nil {
				t.Fatal(err)
			}
			w.close(t)
			if err := onFile(w.path, func(db *sql.DB) {
				if test.after != "" {
					run(t, db, test.after)
				}
			}); err != nil {
				t.Fatal(err)
			}
			result := w.verify(t)
			if test.after == "" {
				if result.Finding != nil || result.Unvouched != 1 {
					t.Errorf("found %v, and %d that nothing vouches for", result.Finding, result.Unvouched)
				}
				return
			}
			if found := result.Finding; found == nil || found.Problem != chain.Inserted || found.Sequence != test.at || found.OrganizationID != test.organization || !strings.Contains(found.Text, test.says) {
				t.Errorf("found %v, want event %d inserted: %s", found, test.at, test.says)
			}
		})
	}
}

// forge alters a chain, and gives its rows and from where on they are to be sealed anew.
func (l *ledger) forge(kind string, rows []row, i int) ([]row, int) {
	l.t.Helper()
	switch kind {
	case "alter":
		rows[i].event.Principal.Name = "somebody else"
	case "remove":
		run(l.t, l.db, "DELETE FROM audit_events WHERE sequence = ?", rows[i].sequence)
		run(l.t, l.db, "DELETE FROM audit_index WHERE sequence = ?", rows[i].sequence)
		rows = slices.Delete(rows, i, i+1)
	case "insert":
		added := rows[i]
		added.sequence, added.previous, added.event.ID = l.free(), rows[0].previous, "added"
		run(l.t, l.db, "INSERT INTO audit_events SELECT ?, recorded_at, revision, previous, hash, body FROM audit_events WHERE sequence = ?", added.sequence, rows[i].sequence)
		added.event.Sequence = added.sequence
		l.index(added.event)
		i, _ = slices.BinarySearchFunc(rows, added, func(a, b row) int { return cmp.Compare(a.sequence, b.sequence) })
		rows = slices.Insert(rows, i, added)
	case "swap":
		j := (i + 1) % len(rows)
		rows[i].event, rows[j].event = rows[j].event, rows[i].event
		rows[i].event.RecordedAt, rows[j].event.RecordedAt = rows[j].event.RecordedAt, rows[i].event.RecordedAt
		if i == j {
			rows[i].event.Method = "Swapped"
		}
		i = min(i, j)
	case "truncate":
		for _, r := range rows[i:] {
			run(l.t, l.db, "DELETE FROM audit_events WHERE sequence = ?", r.sequence)
			run(l.t, l.db, "DELETE FROM audit_index WHERE sequence = ?", r.sequence)
		}
		rows = rows[:i]
	case "restart":
		genesis := iam.GenesisHash(l.incarnation, rows[0].event.Organization.ID)
		for _, r := range rows[:i] {
			run(l.t, l.db, "DELETE FROM audit_events WHERE sequence = ?", r.sequence)
			run(l.t, l.db, "DELETE FROM audit_index WHERE sequence = ?", r.sequence)
		}
		rows = rows[i:]
		rows[0].previous, rows[0].event.Method = genesis[:], "Restarted"
		run(l.t, l.db, "UPDATE audit_chains SET dropped_sequence = 0, dropped_hash = ? WHERE organization_id = ?", genesis[:], rows[0].event.Organization.ID)
		i = 0
	}
	return rows, i
}

// An older copy of the file, put back as a whole, is found, and so is the file without its newest
// checkpoints and whatever they cover.
func TestOlderStatesAreFound(t *testing.T) {
	w := newWorld(t, t.TempDir())
	var copies []string
	for range 5 {
		w.record(t, "a", "b", "")
		w.sign(t)
		w.close(t)
		copies = append(copies, tampered(t, w.path, t.TempDir(), func(*sql.DB) {}))
		w.open(t)
	}
	w.close(t)
	for i, path := range copies[:len(copies)-1] {
		if found := finding(t, path, w.published.trust()); found == nil || found.Problem != chain.Truncated {
			t.Errorf("the copy of %d: %v", i, found)
		}
	}
	if found := finding(t, copies[4], w.published.trust()); found != nil {
		t.Errorf("the newest copy: %v", found)
	}
}

// Retention removes in order, and vouches for it. Who removes events and calls it retention is found.
func TestFalseRetentionIsFound(t *testing.T) {
	w := closedStory(t)
	rapid.Check(t, func(r *rapid.T) {
		organization := rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "chain")
		path := tampered(r, w.path, t.TempDir(), func(db *sql.DB) {
			l := forger(r, db)
			rows := l.rows(organization)
			i := rapid.IntRange(0, len(rows)-1).Draw(r, "up to")
			for _, gone := range rows[:i+1] {
				run(r, db, "DELETE FROM audit_events WHERE sequence = ?", gone.sequence)
				run(r, db, "DELETE FROM audit_index WHERE sequence = ?", gone.sequence)
				run(r, db, "DELETE FROM audit_origins WHERE ? IN (event_sequence, origin_sequence)", gone.sequence)
			}
			run(r, db, "UPDATE audit_chains SET dropped_sequence = ?, dropped_hash = ? WHERE organization_id = ?", rows[i].sequence, rows[i].hash, organization)
			run(r, db, "UPDATE audit_dropped SET sequence = ? WHERE organization_id = ?", rows[i].sequence, organization)
		})
		if finding(r, path, w.published.trust()) == nil {
			r.Fatalf("unnoticed in the chain %q", organization)
		}
	})
}

// The kinds of tampering are told apart, as far as what is left shows them.
func TestFindings(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.record(t, "a", "a", "a", "a", "a")
	w.sign(t)
	w.record(t, "b")
	w.sign(t)
	w.close(t)
	for name, test := range map[string]struct {
		sql  string
		want chain.Problem
		at   int64
	}{
		"an event altered":                {"UPDATE audit_events SET body = replace(body, 'maya', 'mona') WHERE sequence = 3", chain.Altered, 3},
		"the newest altered":              {"UPDATE audit_events SET body = replace(body, 'maya', 'mona') WHERE sequence = 6", chain.Altered, 6},
		"an event removed":                {"DELETE FROM audit_events WHERE sequence = 3", chain.Removed, 4},
		"the newest removed":              {"DELETE FROM audit_events WHERE sequence = 5", chain.Truncated, 5},
		"an event put in another's place": {"UPDATE audit_events SET (previous, hash, body) = (SELECT previous, hash, body FROM audit_events WHERE sequence = 2) WHERE sequence = 4", chain.Reordered, 4},
		"a checkpoint altered":            {"UPDATE audit_checkpoints SET body = replace(body, '\"sequence\":5', '\"sequence\":4') WHERE number = 1", chain.BadSignature, 0},
		"a head in a checkpoint altered":  {"UPDATE audit_checkpoints SET body = replace(body, '\"organizationID\":\"a\"', '\"organizationID\":\"b\"') WHERE number = 1", chain.Altered, 0},
		"a checkpoint removed":            {"DELETE FROM audit_checkpoints WHERE number = 1", chain.Removed, 0},
		"the newest checkpoint removed":   {"DELETE FROM audit_checkpoints WHERE number = 2", chain.Truncated, 0},
		"taken from the lists":            {"DELETE FROM audit_index WHERE (term, sequence) IN (SELECT term, sequence FROM audit_index WHERE sequence = 2 ORDER BY term LIMIT 1)", "", 2},
		"another incarnation":             {"UPDATE meta SET incarnation = 'another'", chain.Restarted, 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := tampered(t, w.path, t.TempDir(), func(db *sql.DB) { run(t, db, test.sql) })
			found := finding(t, path, w.published.trust())
			if found == nil || test.want != "" && found.Problem != test.want || test.at != 0 && found.Checkpoint == 0 && found.Sequence != test.at && test.want != "" {
				t.Errorf("found %v, want %s of %d", found, test.want, test.at)
			}
		})
	}
}
