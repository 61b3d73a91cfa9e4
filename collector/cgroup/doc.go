// Package cgroup reads what the kernel allows this process and how pressed it is:
// cgroup v2 limits and throttling, and pressure stall information (PSI). It imports
// models only. A file that is not there is no error: it is no limit, or no figure.
package cgroup
