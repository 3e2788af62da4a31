// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"container/heap"
	"context"
	"errors"
	"fmt"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Source is what is verified and exported: a view of a store, which an operator may be writing.
// Where a method is one of store.Store, it does what that says.
type Source interface {
	Incarnation() string
	Events(ctx context.Context, query store.EventQuery) ([]iam.Event, error)
	EventsAfter(ctx context.Context, scope store.EventScope, sequence int64, limit int) ([]iam.Event, error)
	Checkpoints(ctx context.Context, number int64, limit int) ([]iam.Checkpoint, error)
	LastCheckpoint(ctx context.Context) (iam.Checkpoint, error)
	// ChainHeads gives the heads of all chains.
	ChainHeads(ctx context.Context) ([]iam.ChainHead, error)
	// Unlisted gives the sequence of the first event that queries do not find by all that it
	// says, or whose columns are not what it says; zero if there is none. A *store.StrayEventError
	// names one that is not of its chain.
	Unlisted(ctx context.Context) (int64, error)
}

const (
	// buffered is about how many events are held in memory at once, over all chains.
	buffered = 20_000
	// fewest is how many events of a chain are read at once at least.
	fewest = 16
	// checkpointPage is how many checkpoints are read at once.
	checkpointPage = 200
	// tries is how often a cut is tried while the store is being written.
	tries = 10
)

// cut is one moment of a store: how far its chains and its checkpoints had come.
type cut struct {
	incarnation string
	heads       []iam.ChainHead
	// last is the newest checkpoint; its Number is 0 where there is none.
	last iam.Checkpoint
}

// takeCut finds a moment at which heads and checkpoints belong together: retention removes
// nothing without a checkpoint in the same commit, so that there is none in between.
func takeCut(ctx context.Context, source Source, only *string) (cut, error) {
	before, err := lastCheckpoint(ctx, source)
	if err != nil {
		return cut{}, err
	}
	for range tries {
		var heads []iam.ChainHead
		if heads, err = source.ChainHeads(ctx); err != nil {
			return cut{}, fmt.Errorf("read the heads of the chains: %w", err)
		}
		var after iam.Checkpoint
		if after, err = lastCheckpoint(ctx, source); err != nil {
			return cut{}, err
		}
		if after.Number == before.Number {
			return cut{source.Incarnation(), onlyHeads(heads, only), before}, nil
		}
		before = after
	}
	return cut{}, fmt.Errorf("the store is written too fast to be read at one moment: in each of %d attempts a checkpoint was made meanwhile; try again", tries)
}

func lastCheckpoint(ctx context.Context, source interface {
	LastCheckpoint(ctx context.Context) (iam.Checkpoint, error)
}) (iam.Checkpoint, error) {
	last, err := source.LastCheckpoint(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return iam.Checkpoint{}, nil
	}
	if err != nil {
		return iam.Checkpoint{}, fmt.Errorf("read the newest checkpoint: %w", err)
	}
	return last, nil
}

func onlyHeads(heads []iam.ChainHead, only *string) []iam.ChainHead {
	if only == nil {
		return heads
	}
	for _, head := range heads {
		if head.OrganizationID == *only {
			return []iam.ChainHead{head}
		}
	}
	return nil
}

// position is how far a reader has come.
type position struct {
	sequence   int64
	checkpoint int64
	// begun are the sequences after which the chains began when the reading did; nil for a reading that begins.
	begun map[string]int64
}

// missed says whether retention has since removed events of a chain that the reader has not come to.
func (p position) missed(head iam.ChainHead) bool {
	return p.begun != nil && head.DroppedSequence > max(p.sequence, p.begun[head.OrganizationID])
}

// visitor is shown what a walk comes past. What it returns ends the walk.
type visitor struct {
	event      func(chain string, event iam.Event) error
	checkpoint func(checkpoint iam.Checkpoint) error
}

// walk shows the events of a cut and its checkpoints in the order of the sequence, each checkpoint
// after all that it covers, beginning after a position.
func (c cut) walk(ctx context.Context, source Source, after position, visit visitor) error {
	streams, err := c.streams(ctx, source, after)
	if err != nil {
		return err
	}
	signed := &checkpoints{source: source, number: max(after.checkpoint, c.last.Oldest-1), through: c.last.Number}
	for streams.Len() > 0 {
		s := streams.all[0]
		event := s.page[0]
		if err := signed.below(ctx, event.Sequence, visit.checkpoint); err != nil {
			return err
		}
		if err := visit.event(s.chain(), event); err != nil {
			return err
		}
		more, err := s.next(ctx, source)
		if err != nil {
			return err
		}
		if more {
			heap.Fix(streams, 0)
		} else {
			heap.Pop(streams)
		}
	}
	return signed.rest(ctx, visit.checkpoint)
}

