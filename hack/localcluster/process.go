// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// launcher is a script in front of each binary, since envtest takes the path of a binary and nothing else.
// The kernel kills the process when the thread that started it ends, where setpriv can arrange that.
const launcher = `#!/bin/sh
if setpriv --pdeathsig KILL true 2>/dev/null; then exec setpriv --pdeathsig KILL %[1]s "$@"; fi
exec %[1]s "$@"
`

// launcherFor writes the launcher of a binary and returns its path.
func (c *Cluster) launcherFor(binary string) (string, error) {
	quoted := "'" + strings.ReplaceAll(binary, "'", `'\''`) + "'"
	path := filepath.Join(c.dir, filepath.Base(binary))
	// A process that another goroutine forks meanwhile would inherit the open file for a moment, and Linux does not
	// execute a file that is open for writing.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, fmt.Appendf(nil, launcher, quoted), 0o700); err != nil {
		return "", fmt.Errorf("the launcher of %s cannot be written: %w", filepath.Base(binary), err)
	}
	return path, nil
}

// thread runs functions on one thread of the operating system. Linux counts the end of the thread that started a
// process as the death of its parent, and Go ends threads when it likes.
type thread struct {
	calls chan func()
	ended chan struct{}
}

func newThread() *thread {
	t := &thread{calls: make(chan func()), ended: make(chan struct{})}
	go func() {
		defer close(t.ended)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for call := range t.calls {
			call()
		}
	}()
	return t
}

// do returns once f has run.
func (t *thread) do(f func()) {
	done := make(chan struct{})
	t.calls <- func() { defer close(done); f() }
	<-done
}

func (t *thread) end() {
	close(t.calls)
	<-t.ended
}

// process is a child that envtest does not know.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{} // closed once the child is gone and reaped
	err    error         // how it ended, once exited is closed
}

// startProcess runs path in a process group of its own, so that the terminal's Ctrl-C reaches the parent alone, which
// then stops its children in order.
func startProcess(path string, args []string, log *os.File) (*process, error) {
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	name := filepath.Base(path)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s cannot be started: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		p.err = cmd.Wait()
	}()
	return p, nil
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// stop ends the process and waits until it is gone. It may take so long to end by itself.
func (p *process) stop(patience time.Duration) error {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("%s (process %d) cannot be stopped: %w", p.name, p.cmd.Process.Pid, err)
		}
		select {
		case <-p.exited:
			return nil
		case <-time.After(patience):
		}
	}
	return fmt.Errorf("%s (process %d) is still there %s after it was killed", p.name, p.cmd.Process.Pid, patience)
}

// tail returns the end of a log, for the error of a process that failed.
func tail(path string) string {
	const lines = 15
	text, err := os.ReadFile(path)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "its log ends with:\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}
