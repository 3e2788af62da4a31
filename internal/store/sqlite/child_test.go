// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// A child is this very test binary, started with a role and the path of a store.
const (
	childRole  = "IAM_STORE_TEST_ROLE"
	childPath  = "IAM_STORE_TEST_PATH"
	holdRole   = "hold"   // opens the store and keeps it until it is killed
	writeRole  = "write"  // writes until it is killed, and tells each revision once it is committed
	recordRole = "record" // records and tells from many callers until it is killed, and says which once they are kept
)

func beChild(role, path string) int {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if role == holdRole {
		fmt.Println("open")
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent, at the latest
		return 0
	}
	if role == recordRole {
		return recordForEver(ctx, s)
	}
	for i := 0; ; i++ {
		revision, err := s.Write(ctx, func(tx store.Tx) error { return writeSome(ctx, tx, i) })
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(revision)
	}
}

// recordForEver has eight callers share commits. Each record is told of by its caller and
// number; every second one is what log-in told.
func recordForEver(ctx context.Context, s store.Store) int {
	var mu sync.Mutex
	failed := make(chan error, 8)
	for caller := range 8 {
		go func() {
			for i := int64(1); ; i++ {
				name := "caller-" + strconv.Itoa(caller)
				err := s.Attribute(ctx, iam.Attribution{ObjectUID: name, Generation: i, Requester: iam.Requester{Name: strings.Repeat("name ", 50)}})
				if err == nil {
					err = s.Tell(ctx, iam.MemberEvent{MemberID: name, Kind: iam.LoginFailed, At: time.Unix(i, 0)})
				}
				if err != nil {
					failed <- err
					return
				}
				mu.Lock()
				fmt.Println(name, i)
				mu.Unlock()
			}
		}()
	}
	fmt.Println(<-failed)
	return 1
}

// writeSome puts two Projects and, from the second time on, deletes one of the time
// before. The event names the number of the time.
func writeSome(ctx context.Context, tx store.Tx, i int) error {
	id := func(i int, which string) string { return fmt.Sprintf("%d%s", i, which) }
	for _, which := range []string{"a", "b"} {
		head := iam.Head{ID: id(i, which), OrganizationID: "o", Object: iam.Object{Kind: iam.KindProject, Name: id(i, which)}}
		if _, err := tx.Put(ctx, &iam.Project{Head: head, Name: strings.Repeat("name ", 200)}); err != nil {
			return err
		}
	}
	if i > 0 {
		if _, err := tx.Delete(ctx, iam.KindProject, id(i-1, "a")); err != nil {
			return err
		}
	}
	return tx.Append(ctx, iam.Event{ID: strconv.Itoa(i), Resources: []iam.EventResource{{ID: id(i, "a")}}})
}

// startChild starts a child, whose lines are read from the scanner. It is killed when the
// test ends, at the latest.
func startChild(t *testing.T, role, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childRole+"="+role, childPath+"="+path)
	child.Stderr = os.Stderr
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child, bufio.NewScanner(out)
}

