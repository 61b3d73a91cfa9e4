package app

import "syscall"

// filesystem names the kind of file system of a folder where that matters for
// what a sync costs; empty where it is not known.
func filesystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return ""
	}
	return map[int64]string{
		0x01021994: "tmpfs", 0x858458f6: "ramfs", 0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs",
		0x794c7630: "overlay", 0x2fc12fc1: "zfs", 0x6969: "nfs",
	}[int64(s.Type)] //nolint:unconvert // its width depends on the machine
}
