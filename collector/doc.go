// Package collector is the one sampler: once a second it reads the host and the
// pools, publishes an immutable snapshot, and appends the samples to the history.
// It imports models, and its own host, cgroup and history.
package collector
