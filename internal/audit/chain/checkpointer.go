// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	// tick is how often the checkpointer looks while there is something to do.
	tick = 100 * time.Millisecond
	// everyTicks is the least time from one checkpoint to the next, and from one publication to the next: a second.
	everyTicks = 10
	// everyEvents is after how many events a checkpoint does not wait for its second.
	everyEvents = 1000
	// fullEvery is which checkpoint names all chains, and not only those that changed.
	fullEvery = 600
	// forkedTicks is how often it is asked whether an administrator has accepted a fork.
	forkedTicks = 50
)

// Published is what vouches for the store from outside of it.
type Published struct {
	// Newest is the newest checkpoint; nil where there is none.
	Newest *iam.Checkpoint
	// Former is the last that was published of the store before this one; nil if there was none.
	Former *iam.Checkpoint
	// Keys are the public keys that checkpoints are signed with.
	Keys PublicKeys
}

// ErrMoved: what was published is not what was read or published before. It must be compared anew.
var ErrMoved = errors.New("somebody else has written or removed what was published")

// ForkedError says that the store is not the one, or not in the state, that was last vouched for. Nothing is
// signed then: a signature would make a rewritten log look like the true one.
type ForkedError struct {
	// Published is the checkpoint that the store does not have; Number is how far the store itself has come.
	Published iam.Checkpoint
	Number    int64
}

// Error says what does not fit, and what an administrator can do.
func (e *ForkedError) Error() string {
	what := fmt.Sprintf("checkpoint %d of the audit log was published, and is not the one that the store has: the log was rewritten", e.Published.Number)
	if e.Published.Number > e.Number {
		what = fmt.Sprintf("checkpoint %d of the audit log was published, and the store has come to %d only: an older copy of the database was put back", e.Published.Number, e.Number)
	}
	return what + "; no checkpoint is made, and nothing removed, until an administrator has looked into it and accepts what is there, by deleting the ConfigMap of the checkpoint"
}

// Checkpointer signs how far the chains have come. Its exported fields are needed, but for Made and Forked.
type Checkpointer struct {
	Store store.Store
	Keys  Keys
	Now   func() time.Time
	// After gives a channel that has something after a while.
	After func(time.Duration) <-chan time.Time
	// Load reads what was published last; Publish replaces it; ErrMoved if it is not what was read or published before.
	Load    func(ctx context.Context) (Published, error)
	Publish func(ctx context.Context, published Published) error
	// Made is told of each checkpoint, or of what kept it from being made or published; it may be nil.
	Made func(err error)
	// Forked is told when a fork is found, and with nil when it is over; it may be nil.
	Forked func(*ForkedError)

	mu sync.Mutex // over what follows
	// loaded says that the rest is what the store and the publication have.
	loaded    bool
	fork      *ForkedError
	last      iam.Checkpoint
	heads     map[string]iam.ChainHead // as last says; nil where the next one is to name all
	oldest    int64
	published Published
}

// Run makes and publishes checkpoints until the context ends: one at most each second, as long as there are new
// events, or sooner after a thousand of them. It is silent when there are none. What fails is tried again.
func (c *Checkpointer) Run(ctx context.Context) error {
	made, told := everyTicks, everyTicks
	for ctx.Err() == nil {
		changed := c.Store.Changed()
		next := c.step(ctx, &made, &told)
		if errors.Is(next.err, store.ErrClosed) {
			return nil
		}
		wait := changed
		if next.busy {
			wait = nil
		}
		select {
		case <-ctx.Done():
		case <-wait:
		case <-c.afterTick(next):
		}
	}
	c.finish(ctx)
	return nil
}

// lastWords bounds how long the operator's end waits for what it still has to vouch for, or to tell.
const lastWords = 2 * time.Second

// finish vouches for what came last, so that an operator that ends in order leaves nothing that nobody vouches for,
// and has nothing to write when it starts again.
func (c *Checkpointer) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	made, told := everyTicks, everyTicks
	c.step(ctx, &made, &told) // What fails is told, and done at the next start.
}

