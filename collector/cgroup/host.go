package cgroup

import (
	"os"

	"loadstar/models"
)

// Host reads this host's own /proc and /sys.
func Host() Reader { return NewReader(os.DirFS("/")) }

// Limits is what this process's cgroup allows: cores and bytes, 0 where there is
// no limit.
func Limits() (cpus float64, memory models.Bytes, err error) {
	u, err := Host().Usage()
	return u.CPUs, u.Memory, err
}
