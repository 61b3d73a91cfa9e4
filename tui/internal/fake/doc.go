// Package fake is a daemon that is not there: a Source with data as a busy host
// has them, the same for the same moment. Tests and pictures of the screen use it.
package fake
