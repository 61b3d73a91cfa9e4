package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// The exit codes that shells give to commands that cannot be run.
const (
	exitNotFound = 127
	exitCannot   = 126
)

// startError says why a command could not be run, with the exit code that a shell
// would give.
type startError struct {
	code int
	text string
}

func (e *startError) Error() string { return e.text }

func cannotStart(code int, format string, args ...any) error {
	return &startError{code: code, text: fmt.Sprintf(format, args...)}
}

// environ is base with the variables of the maps over it, later ones first.
func environ(base []string, over ...map[string]string) []string {
	n := len(base)
	for _, m := range over {
		n += len(m)
	}
	out := make([]string, 0, n)
	for _, kv := range base {
		key, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(over, func(m map[string]string) bool { _, ok := m[key]; return ok }) {
			out = append(out, kv)
		}
	}
	for i, m := range over {
		for k, v := range m {
			if !slices.ContainsFunc(over[i+1:], func(m map[string]string) bool { _, ok := m[k]; return ok }) {
				out = append(out, k+"="+v)
			}
		}
	}
	return out
}

func getenv(env []string, key string) string {
	for _, kv := range slices.Backward(env) {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}

// lookPath finds a command as a shell in dir with this environment would; a name
// with a slash is taken as it is, relative to dir. The error is a *startError.
func lookPath(command, dir string, env []string) (string, error) {
	if strings.Contains(command, "/") {
		return command, nil
	}
	var refused error
	for _, folder := range filepath.SplitList(getenv(env, "PATH")) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		path := filepath.Join(folder, command)
		info, err := os.Stat(path)
		switch {
		case err != nil || info.IsDir():
		case info.Mode()&0o111 == 0:
			refused = cannotStart(exitCannot, "%s: %s is not executable", command, path)
		default:
			return path, nil
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", cannotStart(exitNotFound, "%s: command not found in PATH", command)
}

// checkDir refuses a folder that a process cannot start in; the error is a *startError.
func checkDir(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cannotStart(exitCannot, "dir: %s does not exist", dir)
	case err != nil:
		return cannotStart(exitCannot, "dir: %s: %v", dir, rootCause(err))
	case !info.IsDir():
		return cannotStart(exitCannot, "dir: %s is not a folder", dir)
	}
	return nil
}

func rootCause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// explainStart turns what fork and exec said into a *startError where the command
// is to blame; other errors (no more processes, no memory) stay what they are.
func explainStart(command, dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		path := command
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if _, statErr := os.Stat(path); statErr == nil {
			return cannotStart(exitNotFound, "%s: its interpreter (the first line's #!, or the loader) is not found", command)
		}
		return cannotStart(exitNotFound, "%s: no such file", command)
	case errors.Is(err, syscall.EACCES):
		return cannotStart(exitCannot, "%s: permission denied (is the file executable, may the folder be entered?)", command)
	case errors.Is(err, syscall.ENOEXEC):
		return cannotStart(exitCannot, "%s: not a program of this machine, nor a script with a #! line", command)
	case errors.Is(err, syscall.E2BIG):
		return cannotStart(exitCannot, "%s: its arguments and environment are too long", command)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ETXTBSY):
		return cannotStart(exitCannot, "%s: %v", command, rootCause(err))
	}
	return fmt.Errorf("start %s: %w", command, err)
}