// outcome is what a step of Run came to.
type outcome struct {
	// busy says that there is something left to do, for which the time has not come.
	busy bool
	err  error
}

// afterTick waits for the next step, if there is to be one without a change.
func (c *Checkpointer) afterTick(next outcome) <-chan time.Time {
	if !next.busy {
		return nil
	}
	return c.After(tick)
}

// step does what is due. It counts the ticks since a checkpoint was made, and since one was published.
func (c *Checkpointer) step(ctx context.Context, made, told *int) outcome {
	*made, *told = *made+1, *told+1
	if err := c.ready(ctx, *made >= forkedTicks); err != nil {
		c.notReady(ctx, err, made)
		return outcome{busy: true, err: err}
	}
	err := c.signIfDue(ctx, made)
	if err == nil && c.unpublished() && *told >= everyTicks {
		*told = 0
		if err = c.publish(ctx); err != nil {
			c.tell(ctx, err)
		}
	}
	return outcome{busy: err != nil || c.unpublished() || min(*made, *told) < everyTicks, err: err}
}

// notReady tells of what went wrong each second. A fork was told of already, and is looked at again now and then.
func (c *Checkpointer) notReady(ctx context.Context, err error, made *int) {
	var forked *ForkedError
	switch {
	case errors.As(err, &forked):
		*made %= forkedTicks
	case *made >= everyTicks:
		*made = 0
		c.tell(ctx, err)
	}
}

// signIfDue makes a checkpoint if there is something new, and it is time.
func (c *Checkpointer) signIfDue(ctx context.Context, made *int) error {
	behind, err := c.behind(ctx)
	if err != nil || behind <= 0 || *made < everyTicks && behind < everyEvents {
		return err
	}
	*made = 0
	err = c.Write(ctx, nil)
	c.tell(ctx, err)
	return err
}

func (c *Checkpointer) tell(ctx context.Context, err error) {
	if c.Made != nil && ctx.Err() == nil {
		c.Made(err)
	}
}

// ready reads what the store and the publication have, where that is not known, and whether they fit.
func (c *Checkpointer) ready(ctx context.Context, again bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(ctx, again)
}

func (c *Checkpointer) load(ctx context.Context, again bool) error {
	if c.fork != nil && !again {
		return c.fork
	}
	if c.loaded && c.fork == nil {
		return nil
	}
	published, err := c.Load(ctx)
	if err != nil {
		return fmt.Errorf("read the checkpoint that was published last: %w", err)
	}
	last, err := lastCheckpoint(ctx, c.Store)
	if err != nil {
		return err
	}
	revision, err := c.Store.Revision(ctx)
	if err != nil {
		return fmt.Errorf("read the store's incarnation: %w", err)
	}
	fork, err := c.compare(ctx, published, last, revision.Incarnation)
	if err != nil {
		return err
	}
	c.tellFork(fork)
	if fork != nil {
		return fork
	}
	if newest := published.Newest; newest != nil && newest.Incarnation != revision.Incarnation {
		published.Former, published.Newest = newest, nil
	}
	c.published, c.last, c.heads, c.oldest, c.loaded = published, last, nil, max(last.Oldest, 1), true
	return nil
}

func (c *Checkpointer) tellFork(fork *ForkedError) {
	was := c.fork
	c.fork = fork
	if c.Forked != nil && (fork == nil) != (was == nil) {
		c.Forked(fork)
	}
}

// compare says whether the store is what was vouched for. Another store is no fork: a database that was lost is
// begun anew, and everybody sees it by its incarnation.
func (c *Checkpointer) compare(ctx context.Context, published Published, last iam.Checkpoint, incarnation string) (*ForkedError, error) {
	newest := published.Newest
	if newest == nil || newest.Incarnation != incarnation {
		return nil, nil
	}
	if newest.Number > last.Number {
		return &ForkedError{Published: *newest, Number: last.Number}, nil
	}
	kept, err := c.Store.Checkpoints(ctx, newest.Number-1, 1)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %d: %w", newest.Number, err)
	}
	if len(kept) > 0 && kept[0].Number == newest.Number && !sameCheckpoint(kept[0], *newest) {
		return &ForkedError{Published: *newest, Number: last.Number}, nil
	}
	return nil, nil
}

