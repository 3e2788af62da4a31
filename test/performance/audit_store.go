// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	// writeEvery is how long after one write the next begins, while retention is at work.
	writeEvery = 5 * time.Millisecond
	// retentionPause is what the operator leaves other writers between two batches.
	retentionPause = 20 * time.Millisecond
)

// measuredGroup is the id of the row that the commits change; it goes in the end, since no object stands behind it.
const measuredGroup = "measured"

// measureStore measures what sealing costs a commit, and how long writers wait while retention removes what is beyond its time.
func (a *auditBench) measureStore(ctx context.Context, s store.Store, events *filler) error {
	say("Timing %d commits, and the seals of as many events", a.writes)
	commits, err := a.commits(ctx, s, events, a.writes)
	if err != nil {
		return err
	}
	seals, err := a.seals(events, a.writes)
	if err != nil {
		return err
	}
	say("Removing %d events by retention, with a write every %s", a.expired, writeEvery)
	during, removed, err := a.retain(ctx, s, events)
	if err != nil {
		return err
	}
	if _, err := s.Write(ctx, func(tx store.Tx) error { _, err := tx.Delete(ctx, iam.KindGroup, measuredGroup); return err }); err != nil {
		return err
	}
	if removed != a.expired {
		return fmt.Errorf("retention removed %d events, and %d were beyond their time", removed, a.expired)
	}
	a.found.store = []measurement{
		{name: "a commit of one change with its event", samples: commits},
		{name: "of it, to hash and seal the event", samples: seals},
		{name: fmt.Sprintf("a commit while retention removes %d events", a.expired), samples: during, bar: stallBar, longest: true},
	}
	return nil
}

// commits times writes of one change with its event, one after another.
func (a *auditBench) commits(ctx context.Context, s store.Store, events *filler, n int) ([]time.Duration, error) {
	var took []time.Duration
	for i := range n {
		d, err := a.commit(ctx, s, events, i)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	return took, nil
}

func (a *auditBench) commit(ctx context.Context, s store.Store, events *filler, i int) (time.Duration, error) {
	event, err := events.event(i)
	if err != nil {
		return 0, err
	}
	event.RecordedAt = time.Now()
	group := &iam.Group{Head: iam.Head{ID: measuredGroup, OrganizationID: events.organization.ID}, Name: fmt.Sprintf("group-%d", i)}
	start := time.Now()
	_, err = s.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Put(ctx, group); err != nil {
			return err
		}
		return tx.Append(ctx, event)
	})
	return time.Since(start), err
}

// seals times what a seal takes, without the commit.
func (a *auditBench) seals(events *filler, n int) ([]time.Duration, error) {
	var took []time.Duration
	var previous iam.Hash
	for i := range n {
		event, err := events.event(i)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		content, err := event.ContentHash()
		if err != nil {
			return nil, err
		}
		previous = iam.SealAfter(previous, content).Hash
		took = append(took, time.Since(start))
	}
	return took, nil
}

// retain removes what is beyond its time as the operator does, and times a writer's commits meanwhile.
func (a *auditBench) retain(ctx context.Context, s store.Store, events *filler) ([]time.Duration, int, error) {
	before, err := s.Events(ctx, store.EventQuery{EventScope: store.EventScope{Namespace: "expired"}, Limit: 1})
	if err != nil || len(before) == 0 {
		return nil, 0, fmt.Errorf("nothing is beyond its time: %w", err)
	}
	retention, err := retentionOf(s)
	if err != nil {
		return nil, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- retention.Run(ctx) }()
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	var took []time.Duration
	for i := 0; ; i++ {
		select {
		case err := <-ended:
			if err != nil {
				return nil, 0, err
			}
			removed, err := removedBy(ctx, s)
			return took, removed, err
		case <-ticker.C:
		}
		d, err := a.commit(ctx, s, events, i)
		if err != nil {
			return nil, 0, errors.Join(err, <-ended)
		}
		took = append(took, d)
	}
}

func retentionOf(s store.Store) (*chain.Retention, error) {
	keys, err := chain.NewKeys(rand.Reader, nil)
	if err != nil {
		return nil, err
	}
	return &chain.Retention{
		Store: s, Now: time.Now,
		Checkpointer: &chain.Checkpointer{
			Store: s, Keys: keys, Now: time.Now, After: time.After,
			Load:    func(context.Context) (chain.Published, error) { return chain.Published{}, nil },
			Publish: func(context.Context, chain.Published) error { return nil },
		},
		Recorder: &audit.Recorder{Now: time.Now, NewID: uuid.NewString, Namespace: "iam-operator-system", NamespaceUID: uuid.NewString()},
		Pause: func(ctx context.Context) error {
			select {
			case <-time.After(retentionPause):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}, nil
}

// removedBy counts what is gone, as the store itself says.
func removedBy(ctx context.Context, s store.Store) (int, error) {
	told, err := s.Events(ctx, store.EventQuery{EventFilter: store.EventFilter{Method: store.MethodDropAuditEvents}, Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(told) == 0 {
		return 0, errors.New("retention does not say what it removed")
	}
	return droppedCount(told[0])
}
