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

// VerifyStore verifies all audit events and checkpoints of a store. It reads them once, in bounded
// memory, while the store may be written. What it finds is the Finding of the result; an error means
// that it could not go on. Progress is told the number of events that were verified so far; it may be nil.
func VerifyStore(ctx context.Context, source Source, trust Trust, progress func(events int64)) (Result, error) {
	at, err := takeCut(ctx, source, nil)
	for err == nil {
		var result Result
		result, err = at.verify(ctx, source, trust, progress)
		if !errors.Is(err, store.ErrEventsGone) {
			return result, err
		}
		// Retention has removed what was about to be read; if it was retention.
		var later cut
		if later, err = takeCut(ctx, source, nil); err == nil && later.last.Number == at.last.Number {
			result.Finding = &Finding{Problem: Removed, Text: "it is recorded that retention has removed more than the list of chains says"}
			return result, nil
		}
		at = later
	}
	if finding := findingIn(err); finding != nil {
		return Result{Incarnation: source.Incarnation(), Finding: finding}, nil
	}
	return Result{}, err
}

func (c cut) verify(ctx context.Context, source Source, trust Trust, progress func(events int64)) (Result, error) {
	v := newVerifier(c.incarnation, trust, nil, c.last.Oldest)
	for _, head := range c.heads {
		v.begin(head)
	}
	return v.conclude(func() error {
		if err := v.checkTrust(); err != nil {
			return err
		}
		err := c.walk(ctx, source, position{}, visitor{
			event: func(chain string, event iam.Event) error {
				if progress != nil {
					progress(v.result.Events)
				}
				return v.whole(chain, event)
			},
			checkpoint: v.checkpoint,
		})
		if err != nil {
			return err
		}
		if err := v.finish(c.heads); err != nil {
			return err
		}
		return listed(ctx, source)
	})
}

// listed looks for events that queries pass by.
func listed(ctx context.Context, source Source) error {
	sequence, err := source.Unlisted(ctx)
	if err != nil {
		return fmt.Errorf("look for events that queries do not find: %w", err)
	}
	if sequence == 0 {
		return nil
	}
	chain := ""
	if events, err := source.Events(ctx, store.EventQuery{Before: sequence + 1, Limit: 1}); err == nil && len(events) > 0 && events[0].Sequence == sequence {
		chain = events[0].Organization.ID
	}
	return &Finding{Problem: Unlisted, OrganizationID: chain, Sequence: sequence, Text: "the event is whole, but queries do not find it by all that it says: the index was altered"}
}

// whole takes in an event that is there with all that it says.
func (v *verifier) whole(chain string, event iam.Event) error {
	if v.trust.restarted(v.result.Incarnation) && event.RecordedAt.Before(v.trust.Former.At.Add(-newStoreSlack)) {
		return &Finding{Problem: Restarted, OrganizationID: chain, Sequence: event.Sequence,
			Text: fmt.Sprintf("it is of %s, and so older than the last checkpoint of the store %s, which this one is said to have come after: the log was rewritten under another name",
				event.RecordedAt.UTC().Format(time.RFC3339), v.trust.Former.Incarnation)}
	}
	content, err := event.ContentHash()
	if err != nil {
		return err
	}
	return v.event(link{chain: chain, sequence: event.Sequence, content: content, seal: event.Seal})
}

// conclude runs a verification, and tells what it found from what kept it from going on.
func (v *verifier) conclude(run func() error) (Result, error) {
	err := run()
	if finding := findingIn(err); finding != nil {
		v.result.Finding = finding
		return v.result, nil
	}
	return v.result, err
}

// findingIn gives what an error tells of tampering; nil if it is something else.
func findingIn(err error) *Finding {
	var finding *Finding
	var event *store.UnreadableEventError
	var stray *store.StrayEventError
	var checkpoint *store.UnreadableCheckpointError
	switch {
	case errors.As(err, &finding):
		return finding
	case errors.As(err, &event):
		return &Finding{Problem: Altered, Sequence: event.Sequence, Text: event.Err.Error()}
	case errors.As(err, &stray):
		return &Finding{Problem: Inserted, OrganizationID: stray.OrganizationID, Sequence: stray.Sequence, Text: stray.Reason + ", and queries show the event all the same"}
	case errors.As(err, &checkpoint):
		return &Finding{Problem: Altered, Checkpoint: max(checkpoint.Number, 1), Text: checkpoint.Err.Error()}
	}
	return nil
}

func orFinding(finding *Finding, err error) error {
	if err != nil || finding == nil {
		return err
	}
	return finding
}
