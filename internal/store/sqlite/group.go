// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"slices"
	"sync"

	"github.com/iam-operator/iam-operator/internal/store"
)

// groupLimit is how many small writes share a commit at most. A group takes the writer's turn
// as any Write does, and this bounds how long it keeps others waiting.
const groupLimit = 128

// group gathers the small writes that take no revision and come from many callers at once,
// such as one of every admitted request. Those that come while a commit is under way wait
// together for the next one, and share its fsync. There is no delay to gather more: alone, a
// write commits at once.
type group struct {
	mu      sync.Mutex
	waiting []*ticket
	running bool
}

// ticket is one small write in line.
type ticket struct {
	write   func(ctx context.Context, t *transaction) error
	urgency urgency
	// done gives the outcome; it has room for it, so that nobody waits for a caller that left.
	done chan error
}

// urgency says what a small write asks for.
type urgency struct {
	// wakes: there is something new to see.
	wakes bool
	// relaxed: the commit need not wait for the disk. What it writes the sudden end of the machine
	// may take, and then nothing is lost that the rest of the store goes by.
	relaxed bool
}

// share runs a small write in a commit that it may share with others. It fails with the
// context when that ends first: what is not under way by then is not written, what is may be.
// A failure of SQLite is that of all who share the commit.
func (s *Store) share(ctx context.Context, as urgency, write func(context.Context, *transaction) error) error {
	if s.isClosed() {
		return store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	k := &ticket{write: write, urgency: as, done: make(chan error, 1)}
	if s.group.join(k) {
		go s.runGroups()
	}
	select {
	case err := <-k.done:
		return err
	case <-ctx.Done():
		s.group.leave(k)
		return ctx.Err()
	}
}

// join puts a ticket in line, and says whether there is nobody yet who serves the line.
func (g *group) join(k *ticket) (first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, k)
	first = !g.running
	g.running = true
	return first
}

// leave takes a ticket out of the line, if it is still there.
func (g *group) leave(k *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(other *ticket) bool { return other == k })
}

// next gives those who come next, up to a limit, in order. When there are none, whoever
// serves the line ends: the next to join starts another.
func (g *group) next(limit int) []*ticket {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(limit, len(g.waiting))
	if n == 0 {
		g.running = false
		return nil
	}
	taken := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return taken
}

// runGroups commits group after group until nobody waits. It takes its turn anew for each,
// behind the Writes that have come to wait meanwhile.
func (s *Store) runGroups() {
	for s.runGroup() {
	}
}

// runGroup commits one group, and says whether there was one.
func (s *Store) runGroup() bool {
	open := true
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
		open = !s.isClosed() // both were ready
	case <-s.closed:
		open = false
	}
	if !open {
		return s.answer(s.group.next(groupLimit), store.ErrClosed)
	}
	// Only now: whoever came while the turn was somebody else's is still in time.
	tickets := s.group.next(groupLimit)
	if len(tickets) == 0 {
		return false
	}
	return s.answer(tickets, s.commitGroup(tickets))
}

// answer gives the outcome to all of a group, and says whether there is anybody in it.
func (*Store) answer(tickets []*ticket, err error) bool {
	for _, k := range tickets {
		k.done <- err
	}
	return len(tickets) > 0
}

// commitGroup runs a group in one transaction. Nobody's context ends it: it is everybody's.
func (s *Store) commitGroup(tickets []*ticket) error {
	ctx := context.Background()
	wakes, relaxed := false, true
	for _, k := range tickets {
		wakes, relaxed = wakes || k.urgency.wakes, relaxed && k.urgency.relaxed
	}
	t, err := s.begin(ctx, relaxed)
	if err != nil {
		return s.explain(err)
	}
	defer t.end()
	for _, k := range tickets {
		if err := k.write(ctx, t); err != nil {
			return err
		}
	}
	if err := t.trimAttributions(ctx); err != nil {
		return err
	}
	t.appended = true
	if err := t.commit(ctx); err != nil {
		return err
	}
	if wakes {
		s.notify(false)
	}
	return nil
}
