// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// VerifyStore verifies all audit events and checkpoints of a store. It reads them once, in bounded
// memory, while the store may be written. What it finds is the Finding of the result; an error means
// that it could not go on. Progress is told the number of events that were verified so far; it may be nil.
func VerifyStore(ctx context.Context, source Source, trust Trust, progress func(events int64)) (Result, error) {
	var result Result
	var err error
	for range tries {
		result, err = verifyStore(ctx, source, trust, progress)
		// Retention has removed what was about to be read.
		if !errors.Is(err, store.ErrEventsGone) {
			return result, err
		}
	}
	return result, err
}

func verifyStore(ctx context.Context, source Source, trust Trust, progress func(events int64)) (Result, error) {
	at, err := takeCut(ctx, source, nil)
	if err != nil {
		return Result{}, err
	}
	v := newVerifier(at.incarnation, trust, nil, at.last.Oldest)
	for _, head := range at.heads {
		v.begin(head)
	}
	return v.conclude(func() error {
		if err := v.checkTrust(); err != nil {
			return err
		}
		err := at.walk(ctx, source, position{}, visitor{
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
		if err := v.finish(at.heads); err != nil {
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
	content, err := event.ContentHash()
	if err != nil {
		return err
	}
	return v.event(link{chain: chain, sequence: event.Sequence, content: content, seal: event.Seal})
}

// conclude runs a verification, and tells what it found from what kept it from going on.
func (v *verifier) conclude(run func() error) (Result, error) {
	err := run()
	if errors.As(err, &v.result.Finding) {
		return v.result, nil
	}
	return v.result, err
}

func orFinding(finding *Finding, err error) error {
	if err != nil || finding == nil {
		return err
	}
	return finding
}
