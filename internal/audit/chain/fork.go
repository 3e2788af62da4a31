// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// newStoreSlack is how much earlier than the last publication of the store before it an event of a new store may be
// recorded: the clocks of two machines differ a little.
const newStoreSlack = time.Minute

// ForkedError says that the store is not the one, or not in the state, that was last vouched for. Nothing is
// signed then: a signature would make a rewritten log look like the true one.
type ForkedError struct {
	// Published is the newest checkpoint that was vouched for; Number is how far the store itself has come.
	Published iam.Checkpoint
	Number    int64
	// Reason says what does not fit.
	Reason string
}

// Error says what does not fit, and what an administrator can do.
func (e *ForkedError) Error() string {
	return e.Reason + "; no checkpoint is made, and nothing removed, until an administrator has looked into it and accepts what is there, by deleting the ConfigMap of the checkpoint"
}

// examine gives the heads of all chains as they were signed last, or says why the store is not what was vouched for.
// Where nothing was published whatever is there is accepted, and there are no such heads. Another store is
// no fork: a database that was lost is begun anew, and everybody sees it by its incarnation.
func (c *Checkpointer) examine(ctx context.Context, published *iam.Checkpoint, last iam.Checkpoint, incarnation string) (map[string]iam.ChainHead, string, error) {
	if published == nil {
		return nil, "", nil
	}
	own := *published
	if published.Incarnation != incarnation {
		old, err := c.olderThan(ctx, published.At.Add(-newStoreSlack))
		if err != nil || old != "" {
			return nil, old, err
		}
		own = iam.Checkpoint{}
	}
	if own.Number > last.Number {
		return nil, fmt.Sprintf("checkpoint %d of the audit log was published, and the store has come to %d only: an older copy of the database was put back", own.Number, last.Number), nil
	}
	heads, reason, err := c.follow(ctx, own, last, incarnation)
	if err != nil || reason != "" {
		return nil, reason, err
	}
	now, err := c.headsNow(ctx)
	if err == nil {
		reason, err = c.outgrown(ctx, incarnation, heads, now)
	}
	return heads, reason, err
}

// olderThan says which event of a new store is older than the store itself can be; empty if none is.
func (c *Checkpointer) olderThan(ctx context.Context, begun time.Time) (string, error) {
	for after := int64(0); ; {
		page, err := c.Store.EventsAfter(ctx, store.EventScope{}, after, store.MaxPageSize)
		if errors.Is(err, store.ErrEventsGone) {
			return "the audit log is another than the one that was published, and events have been removed from it already", nil
		}
		if reason, err := unreadable(err); reason != "" || err != nil {
			return reason, err
		}
		for _, event := range page {
			after = event.Sequence
			if event.RecordedAt.Before(begun) {
				return fmt.Sprintf("the audit log is another than the one that was published, and yet its event %d, of %s, is older than the last checkpoint of that one: the log was rewritten under another name",
					event.Sequence, event.RecordedAt.UTC().Format(time.RFC3339)), nil
			}
		}
		if len(page) == 0 {
			return "", nil
		}
	}
}

// unreadable tells what somebody has made unreadable from what could not be read.
func unreadable(err error) (string, error) {
	if finding := findingIn(err); finding != nil {
		return finding.Error(), nil
	}
	return "", err
}

// trail is how far the stored checkpoints were followed.
type trail struct {
	keys        PublicKeys
	incarnation string
	// published is what is known from outside; its Number is zero where nothing is.
	published iam.Checkpoint
	// before is the one that was followed last; only its Number counts where first.
	before iam.Checkpoint
	first  bool
	// heads are what was signed so far; nil where that is not known.
	heads map[string]iam.ChainHead
}

// follow goes through the checkpoints from the published one to the last, and from one before that names all
// chains. It gives the heads that they say, or why they are not those that were signed.
func (c *Checkpointer) follow(ctx context.Context, published, last iam.Checkpoint, incarnation string) (map[string]iam.ChainHead, string, error) {
	if last.Number == 0 {
		return map[string]iam.ChainHead{}, "", nil
	}
	t := &trail{keys: c.Keys.Public, incarnation: incarnation, published: published, first: true}
	// Only what is signed says where they begin.
	if reason, err := t.bad(last); err != nil || reason != "" {
		return nil, reason, err
	}
	t.before.Number = max(min(published.Number, last.Number-fullEvery+1), last.Oldest, 1) - 1
	for t.before.Number < last.Number {
		page, err := c.Store.Checkpoints(ctx, t.before.Number, checkpointPage)
		if reason, err := unreadable(err); reason != "" || err != nil {
			return nil, reason, err
		}
		if len(page) == 0 {
			break
		}
		for _, next := range page {
			if reason, err := t.take(next); err != nil || reason != "" {
				return nil, reason, err
			}
		}
	}
	if t.heads == nil {
		return nil, fmt.Sprintf("checkpoints of the audit log before %d are missing or were altered", last.Number), nil
	}
	return t.heads, "", nil
}

