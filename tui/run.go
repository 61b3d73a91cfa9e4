package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// framesPerSecond is how often the terminal is written to at most: it costs a
// quarter of what the library's default does, and nobody reads faster.
const framesPerSecond = 10

// Run shows the screen until it is quit or the context ends, and gives the
// terminal back as it was, also where the program panics.
func Run(ctx context.Context, cfg Config, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m, err := newModel(ctx, cfg)
	if err != nil {
		return err
	}
	clock := m.cfg.Clock
	p := tea.NewProgram(m,
		tea.WithInput(in), tea.WithOutput(out),
		tea.WithAltScreen(), tea.WithMouseCellMotion(), tea.WithFPS(framesPerSecond),
		tea.WithFilter(func(_ tea.Model, msg tea.Msg) tea.Msg { return stamp(msg, clock) }),
	)
	// The end of the context is a quit like any other: the library's own way with
	// contexts kills the program and may leave the reader of its input behind.
	stop := context.AfterFunc(ctx, p.Quit)
	defer stop()
	last, err := p.Run()
	if end, ok := last.(Model); ok && cfg.Remember != nil {
		cfg.Remember(end.Memory())
	}
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, tea.ErrInterrupted):
		return nil
	}
	return fmt.Errorf("the screen ended: %w", err)
}

// stamp notes when a mouse message came.
func stamp(msg tea.Msg, clock func() time.Time) tea.Msg {
	if _, ok := msg.(tea.MouseMsg); ok {
		return stamped{msg: msg, at: clock()}
	}
	return msg
}
