package journal

import (
	"errors"
	"strings"
	"syscall"
)

// isNoSpace reports whether the error is a full disk or quota; nats-server hands
// some on as text only.
func isNoSpace(err error) bool {
	return err != nil && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || saysNoSpace(err.Error()))
}

func saysNoSpace(text string) bool {
	return strings.Contains(text, "no space left") || strings.Contains(text, "disk quota exceeded")
}

// free is the bytes that this user may still write to the folder's file system,
// and the file system's size; ok is false where that cannot be told.
func freeSpace(dir string) (free, total uint64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, false
	}
	unit := uint64(st.Bsize) //nolint:gosec,unconvert // its type differs between systems
	return st.Bavail * unit, st.Blocks * unit, true
}

// Space kept free of frames, so that nats-server's own files, snapshots and the
// mark can still be written on a full disk: 2 % of the file system, at least
// 512 KiB, at most 32 MiB.
const (
	minReserve = 512 << 10
	maxReserve = 32 << 20
)

func reserve(total uint64) uint64 { return min(max(total/50, minReserve), maxReserve) }
