package cli

import (
	"fmt"
	"io"
	"strings"
)

// meter says how far something is: one line that is overwritten on a terminal,
// a line every tenth elsewhere.
type meter struct {
	w     io.Writer // nil: it says nothing
	tty   bool
	what  string
	total int
	tenth int
	open  bool
}

func (a *program) meter(on bool, what string, total int) *meter {
	m := &meter{what: what, total: total}
	if on && total > 0 {
		m.w = a.err
		_, m.tty = terminal(a.err)
	}
	return m
}

func (m *meter) to(done int) {
	if m.w == nil {
		return
	}
	if m.tty {
		const width = 30
		filled := width * done / m.total
		fmt.Fprintf(m.w, "\r[%s%s] %d of %d %s ", strings.Repeat("#", filled), strings.Repeat(".", width-filled), done, m.total, m.what)
		m.open = true
		return
	}
	if tenth := 10 * done / m.total; tenth > m.tenth {
		m.tenth = tenth
		fmt.Fprintf(m.w, "loadstar: %d of %d %s\n", done, m.total, m.what)
	}
}

// end leaves the line.
func (m *meter) end() {
	if m.open {
		fmt.Fprintln(m.w)
		m.open = false
	}
}
