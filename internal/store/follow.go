// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
)

// followBatch is how many changes a follower reads at once.
const followBatch = 500

// Follow calls apply with every change after a revision, each once and in order, and waits
// for more until the context ends. It returns the context's error, the one that apply
// gives, or the store's: ErrRevisionGone means that the follower must begin anew from a Snapshot.
func Follow(ctx context.Context, s Store, after Revision, apply func(Change) error) error {
	for {
		changed := s.Changed()
		changes, err := s.Changes(ctx, after, followBatch)
		if err != nil {
			return fmt.Errorf("follow after revision %s: %w", after, err)
		}
		for _, change := range changes {
			if err := apply(change); err != nil {
				return err
			}
			after = change.Revision
		}
		if len(changes) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
