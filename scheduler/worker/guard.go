package worker

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// guardScript waits on a pipe whose other end only this program holds. When the
// program is gone the read ends, and every group that is still listed is killed.
// The list is a file of fixed slots that the program writes in place, so keeping
// it costs one small write a process and the guard sleeps all the while.
const guardScript = `trap '' HUP INT TERM
read -r _
while read -r group; do
	[ -n "$group" ] && kill -s KILL -- "-$group" 2>/dev/null
done <&3
:`

const guardSlot = 12 // bytes: a process number, spaces, a newline

// guard is the program's end of a guard process. A nil *guard guards nothing.
type guard struct {
	pid  int
	pipe *os.File // closed to end it
	list *os.File

	mu   sync.Mutex
	free []int
	next int
}

// startGuard must be called from the thread that forks.
func startGuard(devNull *os.File) (*guard, error) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		return nil, err
	}
	list, err := anonymousFile("loadstar-groups")
	if err != nil {
		return nil, fmt.Errorf("make the list of groups: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		list.Close()
		return nil, err
	}
	defer r.Close()
	null := devNull.Fd()
	pid, err := syscall.ForkExec(shell, []string{"sh", "-c", guardScript}, &syscall.ProcAttr{
		Env: []string{}, Dir: "/", Files: []uintptr{r.Fd(), null, null, list.Fd()},
		Sys: &syscall.SysProcAttr{Setpgid: true}, // a terminal's signals do not reach it
	})
	if err != nil {
		list.Close()
		w.Close()
		return nil, err
	}
	return &guard{pid: pid, pipe: w, list: list}, nil
}

// add lists a group; the slot is for remove.
func (g *guard) add(pgid int) (slot int) {
	if g == nil {
		return -1
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	slot = g.next
	if n := len(g.free); n > 0 {
		slot, g.free = g.free[n-1], g.free[:n-1]
	} else {
		g.next++
	}
	g.write(slot, fmt.Sprintf("%-*d\n", guardSlot-1, pgid))
	return slot
}

// remove takes a group off the list, before its number may be used again.
func (g *guard) remove(slot int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.write(slot, fmt.Sprintf("%*s\n", guardSlot-1, ""))
	g.free = append(g.free, slot)
}

// write never moves the file's offset, which the guard shares.
func (g *guard) write(slot int, text string) {
	_, _ = g.list.WriteAt([]byte(text), int64(slot*guardSlot)) //nolint:errcheck // the guard is a second line of defence
}

// stop ends the guard and reaps it. Whatever is still on the list is killed.
func (g *guard) stop() {
	if g == nil {
		return
	}
	g.pipe.Close()
	for {
		_, err := syscall.Wait4(g.pid, nil, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	g.list.Close()
}
