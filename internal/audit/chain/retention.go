// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	// Kept is how long the events are kept that belong to no Organization, how long those of an Organization
	// that was deleted are after the last of them, and how long checkpoints are.
	Kept = 720 * time.Hour
	// dropBatch is how many events go in one transaction: writers wait for it, and should not notice.
	dropBatch = 20
	// forgetAtOnce is how many checkpoints are forgotten at once at least. To forget takes one more, so that in a system
	// in which nothing happens any more it would never end if a few were worth it.
	forgetAtOnce = 200
	// dropSlack is how long events wait beyond their time, so that many go at once and one event tells of them.
	dropSlack = time.Hour
)

// Retention removes the events that are older than they are to be kept. All fields are needed.
type Retention struct {
	Store        store.Store
	Checkpointer *Checkpointer
	Recorder     *audit.Recorder
	Now          func() time.Time
	// Pause lets others write between two batches; it fails when the context ends.
	Pause func(ctx context.Context) error
}

// Run looks at all chains once, and removes what is due. Each batch is vouched for in the commit that removes it,
// so that nobody else can remove events and say that it was retention. Where nothing is due nothing is written.
// What fails of one chain keeps no other from its turn. What an earlier run removed and could not tell is told first.
func (r *Retention) Run(ctx context.Context) error {
	var heads []iam.ChainHead
	var untold []string
	_, err := r.Store.Write(ctx, func(tx store.Tx) error {
		var err error
		if heads, err = tx.ChainHeads(ctx); err == nil {
			untold, err = tx.UntoldChains(ctx)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the heads of the chains: %w", err)
	}
	var failed error
	for _, chain := range untold {
		err := r.tell(ctx, chain)
		failed = errors.Join(failed, err)
		if ends(ctx, err) {
			return failed
		}
	}
	for _, head := range heads {
		before, err := r.due(ctx, head)
		if err == nil && !before.IsZero() {
			err = r.drop(ctx, head.OrganizationID, before)
		}
		failed = errors.Join(failed, err)
		if ends(ctx, err) {
			return failed
		}
	}
	return errors.Join(failed, r.dropCheckpoints(ctx))
}

// ends says whether nothing can be done for other chains either.
func ends(ctx context.Context, err error) bool {
	var forked *ForkedError
	return ctx.Err() != nil || errors.Is(err, store.ErrClosed) || errors.As(err, &forked)
}

// due gives the time before which events of a chain go; zero where none is due.
func (r *Retention) due(ctx context.Context, head iam.ChainHead) (time.Time, error) {
	if head.DroppedSequence >= head.Sequence {
		return time.Time{}, nil
	}
	kept, gone, err := r.kept(ctx, head.OrganizationID)
	if err != nil {
		return time.Time{}, err
	}
	scope, before := scopeOf(head.OrganizationID), r.Now().Add(-kept)
	looked := head.DroppedSequence
	if gone { // Everything waits for the last, so that nobody hides what was done by deleting the Organization.
		looked = head.Sequence - 1
	}
	oldest, err := r.Store.EventsAfter(ctx, scope, looked, 1)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the oldest event of the chain %q: %w", head.OrganizationID, err)
	}
	if len(oldest) == 0 || !oldest[0].RecordedAt.Before(before.Add(-dropSlack)) {
		return time.Time{}, nil
	}
	return before, nil
}

// kept gives how long the events of a chain are kept, and whether its Organization is gone.
func (r *Retention) kept(ctx context.Context, organizationID string) (time.Duration, bool, error) {
	if organizationID == "" {
		return Kept, false, nil
	}
	row, err := r.Store.Get(ctx, iam.KindOrganization, organizationID)
	if errors.Is(err, store.ErrNotFound) {
		return Kept, true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("find how long the events of Organization %s are kept: %w", organizationID, err)
	}
	if o, ok := row.Entity.(*iam.Organization); ok && o.AuditRetention > 0 {
		return o.AuditRetention, false, nil
	}
	return Kept, false, nil
}

// drop removes what is due of one chain, and then says so in an event.
func (r *Retention) drop(ctx context.Context, chain string, before time.Time) error {
	for removed := false; ; removed = true {
		var batch store.Dropped
		err := r.Checkpointer.Write(ctx, func(tx store.Tx) (bool, error) {
			var err error
			batch, err = tx.DropEvents(ctx, chain, before, dropBatch)
			return batch.Count > 0, err
		})
		if err == nil && batch.Count > 0 { // A batch may be small because the store passed by events of other chains.
			err = r.Pause(ctx)
		}
		if err == nil && batch.Count > 0 {
			continue
		}
		if removed || batch.Count > 0 {
			err = errors.Join(err, r.tell(ctx, chain))
		}
		return err
	}
}

// tell writes the event that counts what was removed of a chain, also when the operator is ending. What it cannot
// tell the next run tells. Where only the news of what went earlier were removed there is nothing to tell: if that were
// told as well, it would never end, and a system in which nothing happens any more would go on to write.
func (r *Retention) tell(ctx context.Context, chain string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	_, err := r.Store.Write(ctx, func(tx store.Tx) error {
		gone, err := tx.TakeDropped(ctx, chain)
		if err != nil || gone.Count == 0 {
			return err
		}
		return r.Recorder.Dropped(ctx, tx, chain, gone)
	})
	if err != nil {
		return fmt.Errorf("tell what was removed of the chain %q: %w", chain, err)
	}
	return nil
}

// dropCheckpoints removes checkpoints that are older than Kept, up to one that names all chains: what is kept begins
// with it. What events there are from before it are vouched for by the hashes that it names. While the log is not what
// was vouched for none is removed: they are what tells what happened.
func (r *Retention) dropCheckpoints(ctx context.Context) error {
	if err := r.Checkpointer.Ready(ctx); err != nil {
		return err
	}
	last, err := lastCheckpoint(ctx, r.Store)
	if err != nil || last.Number == 0 {
		return err
	}
	full, err := r.lastFull(ctx, max(last.Oldest, 1), r.Now().Add(-Kept))
	if err != nil {
		return err
	}
	if full-last.Oldest >= forgetAtOnce {
		if err := r.Checkpointer.forget(ctx, full); err != nil {
			return err
		}
		last.Oldest = full
	}
	return r.clear(ctx, last.Oldest)
}

// lastFull gives the number of the newest checkpoint before a time that names all chains; the oldest if there is none.
func (r *Retention) lastFull(ctx context.Context, oldest int64, before time.Time) (int64, error) {
	full := oldest
	for number := oldest; ; {
		page, err := r.Store.Checkpoints(ctx, number, checkpointPage)
		if err != nil {
			return 0, fmt.Errorf("read the checkpoints after %d: %w", number, err)
		}
		for _, checkpoint := range page {
			if !checkpoint.At.Before(before) {
				return full, nil
			}
			if checkpoint.Full {
				full = checkpoint.Number
			}
			number = checkpoint.Number
		}
		if len(page) == 0 {
			return full, nil
		}
	}
}

// clear removes the checkpoints before a number, which is signed as the oldest.
func (r *Retention) clear(ctx context.Context, oldest int64) error {
	for {
		left, err := r.Store.Checkpoints(ctx, 0, 1)
		if err != nil || len(left) == 0 || left[0].Number >= oldest {
			return err
		}
		_, err = r.Store.Write(ctx, func(tx store.Tx) error { return tx.DropCheckpoints(ctx, oldest, dropBatch) })
		if err != nil {
			return fmt.Errorf("remove the checkpoints before %d: %w", oldest, err)
		}
		if err := r.Pause(ctx); err != nil {
			return err
		}
	}
}
