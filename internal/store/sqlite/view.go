// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"fmt"
	"runtime"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// View reads a store that an operator may be writing. It takes no lock, makes nothing, and
// migrates nothing: it needs a file of this program's schema.
type View struct{ s *Store }

// OpenView opens the file at a path for reading.
func OpenView(ctx context.Context, path string) (*View, error) {
	s := &Store{path: path, closed: make(chan struct{})}
	s.reader = reader{s}
	var err error
	if s.readers, err = openPool(path, "deferred", runtime.GOMAXPROCS(0), "query_only(1)"); err != nil {
		return nil, err
	}
	if err := s.readers.QueryRowContext(ctx, "SELECT incarnation FROM meta").Scan(&s.incarnation); err != nil {
		_ = s.readers.Close()
		return nil, fmt.Errorf("read the store at %s: %w", path, err)
	}
	return &View{s}, nil
}

// Events gives audit events, newest first.
func (v *View) Events(ctx context.Context, query store.EventQuery) ([]iam.Event, error) {
	return v.s.Events(ctx, query)
}

// Close ends the view.
func (v *View) Close() error {
	if err := v.s.statements.close(); err != nil {
		return err
	}
	return v.s.readers.Close()
}