// behind gives how many events there are that no checkpoint covers, about: the sequence has no gaps to speak of.
func (c *Checkpointer) behind(ctx context.Context) (int64, error) {
	there, err := c.Store.EventRange(ctx, store.EventScope{})
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return there.Newest - c.last.Sequence, nil
}

func (c *Checkpointer) unpublished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.Number > 0 && (c.published.Newest == nil || c.published.Newest.Number < c.last.Number)
}

func (c *Checkpointer) publish(ctx context.Context) error {
	c.mu.Lock()
	last := c.last
	last.Heads = nil // There may be more than a ConfigMap holds; their hash is signed.
	next := Published{Newest: &last, Former: c.published.Former, Keys: c.Keys.Public}
	c.mu.Unlock()
	err := c.Publish(ctx, next) // Nobody waits for the network.
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.loaded = c.loaded && !errors.Is(err, ErrMoved)
		return fmt.Errorf("publish checkpoint %d: %w", last.Number, err)
	}
	c.published = next
	return nil
}

// Write runs fn in a transaction, and vouches for what it has done in the same commit, if it says that it removed
// something. fn may be nil, for a checkpoint of what is there; where nothing is new there is none. It gives a
// *ForkedError, and writes nothing, where the store is not what was vouched for.
func (c *Checkpointer) Write(ctx context.Context, fn func(store.Tx) (removed bool, err error)) error {
	return c.write(ctx, 0, fn)
}

// forget says that the checkpoints before one that names all chains are needed no more, and vouches for that; then
// they may be removed.
func (c *Checkpointer) forget(ctx context.Context, oldest int64) error {
	return c.write(ctx, oldest, nil)
}

func (c *Checkpointer) write(ctx context.Context, oldest int64, fn func(store.Tx) (bool, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx, false); err != nil {
		return err
	}
	oldest = max(oldest, c.oldest)
	var next *iam.Checkpoint
	var heads map[string]iam.ChainHead
	revision, err := c.Store.Revision(ctx)
	if err == nil {
		_, err = c.Store.Write(ctx, func(tx store.Tx) error {
			var err error
			due := oldest != c.oldest
			if fn != nil {
				removed, err := fn(tx)
				if err != nil {
					return err
				}
				due = due || removed
			}
			next, heads, err = c.next(ctx, tx, iam.Checkpoint{Incarnation: revision.Incarnation, Oldest: oldest}, due)
			if err != nil || next == nil {
				return err
			}
			return tx.AppendCheckpoint(ctx, *next)
		})
	}
	if err != nil {
		c.loaded = false // It may have been committed all the same.
		return fmt.Errorf("make an audit checkpoint: %w", err)
	}
	if next != nil {
		c.last, c.heads, c.oldest = *next, heads, oldest
	}
	return nil
}

// next gives the checkpoint of what a transaction has come to; nil where it is not due, and there is no new event.
func (c *Checkpointer) next(ctx context.Context, tx store.Tx, next iam.Checkpoint, due bool) (*iam.Checkpoint, map[string]iam.ChainHead, error) {
	all, err := tx.ChainHeads(ctx)
	if err != nil {
		return nil, nil, err
	}
	next.Number, next.Sequence, next.At, next.Heads = c.last.Number+1, c.last.Sequence, c.Now().UTC(), []iam.ChainHead{}
	next.Full = c.heads == nil || next.Number%fullEvery == 1
	heads := make(map[string]iam.ChainHead, len(all))
	for _, head := range all {
		heads[head.OrganizationID] = head
		if next.Full || head != c.heads[head.OrganizationID] {
			next.Heads = append(next.Heads, head)
		}
		next.Sequence = max(next.Sequence, head.Sequence)
	}
	if !due && next.Sequence == c.last.Sequence {
		return nil, nil, nil
	}
	if c.last.Number > 0 {
		if next.Previous, err = c.last.Hash(); err != nil {
			return nil, nil, err
		}
	}
	next, err = c.Keys.sign(next)
	return &next, heads, err
}
