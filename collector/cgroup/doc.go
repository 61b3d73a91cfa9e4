// Package cgroup reads what the kernel allows this process and how pressed it is:
// cgroup limits and throttling (v2, and v1 where a controller is still mounted so),
// and pressure stall information (PSI). It imports models only. A file that is not there is no error: it is no limit, or no figure.
package cgroup
