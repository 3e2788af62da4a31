// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// alter closes the store, lets somebody alter its file, and opens it again.
func (w *world) alter(t *testing.T, tamper func(db *sql.DB)) {
	t.Helper()
	w.close(t)
	db, err := sql.Open("sqlite", w.path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tamper(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w.open(t)
}

// refuses says that nothing is signed, and nothing may be removed, and why.
func (w *world) refuses(t *testing.T, why string) {
	t.Helper()
	before, err := w.store.LastCheckpoint(t.Context())
	if err != nil && !strings.Contains(err.Error(), "not found") {
		t.Fatal(err)
	}
	var told []*chain.ForkedError
	w.signer.Forked = func(fork *chain.ForkedError) { told = append(told, fork) }
	var fork *chain.ForkedError
	if err := w.signer.Write(t.Context(), nil); !errors.As(err, &fork) || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "by deleting the ConfigMap") {
		t.Errorf("signing ends with %v, want a fork: %s", err, why)
	}
	if err := w.signer.Ready(t.Context()); !errors.As(err, &fork) {
		t.Errorf("whoever removes is told %v", err)
	}
	if len(told) != 1 || told[0] == nil {
		t.Errorf("of the fork was told %v", told)
	}
	if after, err := w.store.LastCheckpoint(t.Context()); err == nil && after.Number != before.Number {
		t.Errorf("checkpoint %d was made all the same", after.Number)
	}
}

// rewrite alters an event of a chain, and seals the chain anew.
func rewrite(t *testing.T, db *sql.DB, organization string, from int) {
	t.Helper()
	l := forger(t, db)
	rows := l.rows(organization)
	rows[from].event.Principal.Name = "somebody else"
	l.reseal(organization, rows, from)
}

// Somebody rewrites the log, and puts a checkpoint of their own making at its end, for the operator to sign over.
func TestUnsignedCheckpointIsNotSignedOver(t *testing.T) {
	for name, test := range map[string]struct{ body, why string }{
		"unsigned":         {`json_set(body, '$.number', 101, '$.oldest', 102)`, "checkpoint 101 of the audit log is not one that was signed"},
		"of another store": {`json_set(body, '$.number', 101, '$.oldest', 102, '$.incarnation', 'x')`, "is of another store, x"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			for range 3 {
				w.record(t, "a", "b")
				w.sign(t)
			}
			w.alter(t, func(db *sql.DB) {
				rewrite(t, db, "a", 0)
				run(t, db, "INSERT INTO audit_checkpoints SELECT 101, "+test.body+" FROM audit_checkpoints WHERE number = 3")
				run(t, db, "DELETE FROM audit_checkpoints WHERE number <= 100")
				run(t, db, "UPDATE meta SET checkpoint = 101")
			})
			defer w.close(t)
			w.record(t, "a")
			w.refuses(t, test.why)
			if found := w.verify(t).Finding; found == nil {
				t.Error("verification finds nothing")
			}
		})
	}
}

// What was signed last, and what was published, must be there, and the one follow from the other.
func TestCheckpointsThatWereAltered(t *testing.T) {
	for name, test := range map[string]struct{ sql, why string }{
		"the published one is missing":    {"DELETE FROM audit_checkpoints WHERE number = 2", "checkpoint 2 of the audit log is missing"},
		"the published one was altered":   {"UPDATE audit_checkpoints SET body = json_set(body, '$.sequence', 1) WHERE number = 2", "checkpoint 2 of the audit log was published, and is not the one"},
		"one after it is missing":         {"DELETE FROM audit_checkpoints WHERE number = 3", "checkpoint 3 of the audit log is missing"},
		"one after it was altered":        {"UPDATE audit_checkpoints SET body = json_set(body, '$.heads[0].sequence', 1) WHERE number = 3", "checkpoint 3 of the audit log is not one that was signed: the heads"},
		"one after it cannot be read":     {"UPDATE audit_checkpoints SET body = '[]' WHERE number = 3", "altered: checkpoint 3"},
		"the newest are missing":          {"DELETE FROM audit_checkpoints WHERE number > 1", "the store has come to 1 only"},
		"the one that begins was altered": {"UPDATE audit_checkpoints SET body = json_set(body, '$.heads[0].sequence', 7) WHERE number = 1", "checkpoints of the audit log before 4"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			var published iam.Checkpoint
			for i := range 4 {
				w.record(t, "a", "b")
				if last := w.sign(t); i == 1 {
					published = last
				}
			}
			published.Heads = nil
			w.published.is.Newest = &published
			w.alter(t, func(*sql.DB) {})
			if err := w.signer.Ready(t.Context()); err != nil {
				t.Fatalf("it is whole, and yet: %v", err)
			}
			w.alter(t, func(db *sql.DB) { run(t, db, test.sql) })
			defer w.close(t)
			w.record(t, "a")
			w.refuses(t, test.why)
		})
	}
}

