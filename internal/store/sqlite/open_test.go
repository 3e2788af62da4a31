// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func open(t *testing.T, options Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "iam.db") }

// fill puts Projects, each in a transaction of its own, and gives the last revision.
func fill(t *testing.T, s *Store, ids ...string) store.Revision {
	t.Helper()
	var last store.Revision
	for _, id := range ids {
		head := iam.Head{ID: id, OrganizationID: "o", Object: iam.Object{Kind: iam.KindProject, Name: id}}
		var err error
		last, err = s.Write(t.Context(), func(tx store.Tx) error {
			_, err := tx.Put(t.Context(), &iam.Project{Head: head, Name: strings.Repeat(id, 500)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// wantRefusal opens what must be refused with a sentence that says all of the words.
func wantRefusal(t *testing.T, options Options, words ...string) {
	t.Helper()
	s, err := Open(t.Context(), options)
	if err == nil {
		closeStore(t, s)
		t.Fatal("the store opened")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error %q does not say %q", err, word)
		}
	}
}

// alter changes a file behind the store's back.
func alter(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// TestMigrate migrates from empty, and again, down and up; the state stays at each opening.
func TestMigrate(t *testing.T) {
	path := newPath(t)
	s := open(t, Options{Path: path})
	last := fill(t, s, "a", "b")
	for range 2 {
		closeStore(t, s)
		s = open(t, Options{Path: path})
		if got, err := s.Revision(t.Context()); err != nil || got != last {
			t.Errorf("opened again the store is at %s (%v), want %s", got, err, last)
		}
	}
	provider, err := s.migrations()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.DownTo(t.Context(), 0); err != nil {
		t.Errorf("down: %v", err)
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Errorf("up again: %v", err)
	}
}

// TestUpgrade seals the events of the first schema in their order, and finds them by what they say.
func TestUpgrade(t *testing.T) {
	path := newPath(t)
	s := open(t, Options{Path: path})
	appendEvent(t, s, "old", 403)
	appendEvent(t, s, "gone", 200)
	fill(t, s, "a")
	appendOne(t, s, iam.Event{ID: "other", Organization: iam.EventOrganization{ID: "o"}, Resources: []iam.EventResource{{ID: "r"}}})
	before, err := s.EventsAfter(t.Context(), store.EventScope{}, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Write(t.Context(), func(tx store.Tx) error { // which the older schema does not know of
		_, err := tx.DropEvents(t.Context(), "o", time.Now(), 10)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	downTo(t, s, 1)
	s = open(t, Options{Path: path})
	sealed, err := s.EventsAfter(t.Context(), store.EventScope{}, 0, 10)
	if err != nil || !reflect.DeepEqual(sealed, before[:2]) {
		t.Errorf("sealed are %+v (%v), want %+v", sealed, err, before[:2])
	}
	appendEvent(t, s, "new", 403)
	events, err := s.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{StatusCode: 403}})
	if err != nil || len(events) != 2 || events[0].ID != "new" || events[1].ID != "old" || events[0].Sequence != 4 {
		t.Errorf("by their status there are %+v (%v)", events, err)
	}
	if sequence, err := s.unlisted(t.Context()); err != nil || sequence != 0 {
		t.Errorf("event %d is not listed (%v)", sequence, err)
	}
	if err := s.Attribute(t.Context(), iam.Attribution{ObjectUID: "x"}); err != nil {
		t.Error(err)
	}
}

// downTo closes a store, and leaves it with an older schema.
func downTo(t *testing.T, s *Store, version int64) {
	t.Helper()
	if err := s.session.close(); err != nil { // gives the one connection back
		t.Fatal(err)
	}
	s.session = nil
	provider, err := s.migrations()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.DownTo(t.Context(), version); err != nil {
		t.Fatalf("down: %v", err)
	}
	closeStore(t, s)
}

// TestHalfMade goes on where a first start was ended after goose's own table was made.
func TestHalfMade(t *testing.T) {
	path := newPath(t)
	closeStore(t, open(t, Options{Path: path}))
	alter(t, path, "DROP TABLE told", "DROP TABLE attributions", "DROP TABLE audit_events", "DROP TABLE audit_index", "DROP TABLE audit_blocks",
		"DROP TABLE audit_origins", "DROP TABLE audit_chains", "DROP TABLE audit_dropped", "DROP TABLE audit_checkpoints", "DROP TABLE audit_cursors",
		"DROP TABLE changes", "DROP TABLE entity_references",
		"DROP TABLE entities", "DROP TABLE meta", "DELETE FROM goose_db_version WHERE version_id > 0", "PRAGMA application_id = 0")
	fill(t, open(t, Options{Path: path}), "a")
}

func TestNewerSchema(t *testing.T) {
	path := newPath(t)
	closeStore(t, open(t, Options{Path: path}))
	alter(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (7000, 1)")
	wantRefusal(t, Options{Path: path}, path, "schema 7000", "newer iam-operator", "run that version")
}

func TestOtherProgram(t *testing.T) {
	path := newPath(t)
	alter(t, path, "CREATE TABLE theirs (x)")
	wantRefusal(t, Options{Path: path}, path, "another program")
	alter(t, path, "SELECT * FROM theirs") // untouched
}

// TestTriggersAndViews refuses what somebody has put into the schema to alter what is written or read.
func TestTriggersAndViews(t *testing.T) {
	for name, statement := range map[string]string{
		"trigger": "CREATE TRIGGER quiet BEFORE INSERT ON audit_events BEGIN SELECT RAISE(IGNORE); END",
		"view":    "CREATE VIEW quiet AS SELECT * FROM audit_events",
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			closeStore(t, open(t, Options{Path: path}))
			alter(t, path, statement)
			wantRefusal(t, Options{Path: path}, path, "the "+name+` "quiet"`, "somebody has altered the file")
			view, err := OpenView(t.Context(), path)
			if err == nil {
				t.Fatal("a view of the file opens", view.Close())
			}
			if !strings.Contains(err.Error(), "somebody has altered the file") {
				t.Errorf("the view is refused with %v", err)
			}
			alter(t, path, "DROP "+name+" quiet")
			open(t, Options{Path: path})
		})
	}
}

// TestDamage opens files that are damaged in several ways.
func TestDamage(t *testing.T) {
	whole := newPath(t)
	s := open(t, Options{Path: whole})
	for range 30 {
		fill(t, s, "a", "b", "c", "d", "e", "f", "g", "h")
		fill(t, s, "aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh")
	}
	closeStore(t, s)
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string]func(b []byte) []byte{
		"no database at all": func([]byte) []byte { return bytes.Repeat([]byte("no database "), 1000) },
		"a cut file":         func(b []byte) []byte { return b[:len(b)/2] },
		"a broken header":    func(b []byte) []byte { return append([]byte("?"), b[1:]...) },
		"zeroed pages":       func(b []byte) []byte { clear(b[4096 : len(b)-4096]); return b },
		"noise in pages": func(b []byte) []byte {
			for i := 3 * 4096; i < len(b); i += 97 {
				b[i] ^= 0x5a
			}
			return b
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			if err := os.WriteFile(path, damage(bytes.Clone(content)), 0o600); err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, Options{Path: path}, path, "is damaged", "backup")
		})
	}
}

// TestSecondOpen refuses the file to the same process, too, by whatever path.
func TestSecondOpen(t *testing.T) {
	path := newPath(t)
	s := open(t, Options{Path: path})
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, link} {
		wantRefusal(t, Options{Path: path}, "in use by process", "stop that one")
	}
	closeStore(t, s)
	open(t, Options{Path: link})
}

// TestLost deletes the file but not what SQLite keeps beside it, as after a crash.
func TestLost(t *testing.T) {
	path := newPath(t)
	s := open(t, Options{Path: path})
	first := fill(t, s, "a", "b", "c")
	wal, err := os.ReadFile(path + "-wal")
	if err != nil || len(wal) == 0 {
		t.Fatalf("there is no -wal to leave: %v", err)
	}
	closeStore(t, s)
	if err := errors.Join(os.Remove(path), os.WriteFile(path+"-wal", wal, 0o600)); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Path: path})
	got, err := s.Revision(t.Context())
	if err != nil || got.N != 0 || got.Incarnation == first.Incarnation {
		t.Errorf("the new store is at %s (%v); the lost one was at %s", got, err, first)
	}
}

