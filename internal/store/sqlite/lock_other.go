// SPDX-License-Identifier: Apache-2.0

//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sqlite

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock that dies with its process two operators could write.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("the SQLite store cannot lock its file on this operating system: run the operator on Linux, macOS or a BSD")
}