// take goes on to the next checkpoint. One before the published one that is bad was accepted, or is
// told by verification; what it says of the chains is not believed.
func (t *trail) take(next iam.Checkpoint) (string, error) {
	reason, err := t.bad(next)
	if err == nil && reason == "" {
		reason, err = t.misplaced(next)
	}
	if err != nil {
		return "", err
	}
	t.first, t.before = false, next
	switch {
	case reason != "" && next.Number >= t.published.Number:
		return reason, nil
	case reason != "":
		t.heads = nil
		return "", nil
	case next.Full:
		t.heads = map[string]iam.ChainHead{}
	}
	if t.heads != nil {
		for _, head := range next.Heads {
			t.heads[head.OrganizationID] = head
		}
	}
	return "", nil
}

// bad says what is wrong with a checkpoint itself.
func (t *trail) bad(c iam.Checkpoint) (string, error) {
	switch {
	case c.Incarnation != t.incarnation:
		return fmt.Sprintf("checkpoint %d of the audit log is of another store, %s", c.Number, c.Incarnation), nil
	case c.Number == t.published.Number && !sameCheckpoint(c, t.published):
		return fmt.Sprintf("checkpoint %d of the audit log was published, and is not the one that the store has: the log was rewritten", c.Number), nil
	}
	bad, err := t.keys.verifyStored(c)
	if err != nil || bad == "" {
		return "", err
	}
	return fmt.Sprintf("checkpoint %d of the audit log is not one that was signed: %s", c.Number, bad), nil
}

// misplaced says why a checkpoint does not follow the one before it.
func (t *trail) misplaced(next iam.Checkpoint) (string, error) {
	if next.Number != t.before.Number+1 {
		return fmt.Sprintf("checkpoint %d of the audit log is missing", t.before.Number+1), nil
	}
	if t.first {
		return "", nil
	}
	hash, err := t.before.Hash()
	if err != nil || hash == next.Previous {
		return "", err
	}
	return fmt.Sprintf("checkpoint %d of the audit log does not follow the one before it", next.Number), nil
}

// headsNow reads the heads of all chains.
func (c *Checkpointer) headsNow(ctx context.Context) (heads []iam.ChainHead, err error) {
	_, err = c.Store.Write(ctx, func(tx store.Tx) error {
		var err error
		heads, err = tx.ChainHeads(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the heads of the chains: %w", err)
	}
	return heads, nil
}

// outgrown says of which chain what is there now did not grow from what it was; empty if all did. It reads
// one event of each chain that changed. Where it was is nil, anything is accepted.
func (c *Checkpointer) outgrown(ctx context.Context, incarnation string, was map[string]iam.ChainHead, now []iam.ChainHead) (string, error) {
	if was == nil {
		return "", nil
	}
	there := 0
	for _, head := range now {
		before, known := was[head.OrganizationID]
		if known {
			there++
		} else {
			genesis := iam.GenesisHash(incarnation, head.OrganizationID)
			before = iam.ChainHead{OrganizationID: head.OrganizationID, Hash: genesis, DroppedHash: genesis}
		}
		if head == before {
			continue
		}
		if reason, err := c.replaced(ctx, before, head); err != nil || reason != "" {
			return reason, err
		}
	}
	if there < len(was) {
		return fmt.Sprintf("of %d chains of the audit log that were vouched for, %d are missing", len(was), len(was)-there), nil
	}
	return "", nil
}

// replaced says why a chain did not grow from what it was. Only the checkpointer's own transactions
// remove events, and they vouch for it at once.
func (c *Checkpointer) replaced(ctx context.Context, was, now iam.ChainHead) (string, error) {
	name := fmt.Sprintf("the chain of Organization %s", now.OrganizationID)
	if now.OrganizationID == "" {
		name = "the chain of what belongs to no Organization"
	}
	switch {
	case now.DroppedSequence != was.DroppedSequence || now.DroppedHash != was.DroppedHash:
		return fmt.Sprintf("%s begins after event %d, and was vouched for from event %d on: it was not retention that removed what was between", name, now.DroppedSequence, was.DroppedSequence), nil
	case now.Sequence <= was.Sequence:
		return fmt.Sprintf("%s ends with event %d, and is not what was vouched for up to event %d: it was rewritten", name, now.Sequence, was.Sequence), nil
	}
	next, err := c.Store.EventsAfter(ctx, scopeOf(now.OrganizationID), was.Sequence, 1)
	if errors.Is(err, store.ErrEventsGone) {
		return fmt.Sprintf("%s is said to have lost events after %d, and it was not retention that removed them", name, was.Sequence), nil
	}
	if reason, err := unreadable(err); reason != "" || err != nil {
		return reason, err
	}
	if len(next) == 0 || next[0].Seal.Previous != was.Hash {
		return fmt.Sprintf("%s does not go on from event %d as it was vouched for: it was rewritten", name, was.Sequence), nil
	}
	return "", nil
}