// Where an administrator accepts a last checkpoint that is not signed, the next begins anew, and verification finds it whole.
func TestAcceptedCheckpoint(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.record(t, "a", "b")
	w.sign(t)
	w.alter(t, func(db *sql.DB) {
		run(t, db, "UPDATE audit_checkpoints SET body = json_set(body, '$.oldest', 7)")
	})
	defer w.close(t)
	w.refuses(t, "was published, and is not the one that the store has")
	w.published.is = chain.Published{}
	w.signer = w.newSigner()
	if next := w.sign(t); next.Number != 2 || next.Oldest != 2 || !next.Full {
		t.Errorf("the next checkpoint is %+v", next)
	}
	w.record(t, "a")
	w.sign(t)
	intact(t, w.verify(t))
	w.alter(t, func(*sql.DB) {})
	w.record(t, "a")
	w.sign(t)
	intact(t, w.verify(t))
}

// A chain that was rewritten is not signed, be it found when the operator starts, or while it runs.
func TestChainsThatWereRewritten(t *testing.T) {
	genesis := "UPDATE audit_chains SET dropped_sequence = 1, dropped_hash = (SELECT hash FROM audit_events WHERE sequence = 1) WHERE organization_id = 'a'"
	for name, test := range map[string]struct {
		tamper func(t *testing.T, db *sql.DB)
		why    string
	}{
		"the last that was signed": {func(t *testing.T, db *sql.DB) { rewrite(t, db, "a", 1) }, "the chain of Organization a does not go on from event 3"},
		"the first":                {func(t *testing.T, db *sql.DB) { rewrite(t, db, "a", 0) }, "the chain of Organization a does not go on from event 3"},
		"retention that was none":  {func(t *testing.T, db *sql.DB) { run(t, db, genesis) }, "it was not retention that removed"},
		"a chain that is missing":  {func(t *testing.T, db *sql.DB) { run(t, db, "DELETE FROM audit_chains WHERE organization_id = 'b'") }, "1 are missing"},
		"a chain put back": {func(t *testing.T, db *sql.DB) {
			run(t, db, "UPDATE audit_chains SET sequence = 1, hash = (SELECT hash FROM audit_events WHERE sequence = 1) WHERE organization_id = 'a'")
		}, "ends with event 1"},
		"a new chain without its beginning": {func(t *testing.T, db *sql.DB) {
			run(t, db, "UPDATE audit_events SET previous = zeroblob(32) WHERE sequence = 5")
		}, "the chain of Organization c does not go on from event 0"},
		"an event that cannot be read": {func(t *testing.T, db *sql.DB) { run(t, db, "UPDATE audit_events SET body = '[]' WHERE sequence = 4") }, "altered: event 4"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, running := range []bool{false, true} {
				w := newWorld(t, t.TempDir())
				w.record(t, "a", "b", "a")
				w.sign(t)
				w.record(t, "a", "c")
				if running { // as others write the file of an operator that runs
					db, err := sql.Open("sqlite", w.path)
					if err != nil {
						t.Fatal(err)
					}
					test.tamper(t, db)
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
				} else {
					w.alter(t, func(db *sql.DB) { test.tamper(t, db) })
				}
				w.refuses(t, test.why)
				w.close(t)
			}
		})
	}
}

// Who gives the store another incarnation, seals it anew and removes what was signed does not get it signed.
func TestLaunderedIncarnation(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.record(t, "a", "a")
	w.sign(t)
	w.alter(t, func(db *sql.DB) {
		run(t, db, "DELETE FROM audit_checkpoints")
		run(t, db, "UPDATE meta SET incarnation = 'another', checkpoint = 0")
		l := forger(t, db)
		rows := l.rows("a")
		genesis := iam.GenesisHash(l.incarnation, "a")
		rows[0].previous, rows[0].event.Change.After = genesis[:], []byte(`{"name":"y"}`)
		l.reseal("a", rows, 0)
		run(t, db, "UPDATE audit_chains SET dropped_hash = ?", genesis[:])
	})
	defer w.close(t)
	w.record(t, "a")
	intact(t, w.verifyAgainst(t, chain.Trust{Keys: w.keys.Public})) // the seals alone do not tell
	for name, at := range map[string]time.Time{"an old event": start.Add(time.Hour), "the first is just too old": start.Add(62 * time.Second)} {
		t.Run(name, func(t *testing.T) {
			w.published.is.Newest.At = at
			w.signer = w.newSigner()
			w.refuses(t, "is older than the last checkpoint of that one")
		})
	}
	w.published.is.Newest.At = start.Add(59 * time.Second)
	if err := w.newSigner().Ready(t.Context()); err != nil {
		t.Errorf("within what clocks may differ: %v", err)
	}
}

// It is told once that a store took the place of another.
func TestRestartIsToldOnce(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.record(t, "a")
	lost := w.sign(t)
	w.close(t)
	w.path = t.TempDir() + "/iam.db"
	w.open(t)
	defer w.close(t)
	var told []iam.Checkpoint
	for range 2 {
		w.record(t, "a")
		w.signer = w.newSigner()
		w.signer.Restarted = func(former iam.Checkpoint) { told = append(told, former) }
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.signer.Run(ctx); err != nil { // which signs and publishes what there is, and ends
			t.Fatal(err)
		}
	}
	if len(told) != 1 || told[0].Incarnation != lost.Incarnation || w.published.is.Former == nil {
		t.Errorf("told of %+v", told)
	}
}