// TestModes keeps others from the digests and the audit trail.
func TestModes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "deep", "folder")
	s := open(t, Options{Path: filepath.Join(folder, "iam.db")})
	fill(t, s, "a")
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestOddPath opens a file whose name means something in a URI.
func TestOddPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c=d#e%20&ü", "i?am%.db")
	fill(t, open(t, Options{Path: path}), "a")
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("the file is %v (%v)", info, err)
	}
	wantRefusal(t, Options{}, "path")
}

func TestUnusablePath(t *testing.T) {
	folder := t.TempDir()
	wantRefusal(t, Options{Path: folder}, folder)
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, Options{Path: filepath.Join(file, "iam.db")}, file)
}

func TestFileSystems(t *testing.T) {
	tests := []struct {
		name    string
		found   fileSystem
		trust   bool
		refused string
	}{
		{"local", fileSystem{}, false, ""},
		{"network", fileSystem{"NFS", fileSystemNetwork}, false, "network file system (NFS)"},
		{"network, trusted all the same", fileSystem{"NFS", fileSystemNetwork}, true, "network file system (NFS)"},
		{"unclear", fileSystem{"FUSE", fileSystemUnclear}, false, "FUSE mount"},
		{"unclear, trusted", fileSystem{"FUSE", fileSystemUnclear}, true, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := newPath(t)
			options := Options{Path: path, TrustFileSystem: test.trust}
			options.fileSystemType = func(folder string) (fileSystem, error) {
				if folder != filepath.Dir(path) {
					t.Errorf("asked for %s", folder)
				}
				return test.found, nil
			}
			if test.refused == "" {
				open(t, options)
				return
			}
			wantRefusal(t, options, filepath.Dir(path), test.refused)
			if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) > 0 {
				t.Errorf("a refused folder holds %v (%v)", entries, err)
			}
		})
	}
	options := Options{Path: newPath(t)}
	options.fileSystemType = func(string) (fileSystem, error) { return fileSystem{}, errors.New("mine") }
	wantRefusal(t, options, "mine")
}

// TestFileSystemType asks the kernel about folders that are what they are on every Linux.
func TestFileSystemType(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("file systems are told apart on Linux only")
	}
	if found, err := fileSystemType("/proc"); err != nil || found.kind != fileSystemLocal {
		t.Errorf("/proc is %+v (%v)", found, err)
	}
	if _, err := fileSystemType(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("a folder that is not has a file system")
	}
}

// TestCanceledOpen leaves nothing behind that would keep the next from opening.
func TestCanceledOpen(t *testing.T) {
	path := newPath(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Open(ctx, Options{Path: path}); err == nil {
		closeStore(t, s)
		t.Error("the store opened in a context that had ended")
	}
	open(t, Options{Path: path})
}
