package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestADamagedJournalIsRefusedAndTheDoctorRepairsIt(t *testing.T) {
	h := newHouse(t)
	daemon := h.startDaemon()
	if _, errs, code := h.run("", "doctor", "--repair"); code != 1 || errs == "" {
		t.Errorf("a repair under a running daemon: exit %d, %q", code, errs)
	}
	for _, id := range []string{"one", "two", "three"} { // in frames of their own
		h.must(`{"task_id":"`+id+`","run":["true"]}`, "submit", "--wait", "-f", "-")
	}
	if err := daemon.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = daemon.Wait()
	files, err := filepath.Glob(filepath.Join(h.dir, "s", "journal", "jetstream", "$G", "streams", "LOADSTAR_JOURNAL", "msgs", "*.blk"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[strings.Index(string(data), "two")] ^= 1
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := h.run("", "daemon"); code != 1 || !strings.Contains(errs, "is damaged") || !strings.Contains(errs, "loadstar doctor --repair") {
		t.Errorf("the daemon: exit %d, %q", code, errs)
	}
	out, _, code := h.run("", "doctor")
	if code != 1 || !strings.Contains(out, "would keep 2 tasks (2 SUCCESS)") || !strings.Contains(out, "1 task of which nothing is known") {
		t.Errorf("doctor: exit %d, %s", code, out)
	}
	if out, _, code := h.run("", "doctor", "--repair"); code != 0 || !strings.Contains(out, "done: kept 2 tasks (2 SUCCESS)") || !strings.Contains(out, "journal.damaged-") {
		t.Errorf("doctor --repair: exit %d, %s", code, out)
	}
	h.startDaemon()
	h.task("one")
	h.task("three")
	if _, _, code := h.run("", "get", "two"); code != 4 {
		t.Errorf("the lost task: exit %d", code)
	}
	h.must(`{"task_id":"two","run":["true"]}`, "submit", "--wait", "-f", "-")
	if out := h.must("", "doctor"); strings.Contains(out, "BAD") {
		t.Error(out)
	}
}