// streams opens all chains of a cut.
func (c cut) streams(ctx context.Context, source Source, after position) (*streams, error) {
	opened := &streams{}
	page := min(max(buffered/max(len(c.heads), 1), fewest), store.MaxPageSize)
	for _, head := range c.heads {
		if after.missed(head) {
			return nil, fmt.Errorf("%w: retention has removed events after %d; begin a new export", store.ErrEventsGone, after.sequence)
		}
		s := &stream{head: head, after: max(head.DroppedSequence, after.sequence), limit: page}
		more, err := s.fill(ctx, source)
		if err != nil {
			return nil, err
		}
		if more {
			opened.all = append(opened.all, s)
		}
	}
	heap.Init(opened)
	return opened, nil
}

// stream reads one chain.
type stream struct {
	head  iam.ChainHead
	after int64
	limit int
	page  []iam.Event
}

func (s *stream) chain() string { return s.head.OrganizationID }

func scopeOf(chain string) store.EventScope {
	return store.EventScope{OrganizationID: chain, OwnChain: chain == ""}
}

// next goes on to the next event, and says whether there is one.
func (s *stream) next(ctx context.Context, source Source) (bool, error) {
	if s.page = s.page[1:]; len(s.page) > 0 {
		return true, nil
	}
	return s.fill(ctx, source)
}

func (s *stream) fill(ctx context.Context, source Source) (bool, error) {
	if s.after >= s.head.Sequence {
		return false, nil
	}
	page, err := source.EventsAfter(ctx, scopeOf(s.chain()), s.after, s.limit)
	if err != nil {
		return false, fmt.Errorf("read the events after %d: %w", s.after, err)
	}
	if len(page) > 0 {
		s.after = page[len(page)-1].Sequence
	}
	// What came after the cut is not of it.
	for len(page) > 0 && page[len(page)-1].Sequence > s.head.Sequence {
		page = page[:len(page)-1]
	}
	s.page = page
	return len(page) > 0, nil
}

// streams is a heap of chains by the sequence of their next event.
type streams struct{ all []*stream }

// Len is the number of chains that have events left.
func (s *streams) Len() int { return len(s.all) }

// Less goes by the sequence.
func (s *streams) Less(i, j int) bool {
	return s.all[i].page[0].Sequence < s.all[j].page[0].Sequence
}

// Swap swaps two chains.
func (s *streams) Swap(i, j int) { s.all[i], s.all[j] = s.all[j], s.all[i] }

// Push is not used: chains only end.
func (s *streams) Push(x any) {
	if next, ok := x.(*stream); ok {
		s.all = append(s.all, next)
	}
}

// Pop takes the last chain away.
func (s *streams) Pop() any {
	last := s.all[len(s.all)-1]
	s.all = s.all[:len(s.all)-1]
	return last
}

// checkpoints reads the checkpoints after a number, up to and with another.
type checkpoints struct {
	source  Source
	number  int64
	through int64
	page    []iam.Checkpoint
	ended   bool
}

// below shows the checkpoints that cover no event of a sequence.
func (c *checkpoints) below(ctx context.Context, sequence int64, show func(iam.Checkpoint) error) error {
	for {
		if err := c.fill(ctx); err != nil {
			return err
		}
		if len(c.page) == 0 || c.page[0].Sequence >= sequence {
			return nil
		}
		if err := show(c.page[0]); err != nil {
			return err
		}
		c.page = c.page[1:]
	}
}

// rest shows all checkpoints that are left.
func (c *checkpoints) rest(ctx context.Context, show func(iam.Checkpoint) error) error {
	for {
		if err := c.fill(ctx); err != nil || len(c.page) == 0 {
			return err
		}
		if err := show(c.page[0]); err != nil {
			return err
		}
		c.page = c.page[1:]
	}
}

func (c *checkpoints) fill(ctx context.Context) error {
	if len(c.page) > 0 || c.ended {
		return nil
	}
	page, err := c.source.Checkpoints(ctx, c.number, checkpointPage)
	if err != nil {
		return fmt.Errorf("read the checkpoints after %d: %w", c.number, err)
	}
	if len(page) == 0 {
		c.ended = true
		return nil
	}
	// By the count and not by what they say, so that a number that was altered does not end in a circle.
	c.number += int64(len(page))
	for len(page) > 0 && page[len(page)-1].Number > c.through {
		page, c.ended = page[:len(page)-1], true
	}
	c.page = page
	return nil
}
