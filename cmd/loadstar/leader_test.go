package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"loadstar/models"
)

func TestAFollowerTakesOverAndNoAcknowledgedTaskIsLost(t *testing.T) {
	ns, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	flags := func(id string) []string {
		return []string{"--nats", ns.ClientURL(), "--agent-id", id, "--leader-lease", "2s", "--agent-timeout", "5s"}
	}
	first, second := newHouse(t), newHouse(t)
	leader := first.startDaemon(flags("first")...)
	follower := second.spawn(append([]string{"daemon"}, flags("second")...)...)
	second.until("the follower says who leads", func() bool {
		_, errs, code := second.run("", "ls")
		return code == 1 && strings.Contains(errs, "this daemon is not the leader, first is") && strings.Count(strings.TrimSpace(errs), "\n") == 0
	})

	far := first.agent(strings.TrimPrefix(ns.ClientURL(), "nats://"), "far", "--capabilities", "gpu")
	defer func() { _ = far.Process.Kill() }()
	first.until("far has joined", func() bool { return first.agentState("far") == "ready" })
	const tasks = 200
	var docs strings.Builder
	for i := range tasks {
		fmt.Fprintf(&docs, `{"task_id":"t%d","run":["true"],"not_before":%q}`+"\n", i, time.Now().Add(time.Duration(i)*20*time.Millisecond).Format(time.RFC3339Nano))
	}
	first.must(docs.String(), "submit", "-f", "-")
	kept := strings.TrimSpace(first.must("", "submit", "--capabilities", "gpu", "--", "sh", "-c", "until [ -e "+first.dir+"/go ]; do sleep 0.05; done"))
	first.until("it runs", func() bool { return first.task(kept).State == models.Running })

	_ = leader.Process.Signal(syscall.SIGKILL)
	_ = leader.Wait()
	second.until("the follower leads", func() bool { _, _, code := second.run("", "stats"); return code == 0 })
	second.until("the agent has followed", func() bool { return second.agentState("far") == "ready" })
	second.must("", "submit", "--", "true")
	if err := touch(first.dir + "/go"); err != nil {
		t.Fatal(err)
	}
	second.until("all have succeeded", func() bool { return second.stats().Tasks[models.Success] == tasks+2 })
	if task := second.task(kept); task.Attempt != 1 {
		t.Errorf("what ran on another host did not go on: %+v", task)
	}
	var all []models.Task
	if err := json.Unmarshal([]byte(second.must("", "ls", "--limit", "1000", "-o", "json")), &all); err != nil || len(all) != tasks+2 {
		t.Errorf("%d tasks, %v", len(all), err)
	}

	// The former leader comes back as a follower; the leader goes, and hands over at once.
	first.spawn(append([]string{"daemon"}, flags("first")...)...)
	first.until("it stands by", func() bool {
		_, errs, _ := first.run("", "ls")
		return strings.Contains(errs, "second is")
	})
	_ = follower.Process.Signal(syscall.SIGTERM)
	if err := follower.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	first.until("it leads again", func() bool { _, _, code := first.run("", "stats"); return code == 0 })
	if n := first.stats().Tasks[models.Success]; n != tasks+2 {
		t.Errorf("%d have succeeded", n)
	}
}
