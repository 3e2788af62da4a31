// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// hold takes the writer's turn with a Write that goes on until release is called.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	started, proceed, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := s.Write(context.Background(), func(store.Tx) error { close(started); <-proceed; return nil })
		done <- err
	}()
	<-started
	release = sync.OnceFunc(func() {
		close(proceed)
		if err := <-done; err != nil {
			t.Errorf("the write that held the turn: %v", err)
		}
	})
	t.Cleanup(release)
	return release
}

// awaitLine waits until so many small writes are in line.
func awaitLine(s *Store, want int) {
	for {
		s.group.mu.Lock()
		n := len(s.group.waiting)
		s.group.mu.Unlock()
		if n == want {
			return
		}
		runtime.Gosched()
	}
}

// attributeLater records something about an object, named by its digest, and is in line when it returns.
func attributeLater(ctx context.Context, s *Store, place int, digest string) <-chan error {
	outcome := make(chan error, 1)
	go func() { outcome <- s.Attribute(ctx, iam.Attribution{ObjectUID: "x", Digest: digest}) }()
	awaitLine(s, place)
	return outcome
}

func wantDigests(t *testing.T, s *Store, want ...string) {
	t.Helper()
	records, err := s.Attributions(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, record := range records {
		got = append(got, record.Digest)
	}
	if !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// TestGroupsShareACommit commits those who wait together, in order, and as many as the limit allows.
func TestGroupsShareACommit(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	release := hold(t, s)
	const many = groupLimit + 7
	ran := make(map[*transaction][]int)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			err := s.share(t.Context(), urgency{wakes: true}, func(_ context.Context, tx *transaction) error {
				ran[tx] = append(ran[tx], i) // one writer at a time
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		awaitLine(s, i+1)
	}
	release()
	wg.Wait()
	var sizes []int
	for _, order := range ran {
		sizes = append(sizes, len(order))
		if !slices.IsSorted(order) {
			t.Errorf("a group ran in the order %v", order)
		}
	}
	if slices.Sort(sizes); !slices.Equal(sizes, []int{7, groupLimit}) {
		t.Errorf("the groups have the sizes %v", sizes)
	}
}

// TestWritesBetweenGroups writes while more small writes come than one group holds, without end:
// a line that kept the turn as long as anybody waits would let no Write through.
func TestWritesBetweenGroups(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for range groupLimit + 10 {
		wg.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
				}
				if err := s.share(t.Context(), urgency{}, func(context.Context, *transaction) error { return nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	fill(t, s, "a", "b", "c", "d", "e")
	close(enough)
	wg.Wait()
}

// TestLeavingTheLine records nothing for a caller whose context ended before its turn came.
func TestLeavingTheLine(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	first := attributeLater(t.Context(), s, 1, "first")
	gone := attributeLater(ctx, s, 2, "gone")
	second := attributeLater(t.Context(), s, 3, "second")
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) { // at once: the turn is still taken
		t.Errorf("who left got %v", err)
	}
	awaitLine(s, 2)
	release()
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
	wantDigests(t, s, "first", "second")
}

// TestCloseEmptiesTheLine tells those in line of the end, without waiting for the write under way.
func TestCloseEmptiesTheLine(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	release := hold(t, s)
	var outcomes []<-chan error
	for i := range groupLimit + 1 {
		outcomes = append(outcomes, attributeLater(t.Context(), s, i+1, fmt.Sprint(i)))
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for _, outcome := range outcomes {
		if err := <-outcome; !errors.Is(err, store.ErrClosed) {
			t.Errorf("in line of a store that closes: %v", err)
		}
	}
	release()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestFailingGroup leaves nothing of a group that fails, and serves the next one.
func TestFailingGroup(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	attribute := func(digest string) *ticket {
		return &ticket{urgency: urgency{wakes: true}, done: make(chan error, 1), write: func(ctx context.Context, tx *transaction) error {
			return tx.exec(ctx, "INSERT INTO attributions (object_uid, generation, digest, deletion, at, made_at, body) VALUES ('x', 0, ?, 0, 0, 0, '{}')", digest)
		}}
	}
	mine := errors.New("mine")
	failing := map[string]func(ctx context.Context, tx *transaction) error{
		"its own error": func(context.Context, *transaction) error { return mine },
		"SQLite's": func(ctx context.Context, tx *transaction) error {
			return tx.exec(ctx, "INSERT INTO meta (one) VALUES (2)")
		},
	}
	for name, write := range failing {
		hint := s.Changed()
		if err := s.commitGroup([]*ticket{attribute("before"), {write: write}, attribute("after")}); err == nil {
			t.Errorf("%s: the group did not fail", name)
		}
		select {
		case <-hint:
			t.Errorf("%s: the group woke somebody", name)
		default:
		}
		wantDigests(t, s)
	}
	if err := s.Attribute(t.Context(), iam.Attribution{ObjectUID: "x", Digest: "next"}); err != nil {
		t.Error(err)
	}
	wantDigests(t, s, "next")
}

// TestNothingToSweep takes no turn, and so waits for nobody.
func TestNothingToSweep(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	if err := s.Attribute(t.Context(), iam.Attribution{ObjectUID: "x", Generation: 2, Digest: "d"}); err != nil {
		t.Fatal(err)
	}
	hold(t, s)
	if err := s.ForgetAttributions(t.Context(), "x", 2, "e"); err != nil {
		t.Error(err)
	}
	if err := s.Settle(t.Context(), "m", 7); err != nil {
		t.Error(err)
	}
	wantDigests(t, s, "d")
}

// TestRelaxedCommits has each commit wait for the disk unless all that is in it may be lost with the machine.
func TestRelaxedCommits(t *testing.T) {
	s := open(t, Options{Path: newPath(t)})
	for _, step := range []struct {
		name    string
		write   func() error
		relaxed string
	}{
		{"a change", func() error { fill(t, s, "a"); return nil }, "2"},
		{"who asked", func() error { return s.Attribute(t.Context(), iam.Attribution{ObjectUID: "a"}) }, "1"},
		{"a change after it", func() error { fill(t, s, "b"); return nil }, "2"},
		{"forgetting who asked", func() error { return s.ForgetAttributions(t.Context(), "a", 1, "") }, "1"},
		{"what log-in tells", func() error {
			return s.Tell(t.Context(), iam.MemberEvent{MemberID: "m", Kind: iam.LoginFailed})
		}, "2"},
		{"forgetting again", func() error {
			return errors.Join(s.Attribute(t.Context(), iam.Attribution{ObjectUID: "a"}), s.ForgetAttributions(t.Context(), "a", 1, ""))
		}, "1"},
		{"what was refused", func() error { return s.Submit(t.Context(), iam.Event{ID: "e"}) }, "2"},
	} {
		if err := step.write(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		<-s.turn
		var level string
		err := s.session.conn.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&level)
		s.turn <- struct{}{}
		if err != nil || level != step.relaxed {
			t.Errorf("%s: synchronous is %s, want %s (%v)", step.name, level, step.relaxed, err)
		}
	}
	mixed := []*ticket{
		{urgency: urgency{relaxed: true}, done: make(chan error, 1), write: func(context.Context, *transaction) error { return nil }},
		{done: make(chan error, 1), write: func(context.Context, *transaction) error { return nil }},
	}
	if err := s.commitGroup(mixed); err != nil || s.session.relaxed {
		t.Errorf("a group with one that must not be lost does not wait for the disk: %v", err)
	}
}
