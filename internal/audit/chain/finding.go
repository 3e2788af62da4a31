// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"fmt"
	"time"
)

// Problem is a kind of tampering.
type Problem string

// The kinds of tampering.
const (
	// Altered: what an event, a checkpoint or the head of a chain says is not what was sealed or signed.
	Altered Problem = "altered"
	// Removed: something is missing from the middle of a chain.
	Removed Problem = "removed"
	// Inserted: something stands in a chain that was never sealed into it.
	Inserted Problem = "inserted"
	// Reordered: events do not stand in the order of their sequence, or one took the place of another.
	Reordered Problem = "reordered"
	// Truncated: the newest of a chain is missing.
	Truncated Problem = "truncated"
	// Restarted: a chain was begun anew.
	Restarted Problem = "restarted"
	// BadSignature: a checkpoint is not signed by a key that is known.
	BadSignature Problem = "bad signature"
	// Unlisted: an event is there, but queries do not find it by all that it says.
	Unlisted Problem = "unlisted"
)

// Finding is the first problem that a verification found.
type Finding struct {
	Problem Problem
	// OrganizationID names the chain; empty is that of what belongs to none. It says nothing where Checkpoint is set.
	OrganizationID string
	// Sequence is that of the event; zero where none is meant.
	Sequence int64
	// Checkpoint is the number of the checkpoint that is meant itself; zero where an event or a chain is.
	Checkpoint int64
	// Text says in words what was found.
	Text string
}

// Error says what was found, and where.
func (f *Finding) Error() string {
	if f.Checkpoint > 0 {
		return fmt.Sprintf("%s: checkpoint %d: %s", f.Problem, f.Checkpoint, f.Text)
	}
	where := "the chain of what belongs to no Organization"
	if f.OrganizationID != "" {
		where = "the chain of Organization " + f.OrganizationID
	}
	if f.Sequence == 0 {
		return fmt.Sprintf("%s: %s: %s", f.Problem, where, f.Text)
	}
	return fmt.Sprintf("%s: event %d in %s: %s", f.Problem, f.Sequence, where, f.Text)
}

// Result is what a verification came to.
type Result struct {
	// Finding is the first problem; nil where everything is intact.
	Finding *Finding
	// Incarnation is that of the store.
	Incarnation string
	// Chains and Events count what was verified, among them Stubs: events of which only the hash is there.
	Chains int
	Events int64
	Stubs  int64
	// First and Last are the smallest and the greatest sequence; zero where there is no event.
	First, Last int64
	// Checkpoints counts those that were verified. LastCheckpoint is the number of the newest, made at LastCheckpointAt.
	Checkpoints      int64
	LastCheckpoint   int64
	LastCheckpointAt time.Time
	// Unvouched counts the events after the newest checkpoint: they are chained, and nothing signed says so yet.
	Unvouched int64
	// Restarted says in words that the store took the place of another, as after the database was lost; empty where it did not.
	Restarted string
	// Notes say in sentences what was not proven, and why.
	Notes []string
}

// note adds a sentence to what was not proven.
func (r *Result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}
