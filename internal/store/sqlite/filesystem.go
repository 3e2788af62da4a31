// SPDX-License-Identifier: Apache-2.0

package sqlite

import "fmt"

// fileSystem is what is known of the file system that a folder is on.
type fileSystem struct {
	// name for people; empty when the type says nothing against it, or nothing at all.
	name string
	kind fileSystemKind
}

type fileSystemKind int

const (
	// fileSystemLocal is a local one, or one that nothing is known against.
	fileSystemLocal fileSystemKind = iota
	// fileSystemNetwork is shared between machines.
	fileSystemNetwork
	// fileSystemUnclear may be either: FUSE and 9p carry network file systems as well as
	// folders of the machine's own.
	fileSystemUnclear
)

// checkFileSystem refuses what SQLite's WAL does not work on: its readers and its writer
// share memory and locks, which a network file system does not keep, and then the file is damaged.
func checkFileSystem(options Options, folder string) error {
	found, err := options.fileSystemType(folder)
	if err != nil {
		return fmt.Errorf("find the file system of %s: %w", folder, err)
	}
	switch found.kind {
	case fileSystemNetwork:
		return fmt.Errorf("the folder %s is on a network file system (%s), on which SQLite loses data: "+
			"use local or block storage, or PostgreSQL", folder, found.name)
	case fileSystemUnclear:
		if !options.TrustFileSystem {
			return fmt.Errorf("the folder %s is on a %s mount, which may be a network file system, on which SQLite loses data: "+
				"use local or block storage; or, if you know that the mount is of this machine alone, say that it is to be trusted",
				folder, found.name)
		}
	case fileSystemLocal:
	}
	return nil
}
