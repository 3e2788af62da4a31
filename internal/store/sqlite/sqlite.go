// SPDX-License-Identifier: Apache-2.0

// Package sqlite is the canonical store in one SQLite file: one process, local storage,
// one writer and many readers. The file's lock is the leadership.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/iam-operator/iam-operator/internal/store"
)

// DefaultKeepChanges is how many changes are kept for followers unless Options say otherwise.
const DefaultKeepChanges = 100_000

// Options say where the store is, and how it behaves.
type Options struct {
	// Path of the SQLite file. Its folder is made if there is none.
	Path string
	// Clock gives the time of changes; time.Now if nil.
	Clock func() time.Time
	// KeepChanges is how many of the last changes are kept at least; DefaultKeepChanges if zero.
	KeepChanges int64
	// TrustFileSystem accepts a FUSE or 9p mount, which may be a network file system or
	// may not. NFS and its kin are refused all the same.
	TrustFileSystem bool

	// fileSystemType gives a folder's file system; tests put their own here.
	fileSystemType func(folder string) (fileSystem, error)
	// maxLogPages is how long the log may grow while writers never rest; tests want less.
	maxLogPages int
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.KeepChanges <= 0 {
		o.KeepChanges = DefaultKeepChanges
	}
	if o.fileSystemType == nil {
		o.fileSystemType = fileSystemType
	}
	if o.maxLogPages <= 0 {
		o.maxLogPages = defaultMaxLogPages
	}
	return o
}

// Store is a store.Store in a SQLite file.
type Store struct {
	reader

	path        string
	clock       func() time.Time
	keepChanges int64
	incarnation string
	// exact refuses what says the same as this program would write, and does not say it in the same bytes.
	exact bool
	key   termKey
	lock  *os.File

	readers    *sql.DB
	statements statements

	writers *sql.DB
	// turn holds one token, which whoever writes takes: one writer, in commit order.
	turn    chan struct{}
	session *session
	group   group

	// commits counts those since the log was last due to be copied into the file.
	commits          int
	maxLogPages      int
	checkpointDue    chan struct{}
	checkpointsEnded chan struct{}

	closeOnce sync.Once
	closeErr  error
	closed    chan struct{}

	mu      sync.Mutex
	changed chan struct{}
}

var _ store.Store = (*Store)(nil)

// Open opens the store at a path, makes it if there is none, and migrates it to this
// program's schema. It fails with a sentence for people when the file is on a network file
// system, in use by another process, damaged, another program's, or of a newer schema.
func Open(ctx context.Context, options Options) (_ *Store, err error) {
	options = options.withDefaults()
	path, err := prepareFile(options)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path, clock: options.Clock, keepChanges: options.KeepChanges, lock: lock,
		turn: make(chan struct{}, 1), closed: make(chan struct{}), changed: make(chan struct{}),
		checkpointDue: make(chan struct{}, 1), maxLogPages: options.maxLogPages,
	}
	s.reader = reader{s}
	s.turn <- struct{}{}
	defer func() {
		if err != nil {
			err = s.explain(errors.Join(err, s.release()))
		}
	}()
	// Retention touches about a thousand pages at once: with a cache that holds them (16 MiB) they
	// are written once, and not each time that the cache overflows.
	if s.writers, err = openPool(path, "immediate", 1, "wal_autocheckpoint(0)", "cache_size(-16384)"); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	if s.readers, err = openPool(path, "deferred", max(4, runtime.GOMAXPROCS(0)), "query_only(1)"); err != nil {
		return nil, err
	}
	s.checkpointsEnded = make(chan struct{})
	go s.runCheckpoints()
	return s, nil
}

// prepareFile makes folder and file, readable by their owner alone, and gives the path
// free of symbolic links, so that two paths to one file meet at one lock.
func prepareFile(options Options) (string, error) {
	if options.Path == "" {
		return "", errors.New("the SQLite store needs the path of its file")
	}
	path, err := filepath.Abs(options.Path)
	if err != nil {
		return "", fmt.Errorf("find the SQLite file: %w", err)
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the SQLite file: %w", err)
	}
	if err := checkFileSystem(options, folder); err != nil {
		return "", err
	}
	// SQLite gives its -wal and -shm files the mode of the file itself.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the SQLite file: %w", err)
	}
	if err := file.Close(); err != nil {
		return "", fmt.Errorf("open the SQLite file: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("find the SQLite file: %w", err)
	}
	return path, nil
}

func openPool(path, transactions string, connections int, pragmas ...string) (*sql.DB, error) {
	query := url.Values{"_txlock": {transactions}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"journal_size_limit(67108864)", "trusted_schema(0)",
	}}
	for _, pragma := range pragmas {
		query.Add("_pragma", pragma)
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	pool, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open the SQLite file: %w", err)
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool, nil
}

// Close waits for the write that is under way, and ends the store. Every later call, and
// every follower that waits, gets store.ErrClosed.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closed)
		<-s.turn // never given back: nobody writes any more
		<-s.checkpointsEnded
		s.notify(true)
		s.closeErr = s.release()
	})
	return s.closeErr
}

// release gives back what the store holds, the lock last.
func (s *Store) release() error {
	var errs []error
	if s.session != nil {
		errs = append(errs, s.session.close())
	}
	if s.readers != nil {
		errs = append(errs, s.statements.close(), s.readers.Close())
	}
	if s.writers != nil {
		errs = append(errs, s.writers.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Changed gives a channel that is closed at the next commit that changed or appended
// something, and when the store closes.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// notify wakes those who wait. The last time, the channel stays as it is: closed.
func (s *Store) notify(last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	if !last {
		s.changed = make(chan struct{})
	}
}
