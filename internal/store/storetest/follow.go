// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func followContracts() []contract {
	return []contract{
		{"followers see every revision once and in order while others write", testFollowers},
		{"a follower that is too far behind must begin anew", testFollowerBehind},
		{"a follower ends with its context, with its own error, and with the store", testFollowerEnds},
		{"a commit wakes those who wait", testChanged},
	}
}

func testFollowers(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	const followers, writers, each = 3, 3, 12
	const changes = writers * each / 3 * (2 + 2 + 1)
	enough := errors.New("enough")
	var wg sync.WaitGroup
	replicas := make([]replica, followers)
	for i := range followers {
		r := takeReplica(t, s)
		wg.Go(func() {
			err := store.Follow(t.Context(), s, r.revision, func(change store.Change) error {
				if r.apply(t, change); r.revision.N >= changes {
					return enough
				}
				return nil
			})
			wantError(t, err, enough)
			replicas[i] = r
		})
	}
	writeMuch(t, s, writers, each, func(store.Revision) {})
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	await(t, done, "the last change")
	want := takeReplica(t, s)
	for i, r := range replicas {
		if r.revision != want.revision || r.content(t) != want.content(t) {
			t.Errorf("follower %d came to %s\n%swant %s\n%s", i, r.revision, r.content(t), want.revision, want.content(t))
		}
	}
}

func testFollowerBehind(t *testing.T, h Harness) {
	s := h.Open(t, Options{KeepChanges: keepFew})
	first := put(t, s, project("o", "0", "P"))
	// The follower is held up at its first change until the next ones are gone. It may have
	// read a portion by then, and applies it; but it never skips one.
	put(t, s, project("o", "0", "Q"))
	after := first
	err := store.Follow(t.Context(), s, first, func(change store.Change) error {
		if after == first {
			writeUntilGone(t, s, change.Revision)
		}
		if change.Revision.N != after.N+1 {
			t.Errorf("after %s came %s", after, change.Revision)
		}
		after = change.Revision
		return nil
	})
	wantError(t, err, store.ErrRevisionGone)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := takeReplica(t, s) // anew
	put(t, s, project("o", "0", "R"))
	err = store.Follow(ctx, s, r.revision, func(change store.Change) error {
		r.apply(t, change)
		cancel()
		return nil
	})
	wantError(t, err, context.Canceled)
	if want := takeReplica(t, s); r.content(t) != want.content(t) {
		t.Errorf("the follower holds\n%swant\n%s", r.content(t), want.content(t))
	}
}

func testFollowerEnds(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	start := revisionOf(t, s)
	put(t, s, project("o", "a", "A"))
	mine := errors.New("mine")
	wantError(t, store.Follow(t.Context(), s, start, func(store.Change) error { return mine }), mine)

	ended := make(chan error, 2)
	reached := make(chan struct{}, 2)
	follow := func(ctx context.Context) {
		ended <- store.Follow(ctx, s, start, func(store.Change) error { reached <- struct{}{}; return nil })
	}
	ctx, cancel := context.WithCancel(t.Context())
	go follow(ctx)
	<-reached
	cancel()
	wantError(t, <-ended, context.Canceled)

	go follow(t.Context())
	<-reached
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	wantError(t, <-ended, store.ErrClosed)
}

func testChanged(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	commits := map[string]func(tx store.Tx) error{
		"a put":     func(tx store.Tx) error { return putAll(t.Context(), tx, project("o", "a", "A")) },
		"an append": func(tx store.Tx) error { return tx.Append(t.Context(), event("e")) },
		"a deletion": func(tx store.Tx) error {
			_, err := tx.Delete(t.Context(), iam.KindProject, "a")
			return err
		},
	}
	for _, name := range []string{"a put", "an append", "a deletion"} {
		one, two := s.Changed(), s.Changed()
		write(t, s, commits[name])
		await(t, one, "the hint of "+name)
		await(t, two, "the hint of "+name+", to another follower")
	}
	waiting := s.Changed()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	await(t, waiting, "the hint of the end")
	await(t, s.Changed(), "the hint after the end")
}
