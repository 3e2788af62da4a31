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

// Checkpointer signs how far the chains have come. Its exported fields are needed, but for Made, Forked and Restarted.
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
	// Restarted is told once, when the first checkpoint of a store takes the place of that of another; it may be nil.
	Restarted func(former iam.Checkpoint)

	mu sync.Mutex // over what follows
	// loaded says that the rest is what the store and the publication have.
	loaded    bool
	fork      *ForkedError
	last      iam.Checkpoint
	heads     map[string]iam.ChainHead // as last and those before say; nil where whatever is there is accepted
	full      bool                     // the next one is to name all chains
	anew      bool                     // last is not signed, and accepted: the next one begins the checkpoints anew
	restarted bool                     // published.Former is of another store, and nothing was published since
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
	heads, reason, err := c.examine(ctx, published.Newest, last, revision.Incarnation)
	if err != nil {
		return err
	}
	if reason != "" {
		return c.forked(reason, published.Newest, last.Number)
	}
	c.tellFork(nil)
	return c.goOn(published, last, heads, revision.Incarnation)
}

// goOn takes over what the store and the publication have.
func (c *Checkpointer) goOn(published Published, last iam.Checkpoint, heads map[string]iam.ChainHead, incarnation string) error {
	var err error
	if c.anew, err = c.unsigned(last, incarnation); err != nil {
		return err
	}
	c.last, c.heads, c.full, c.oldest = last, heads, true, max(last.Oldest, 1)
	if c.anew {
		c.oldest = last.Number + 1
	}
	newest := published.Newest
	if c.restarted = newest != nil && newest.Incarnation != incarnation; c.restarted {
		published.Former, published.Newest = newest, nil
	}
	c.published, c.loaded = published, true
	return nil
}

// Ready reads what the store and the publication have, where that is not known; it gives a *ForkedError while the
// store is not what was vouched for. Nothing may be removed then.
func (c *Checkpointer) Ready(ctx context.Context) error { return c.ready(ctx, false) }

// unsigned says whether the last checkpoint is none that verification would take, so that those after it
// must not rest on it. It is never so but where an administrator has accepted it.
func (c *Checkpointer) unsigned(last iam.Checkpoint, incarnation string) (bool, error) {
	if last.Number == 0 {
		return false, nil
	}
	bad, err := c.Keys.Public.verifyStored(last)
	return bad != "" || last.Incarnation != incarnation, err
}

// forked remembers and tells that the store is not what was vouched for.
func (c *Checkpointer) forked(reason string, published *iam.Checkpoint, number int64) error {
	fork := &ForkedError{Number: number, Reason: reason}
	if published != nil {
		fork.Published = *published
	}
	c.loaded = false
	c.tellFork(fork)
	return fork
}

func (c *Checkpointer) tellFork(fork *ForkedError) {
	was := c.fork
	c.fork = fork
	if c.Forked != nil && (fork == nil) != (was == nil) {
		c.Forked(fork)
	}
}

// behind gives how many events there are that no checkpoint covers, about: the sequence has no gaps to speak of.
func (c *Checkpointer) behind(ctx context.Context) (int64, error) {
	there, err := c.Store.EventRange(ctx, store.EventScope{})
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.anew {
		return everyEvents, nil
	}
	return there.Newest - c.last.Sequence, nil
}

func (c *Checkpointer) unpublished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.Number > 0 && !c.anew && (c.published.Newest == nil || c.published.Newest.Number < c.last.Number)
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
	if c.restarted && c.Restarted != nil {
		c.Restarted(*next.Former)
	}
	c.restarted = false
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
	revision, err := c.Store.Revision(ctx)
	if err != nil {
		return fmt.Errorf("read the store's incarnation: %w", err)
	}
	w := &writing{Checkpointer: c, incarnation: revision.Incarnation, oldest: max(oldest, c.oldest), fn: fn}
	if err := w.look(ctx); err != nil {
		return err
	}
	_, err = c.Store.Write(ctx, func(tx store.Tx) error { return w.run(ctx, tx) })
	if w.reason != "" {
		return c.forked(w.reason, c.published.Newest, c.last.Number)
	}
	if err != nil {
		c.loaded = false // It may have been committed all the same.
		return fmt.Errorf("make an audit checkpoint: %w", err)
	}
	if w.next != nil {
		c.last, c.heads, c.oldest, c.full, c.anew = *w.next, w.heads, w.oldest, false, false
	}
	return nil
}

// writing is a transaction of the checkpointer.
type writing struct {
	*Checkpointer
	incarnation string
	oldest      int64
	fn          func(store.Tx) (bool, error)
	// looked is how far the chains were found to have grown from what was signed.
	looked map[string]iam.ChainHead
	// next and heads are what comes of it; reason is why nothing does, and the store is forked.
	next   *iam.Checkpoint
	heads  map[string]iam.ChainHead
	reason string
}

// errForked ends a transaction; the writing has the reason.
var errForked = errors.New("the audit log is not what was vouched for")

// look says whether the chains have grown from what was signed, while others can write.
func (w *writing) look(ctx context.Context) error {
	now, err := w.headsNow(ctx)
	if err != nil {
		return err
	}
	reason, err := w.outgrown(ctx, w.incarnation, w.Checkpointer.heads, now)
	if err != nil {
		return err
	}
	if reason != "" {
		return w.forked(reason, w.published.Newest, w.last.Number)
	}
	w.looked = make(map[string]iam.ChainHead, len(now))
	for _, head := range now {
		w.looked[head.OrganizationID] = head
	}
	return nil
}

// run is what is done in the transaction; it may run again.
func (w *writing) run(ctx context.Context, tx store.Tx) error {
	now, err := tx.ChainHeads(ctx)
	if err != nil {
		return err
	}
	// What came since it was looked; the store, beside the transaction, shows what was committed before it.
	if w.reason, err = w.outgrown(ctx, w.incarnation, w.looked, now); err != nil {
		return err
	}
	if w.reason != "" {
		return errForked
	}
	due := w.anew || w.oldest != w.Checkpointer.oldest
	if w.fn != nil {
		removed, err := w.fn(tx)
		if err != nil {
			return err
		}
		if due = due || removed; removed {
			if now, err = tx.ChainHeads(ctx); err != nil {
				return err
			}
		}
	}
	if w.next, w.heads, err = w.Checkpointer.next(now, iam.Checkpoint{Incarnation: w.incarnation, Oldest: w.oldest}, due); err != nil || w.next == nil {
		return err
	}
	return tx.AppendCheckpoint(ctx, *w.next)
}

// next gives the checkpoint of what a transaction has come to; nil where it is not due, and there is no new event.
func (c *Checkpointer) next(all []iam.ChainHead, next iam.Checkpoint, due bool) (*iam.Checkpoint, map[string]iam.ChainHead, error) {
	next.Number, next.Sequence, next.At, next.Heads = c.last.Number+1, c.last.Sequence, c.Now().UTC(), []iam.ChainHead{}
	next.Full = c.full || next.Number%fullEvery == 1
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
		previous, err := c.last.Hash()
		if err != nil {
			return nil, nil, err
		}
		next.Previous = previous
	}
	next, err := c.Keys.sign(next)
	return &next, heads, err
}