// kill kills a child as `kill -9` does.
func kill(t *testing.T, child *exec.Cmd) {
	t.Helper()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// TestKilledWriter kills a process in the middle of its writes, several times over, and
// looks for every revision that it told of.
func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iam.db")
	for round := range 4 {
		child, lines := startChild(t, writeRole, path+strconv.Itoa(round))
		var told store.Revision
		for count := 0; lines.Scan(); count++ {
			revision, err := store.ParseRevision(lines.Text())
			if err != nil {
				t.Fatalf("the child says: %s", lines.Text())
			}
			if told = revision; count == 5+17*round {
				kill(t, child) // what it tells from now on, until it is dead, is read still
			}
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		checkSurvivor(t, path+strconv.Itoa(round), told)
	}
}

func checkSurvivor(t *testing.T, path string, told store.Revision) {
	t.Helper()
	ctx := t.Context()
	s := mustOpen(t, sqlite.Options{Path: path})
	entities, last, err := s.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if last.Incarnation != told.Incarnation || last.N < told.N {
		t.Errorf("the child told of %s, and the store is at %s", told, last)
	}
	fold := map[string]bool{}
	for after := (store.Revision{Incarnation: last.Incarnation}); after != last; {
		changes, err := s.Changes(ctx, after, 100)
		if err != nil || len(changes) == 0 {
			t.Fatalf("after %s there are %d changes (%v), and the store is at %s", after, len(changes), err, last)
		}
		for _, change := range changes {
			if change.Revision.N != after.N+1 {
				t.Fatalf("after %s comes %s", after, change.Revision)
			}
			after = change.Revision
			if fold[change.ID] = change.Operation == store.OperationPut; !fold[change.ID] {
				delete(fold, change.ID)
			}
		}
	}
	for _, entity := range entities {
		if !fold[entity.GetHead().ID] {
			t.Errorf("%s is there, though no change says so", entity.GetHead().ID)
		}
		delete(fold, entity.GetHead().ID)
	}
	if len(fold) > 0 {
		t.Errorf("%v are missing, though changes say so", fold)
	}
	// Each time made one event and three changes, the first time two.
	events, err := s.Events(ctx, store.EventQuery{Limit: 1})
	if err != nil || len(events) != 1 || last.N != 3*events[0].Sequence-1 {
		t.Errorf("the last event is %+v (%v), and the store is at %s", events, err, last)
	}
	previous, sealed := iam.GenesisHash(last.Incarnation, ""), int64(0)
	for {
		page, err := s.EventsAfter(ctx, store.EventScope{OwnChain: true}, sealed, 0)
		if err != nil || len(page) == 0 {
			break
		}
		for _, e := range page {
			content, err := e.ContentHash()
			if want := iam.SealAfter(previous, content); err != nil || e.Seal != want {
				t.Fatalf("event %d has the seal %v (%v), want %v", e.Sequence, e.Seal, err, want)
			}
			previous, sealed = e.Seal.Hash, e.Sequence
		}
	}
	if len(events) == 1 && sealed != events[0].Sequence {
		t.Errorf("the chain ends with event %d, want %d", sealed, events[0].Sequence)
	}
}

// TestKilledRecorder kills a process while its callers share commits, and looks for every
// record that one of them was told is kept.
func TestKilledRecorder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iam.db")
	child, lines := startChild(t, recordRole, path)
	kept := map[string]int64{}
	for count := 0; lines.Scan(); count++ {
		var name string
		var i int64
		if _, err := fmt.Sscan(lines.Text(), &name, &i); err != nil {
			break // half a line, the last one; or what went wrong
		}
		if kept[name] = i; count == 200 {
			kill(t, child) // what it tells from now on, until it is dead, is read still
		}
	}
	if err := child.Wait(); err == nil || len(kept) != 8 {
		t.Fatalf("the child ended with %v after it told of %v; its last line was %q", err, kept, lines.Text())
	}
	s := mustOpen(t, sqlite.Options{Path: path})
	for name, last := range kept {
		records, err := s.Attributions(t.Context(), name)
		if err != nil || int64(len(records)) < last {
			t.Errorf("%s was told that %d records are kept, and there are %d (%v)", name, last, len(records), err)
		}
		for i, record := range records {
			if record.Generation != int64(i+1) {
				t.Fatalf("record %d of %s is %+v", i+1, name, record)
			}
		}
		told, err := s.Told(t.Context(), name)
		if err != nil || int64(len(told)) < last || len(told) > len(records) {
			t.Errorf("%s was told that %d tellings are kept, and there are %d (%v)", name, last, len(told), err)
		}
	}
}

// TestSecondProcess refuses the file to a second process, names the first, and lets the
// next one in as soon as the first is dead.
func TestSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iam.db")
	child, lines := startChild(t, holdRole, path)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the child says %q", lines.Text())
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err == nil {
		t.Fatal("two processes opened the store", s.Close())
	}
	for _, want := range []string{path, fmt.Sprintf("process %d", child.Process.Pid), "stop that one"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error %q does not say %q", err, want)
		}
	}
	kill(t, child)
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) {
		t.Errorf("the child ended with %v", err)
	}
	mustOpen(t, sqlite.Options{Path: path})
}
