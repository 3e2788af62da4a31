// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// gap is the part of the log from which retention has removed something, up to the newest event
// that it has. Organizations keep theirs for different times, so that what one has removed says
// nothing of the others: each chain is asked for what it has. What was read of one and is not yet
// its turn is kept for the next batch, so that however many chains there are each event is read
// once.
type gap struct {
	upTo   int64
	chains []*chainReader
}

// chainReader reads one chain, a few events ahead.
type chainReader struct {
	scope store.EventScope
	// after is up to where it was read, and newest where its chain ended when the gap was found:
	// what was added since is beyond every gap.
	after, newest int64
	ahead         []iam.Event
}

// findGap gives the gap after a sequence.
func findGap(ctx context.Context, s store.Store, after int64) (*gap, error) {
	all, err := s.EventRange(ctx, store.EventScope{})
	if err != nil {
		return nil, err
	}
	var heads []iam.ChainHead
	_, err = s.Write(ctx, func(tx store.Tx) (err error) {
		heads, err = tx.ChainHeads(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	g := &gap{upTo: all.Dropped}
	for _, head := range heads {
		if head.Sequence > after {
			scope := store.EventScope{OrganizationID: head.OrganizationID, OwnChain: head.OrganizationID == ""}
			g.chains = append(g.chains, &chainReader{scope: scope, after: after, newest: head.Sequence})
		}
	}
	return g, nil
}

// next gives the oldest events of the gap that no call gave before, up to limit; none at its end.
func (g *gap) next(ctx context.Context, s store.Store, limit int) ([]iam.Event, error) {
	var events []iam.Event
	for len(events) < limit {
		var first *chainReader
		for _, c := range g.chains {
			// All chains together read about as much ahead as one batch has.
			if err := c.fill(ctx, s, limit/len(g.chains)+1); err != nil {
				return nil, err
			}
			if len(c.ahead) > 0 && (first == nil || c.ahead[0].Sequence < first.ahead[0].Sequence) {
				first = c
			}
		}
		if first == nil || first.ahead[0].Sequence > g.upTo {
			break
		}
		events = append(events, first.ahead[0])
		first.ahead = first.ahead[1:]
	}
	return events, nil
}

// fill reads on, where what was read ahead is used up. What retention removes meanwhile is passed over.
func (c *chainReader) fill(ctx context.Context, s store.Store, count int) error {
	if len(c.ahead) > 0 || c.after >= c.newest {
		return nil
	}
	kept, err := s.EventRange(ctx, c.scope)
	if err != nil {
		return err
	}
	c.ahead, err = s.EventsAfter(ctx, c.scope, max(c.after, kept.Dropped), count)
	if err != nil {
		return err
	}
	c.after = c.newest
	if len(c.ahead) == count {
		c.after = c.ahead[count-1].Sequence
	}
	return nil
}
