// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// lockFile takes the lock beside the SQLite file for as long as the file that it gives is
// open. The kernel lets go when the process dies, however it dies; the file stays, since
// removing it would let two processes lock two files of one name.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the SQLite file: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("the SQLite file %s is in use by %s: one operator at a time may have it; stop that one "+
			"(a Deployment needs strategy Recreate), or give this one another file", path, holder(file))
	}
	if err == nil {
		err = sign(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// sign writes who holds the lock: in another container the number alone says little.
func sign(file *os.File) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if err := file.Truncate(0); err != nil {
		return fmt.Errorf("write the lock of the SQLite file: %w", err)
	}
	if _, err := fmt.Fprintf(file, "%d\n%s\n", os.Getpid(), host); err != nil {
		return fmt.Errorf("write the lock of the SQLite file: %w", err)
	}
	return nil
}

func holder(file *os.File) string {
	text, err := io.ReadAll(io.LimitReader(file, 512))
	pid, host, found := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if err != nil || !found {
		return "another process"
	}
	return "process " + pid + " on " + host
}
