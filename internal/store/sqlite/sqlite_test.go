// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
	"github.com/iam-operator/iam-operator/internal/store/storetest"
)

// TestMain is also the child process that tests start: see child_test.go.
func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(beChild(role, os.Getenv(childPath)))
	}
	goleak.VerifyTestMain(m)
}

// TestContract holds the engine to the contract of every engine.
func TestContract(t *testing.T) {
	options := map[store.Store]sqlite.Options{}
	open := func(t testing.TB, o sqlite.Options) store.Store {
		s := mustOpen(t, o)
		options[s] = o
		return s
	}
	storetest.Run(t, storetest.Harness{
		Open: func(t testing.TB, o storetest.Options) store.Store {
			return open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "iam.db"), KeepChanges: o.KeepChanges, Clock: o.Clock})
		},
		Reopen: func(t testing.TB, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			return open(t, options[s])
		},
	})
}

// mustOpen opens a store that is closed when the test ends.
func mustOpen(t testing.TB, o sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
