package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"loadstar/models"
)

// agent starts `loadstar agent` in a process of its own.
func (h *house) agent(address, id string, flags ...string) *exec.Cmd {
	h.t.Helper()
	cmd := h.command(append([]string{"agent", "--nats", "nats://" + address, "--nats-token", "sesame", "--id", id}, flags...)...)
	log, err := os.OpenFile(filepath.Join(h.dir, id+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr, cmd.Stdout = log, log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if h.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			h.t.Logf("agent %s said:\n%s", id, text)
		}
	})
	return cmd
}

// until polls: other processes give no signal to wait on.
func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("still not: %s", what)
		}
	}
}

func (h *house) agentState(id string) string {
	h.t.Helper()
	var agents []models.Agent
	if err := json.Unmarshal([]byte(h.must("", "agents", "-o", "json")), &agents); err != nil {
		h.t.Fatal(err)
	}
	for _, a := range agents {
		if a.ID == id {
			return a.State
		}
	}
	return "absent"
}

func touch(path string) error { return os.WriteFile(path, nil, 0o600) }

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAnotherHostRunsWhatOnlyItCanAndItsTaskOutlivesIt(t *testing.T) {
	h := newHouse(t)
	address := freeAddress(t)
	fleet := []string{"--nats-listen", address, "--nats-token", "sesame", "--agent-timeout", "5s"}
	daemon := h.startDaemon(fleet...)
	far := h.agent(address, "far", "--capabilities", "gpu", "--slots", "2")
	h.until("far has joined", func() bool { return h.agentState("far") == "ready" })

	id := strings.TrimSpace(h.must("", "submit", "--capabilities", "gpu", "--", "sh", "-c", "echo from afar"))
	h.must("", "wait", id)
	if task := h.task(id); task.Agent != "far" || task.State != models.Success {
		t.Errorf("%+v", task)
	}
	if logs := h.must("", "logs", id); logs != "from afar\n" {
		t.Errorf("logs: %q", logs)
	}

	// What runs there goes on while the daemon is killed and started again.
	kept := strings.TrimSpace(h.must("", "submit", "--capabilities", "gpu", "--", "sh", "-c", "until [ -e "+h.dir+"/go ]; do sleep 0.05; done; echo went on"))
	h.until("it runs", func() bool { return h.task(kept).State == models.Running })
	_ = daemon.Process.Signal(syscall.SIGKILL)
	_ = daemon.Wait()
	h.startDaemon(fleet...)
	if err := touch(h.dir + "/go"); err != nil {
		t.Fatal(err)
	}
	h.must("", "wait", kept)
	if task := h.task(kept); task.Attempt != 1 || task.State != models.Success {
		t.Errorf("%+v", task)
	}

	// The agent is killed: its task waits for another that has the capability.
	lost := strings.TrimSpace(h.must("", "submit", "--capabilities", "gpu", "--", "sh", "-c", "[ -e "+h.dir+"/again ] || sleep 1000"))
	h.until("it runs", func() bool { return h.task(lost).State == models.Running })
	_ = far.Process.Signal(syscall.SIGKILL)
	_ = far.Wait()
	h.until("it waits again", func() bool {
		task := h.task(lost)
		return task.State == models.Pending && task.Attempt == 2 && task.Reason == models.ReasonNoAgent
	})
	if state := h.agentState("far"); state != "lost" {
		t.Errorf("the killed agent is %s", state)
	}
	if err := touch(h.dir + "/again"); err != nil {
		t.Fatal(err)
	}
	near := h.agent(address, "near", "--capabilities", "gpu", "--slots", "1")
	h.must("", "wait", lost)
	if task := h.task(lost); task.Agent != "near" || len(task.Attempts) != 2 || task.Attempts[0].Outcome != models.OutcomeLost {
		t.Errorf("%+v", task)
	}

	// SIGTERM drains: it leaves by itself and is not listed any more.
	_ = near.Process.Signal(syscall.SIGTERM)
	if err := near.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	h.until("near has left", func() bool { return h.agentState("near") == "absent" })
}

func TestAnAgentThatCannotJoinSaysWhyInOneLine(t *testing.T) {
	h := newHouse(t)
	address := freeAddress(t)
	for want, args := range map[string][]string{
		"--nats": {"agent"},
		"id":     {"agent", "--nats", "nats://" + address, "--id", "a b"},
		"slots":  {"agent", "--nats", "nats://" + address, "--slots", "-1"},
		"weight": {"agent", "--nats", "nats://" + address, "--weight", "0"},
		"token":  {"daemon", "--nats-listen", address},
	} {
		_, errs, code := h.run("", args...)
		if code != 2 || !strings.Contains(errs, want) || strings.Count(strings.TrimSpace(errs), "\n") > 0 {
			t.Errorf("%v: exit %d, %q", args, code, errs)
		}
	}
	h.startDaemon("--nats-listen", address, "--nats-token", "sesame")
	_, errs, code := h.run("", "agent", "--nats", "nats://"+address, "--nats-token", "wrong")
	if last := errs[strings.LastIndex(strings.TrimSpace(errs), "\n")+1:]; code != 1 || !strings.Contains(strings.ToLower(last), "authorization") {
		t.Errorf("a wrong token: exit %d, %q", code, errs)
	}
}
