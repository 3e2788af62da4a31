// SPDX-License-Identifier: Apache-2.0

package sqlite

import "context"

const (
	// checkpointEvery is after how many commits the log is copied into the database file: about the thousand pages after
	// which SQLite would do so itself, in the middle of somebody's commit.
	checkpointEvery = 200
	// defaultMaxLogPages is how long the log may grow while writers never rest (64 MiB); beyond, they wait for a copy that is
	// complete, after which the log begins anew.
	defaultMaxLogPages = 16_384
	// fewPages are copied while writers wait, and maxRounds is how often it is tried to leave no more than these.
	fewPages, maxRounds = 500, 4
)

// noteCommit counts a commit, and has the log copied when it is time. The writer's turn is the caller's.
func (s *Store) noteCommit() {
	if s.commits++; s.commits < checkpointEvery {
		return
	}
	s.commits = 0
	select {
	case s.checkpointDue <- struct{}{}:
	default: // It is being copied already.
	}
}

// runCheckpoints copies the log beside the writers, until the store is closed.
func (s *Store) runCheckpoints() {
	defer close(s.checkpointsEnded)
	for {
		select {
		case <-s.closed:
			return
		case <-s.checkpointDue:
		}
		if pages := s.checkpoint(); pages > s.maxLogPages {
			s.beginLogAnew(pages)
		}
	}
}

// beginLogAnew copies all that is in the log, the last of it while nobody adds to it: only then can the next writer begin the
// log anew. A log that is always copied, and always grows meanwhile, would never end.
func (s *Store) beginLogAnew(pages int) {
	for range maxRounds {
		before := pages
		if pages = s.checkpoint(); pages-before < fewPages {
			break
		}
	}
	s.checkpointAlone()
}

// checkpoint copies what it can without keeping anybody waiting, and says how many pages the log had. What fails is copied
// the next time, and a fault of the file is told to whoever reads or writes.
func (s *Store) checkpoint() int {
	var busy, pages, copied int
	err := s.readers.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &pages, &copied)
	if err != nil {
		return 0
	}
	return pages
}

// checkpointAlone copies the log while nobody adds to it.
func (s *Store) checkpointAlone() {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
		s.checkpoint()
	case <-s.closed:
	}
}
