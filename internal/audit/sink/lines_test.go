// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// sealed gives events as a store would.
func sealed(from, to int) []iam.Event {
	events := several("acme", from, to)
	for i := range events {
		events[i].Sequence, events[i].Revision = int64(from+i), "incarnation.7"
		content, err := events[i].ContentHash()
		if err != nil {
			panic(err)
		}
		events[i].Seal = iam.SealAfter(iam.GenesisHash("incarnation", "acme"), content)
	}
	return events
}

func mustDeliver(t *testing.T, to sink.Sink, events []iam.Event) {
	t.Helper()
	if err := to.Deliver(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tearing writes half of what it gets, once.
type tearing struct {
	bytes.Buffer
	torn bool
}

func (w *tearing) Write(text []byte) (int, error) {
	if w.torn {
		return w.Buffer.Write(text)
	}
	w.torn = true
	n, _ := w.Buffer.Write(text[:len(text)-7])
	return n, errors.New("the pipe is full")
}

// The event whose line was torn is delivered again, and must not be the rest of that line.
func TestTornLineCostsNoEvent(t *testing.T) {
	var to tearing
	lines := sink.NewLines(&to)
	if err := lines.Deliver(t.Context(), sealed(1, 2)); err == nil {
		t.Fatal("the failure was not told")
	}
	mustDeliver(t, lines, sealed(1, 2))
	whole := strings.SplitN(to.String(), "\n", 3)[2]
	if got := sequences(read(t, whole)); !slices.Equal(got, upTo(2)) {
		t.Errorf("got %v in %q", got, whole)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f := sink.NewFile(path)
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	t.Run("is its owner's alone", func(t *testing.T) {
		mustDeliver(t, f, sealed(1, 2))
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	})
	t.Run("is appended to", func(t *testing.T) {
		mustDeliver(t, f, sealed(3, 4))
		if got := sequences(read(t, contentOf(t, path))); !slices.Equal(got, upTo(4)) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("is begun anew where it was moved away", func(t *testing.T) {
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		mustDeliver(t, f, sealed(5, 6))
		if got := sequences(read(t, contentOf(t, path))); !slices.Equal(got, []int64{5, 6}) {
			t.Errorf("got %v", got)
		}
		if got := sequences(read(t, contentOf(t, path+".1"))); !slices.Equal(got, upTo(4)) {
			t.Errorf("the old one has %v", got)
		}
	})
	t.Run("goes on behind a torn line", func(t *testing.T) {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		text := contentOf(t, path)
		if err := os.WriteFile(path, []byte(text[:len(text)-9]), 0o600); err != nil {
			t.Fatal(err)
		}
		mustDeliver(t, f, sealed(6, 6))
		lines := strings.Split(contentOf(t, path), "\n")
		if got := sequences(read(t, lines[0]+"\n"+lines[2])); !slices.Equal(got, []int64{5, 6}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("that can't be written is an error", func(t *testing.T) {
		for name, bad := range map[string]string{"a folder": t.TempDir(), "nowhere": filepath.Join(path, "there")} {
			if err := sink.NewFile(bad).Deliver(t.Context(), sealed(1, 1)); err == nil {
				t.Errorf("%s was written to", name)
			}
		}
		pipe := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := sink.NewFile(pipe).Deliver(t.Context(), sealed(1, 1)); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("a pipe: %v", err)
		}
	})
}

// childFolder is where the child process has its store and its sink.
const childFolder = "IAM_SINK_TEST_FOLDER"

// beChild records events and delivers them to a file, until it is killed.
func beChild(folder string) int {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(folder, "iam.db"), Clock: time.Now})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	f := &sink.Follower{Store: s, Sink: sink.NewFile(filepath.Join(folder, "audit.log")), Name: "sink/file", Clock: clock.RealClock{}, Log: logr.Discard()}
	go func() { _ = f.Run(ctx) }()
	fresh := func(e *iam.Event) { e.ID = uuid.NewString() }
	for n := 1; ; n++ {
		if err := s.Submit(ctx, eventOf("acme", n, fresh), eventOf("globex", n, fresh)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}

// A process that is killed, whatever it is at, has delivered each event when it runs again: some
// of them twice, none never, and none as the rest of a torn line.
func TestKilledSinkLosesNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "audit.log")
	for round := range 4 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childFolder+"="+folder)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		before := sizeOf(path)
		await(t, "the child delivers", func() bool { return sizeOf(path) > before+int64(20_000+round*3_001) })
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // It was killed, and says so.
	}
	s := open(t, filepath.Join(folder, "iam.db"))
	all, err := s.EventRange(t.Context(), store.EventScope{})
	if err != nil {
		t.Fatal(err)
	}
	f := sink.NewFile(path)
	stop := start(t, &sink.Follower{Store: s, Sink: f, Name: "sink/file"})
	awaitCursor(t, s, "sink/file", all.Newest)
	stop()
	if err := errors.Join(f.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	got := map[int64]bool{}
	for _, event := range read(t, withoutTorn(contentOf(t, path))) {
		got[event.Sequence] = true
	}
	for n := int64(1); n <= all.Newest; n++ {
		if !got[n] {
			t.Errorf("event %d of %d was lost", n, all.Newest)
		}
	}
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// withoutTorn leaves out the lines that a kill has torn.
func withoutTorn(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return !strings.HasSuffix(line, "}}") })
	return strings.Join(lines, "\n")
}
