package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// mostSaid is how much of what a failed command or webhook said is logged, in bytes.
const mostSaid = 500

// run runs the command. Its whole group is killed at the end of ctx, and where the
// program dies.
func (a *Alerter) run(ctx context.Context, alert *Alert) error {
	// The kernel ties the command's life to the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	body, err := json.Marshal(alert)
	if err != nil {
		return err
	}
	said := &firstBytes{}
	cmd := exec.CommandContext(ctx, a.cfg.Command[0], a.cfg.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(append(body, '\n')), said, said
	cmd.Env = append(os.Environ(),
		"LOADSTAR_TASK_ID="+alert.Task.TaskID, "LOADSTAR_POOL="+alert.Task.Pool, "LOADSTAR_ATTEMPT="+strconv.Itoa(alert.Task.Attempt),
		"LOADSTAR_ERROR="+strings.ReplaceAll(alert.Task.Error, "\x00", " "), "LOADSTAR_OTHERS="+strconv.FormatUint(alert.Others, 10))
	inGroup(cmd)
	cmd.WaitDelay = time.Second // for what holds its output open
	err = cmd.Run()
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("alerts.command: it did not end within %s", a.cfg.Timeout)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil // the command itself ended well
	}
	if err != nil {
		return fmt.Errorf("alerts.command: %w%s", err, said)
	}
	return nil
}

// post calls the webhook.
func (a *Alerter) post(ctx context.Context, alert *Alert) error {
	body, err := json.Marshal(alert)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("alerts.url: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "loadstar")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("alerts.url: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	said := &firstBytes{}
	_, _ = io.Copy(said, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("alerts.url: %s%s", resp.Status, said)
	}
	return nil
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct{ b []byte }

func (f *firstBytes) Write(p []byte) (int, error) {
	f.b = append(f.b, p[:min(len(p), mostSaid-len(f.b))]...)
	return len(p), nil
}

func (f *firstBytes) String() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(f.b), "?"))
	if text == "" {
		return ""
	}
	return ": " + strconv.Quote(text)
}
