// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystems by the f_type of statfs(2). Those without a name in x/sys are from their
// own headers.
var fileSystems = map[uint32]fileSystem{
	unix.NFS_SUPER_MAGIC:   {"NFS", fileSystemNetwork},
	unix.SMB_SUPER_MAGIC:   {"SMB", fileSystemNetwork},
	unix.SMB2_SUPER_MAGIC:  {"SMB2", fileSystemNetwork},
	unix.CIFS_SUPER_MAGIC:  {"CIFS", fileSystemNetwork},
	unix.AFS_SUPER_MAGIC:   {"AFS", fileSystemNetwork},
	unix.AFS_FS_MAGIC:      {"AFS", fileSystemNetwork},
	unix.CODA_SUPER_MAGIC:  {"Coda", fileSystemNetwork},
	unix.CEPH_SUPER_MAGIC:  {"CephFS", fileSystemNetwork},
	unix.OCFS2_SUPER_MAGIC: {"OCFS2", fileSystemNetwork},
	0x01161970:             {"GFS2", fileSystemNetwork},
	0x0BD00BD0:             {"Lustre", fileSystemNetwork},
	0x47504653:             {"GPFS", fileSystemNetwork},
	0x19830326:             {"BeeGFS", fileSystemNetwork},
	0x20030528:             {"OrangeFS", fileSystemNetwork},
	0xAAD7AAEA:             {"PanFS", fileSystemNetwork},
	unix.FUSE_SUPER_MAGIC:  {"FUSE", fileSystemUnclear}, // virtiofs says the same
	unix.V9FS_MAGIC:        {"9p", fileSystemUnclear},
}

func fileSystemType(folder string) (fileSystem, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return fileSystem{}, fmt.Errorf("statfs: %w", err)
	}
	return fileSystems[uint32(stat.Type)], nil //nolint:gosec // the types are 32 bits; the field's width varies by machine
}
