package remote_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/agent"
	"loadstar/scheduler/agent/remote"
	"loadstar/scheduler/worker"
)

const roleVariable = "LOADSTAR_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		if err := worker.ServeStdio(context.Background(), os.Stdin, os.Stdout, echo{}); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// echo is a stdio worker that gives back its input, or waits to be killed.
type echo struct{}

func (echo) Initialize(context.Context, worker.InitializeParams) error { return nil }

func (echo) Run(ctx context.Context, p worker.RunParams, _ worker.Say) (any, error) {
	if string(p.Input) == `"wait"` {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return string(p.Input), nil
}

// memory is a journal in memory.
type memory struct {
	mu     sync.Mutex
	frames [][]byte
}

func (m *memory) Load(_ context.Context, _, frame func([]byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.frames {
		if err := frame(f); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Append(_ context.Context, f []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frames = append(m.frames, slices.Clone(f))
	return nil
}

func (m *memory) Snapshot(context.Context, [][]byte) error { return nil }

const (
	token    = "sesame"
	patience = 30 * time.Second
)

// fleet is a NATS server, a daemon's half and the journal that outlives it.
type fleet struct {
	t       *testing.T
	server  *remote.Server
	journal *memory
	logs    *worker.LogStore
	service *scheduler.Service
	stop    func() // ends the daemon's half
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	server, err := remote.Listen(remote.ServerConfig{Listen: "127.0.0.1:0", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	f := &fleet{t: t, server: server, journal: &memory{}, logs: newLogs(t)}
	f.start()
	t.Cleanup(func() { f.stop() })
	return f
}

func newLogs(t *testing.T) *worker.LogStore {
	t.Helper()
	logs, err := worker.NewLogStore(worker.LogConfig{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return logs
}

// start starts the daemon's half: a scheduler and a hub.
func (f *fleet) start() {
	f.t.Helper()
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	service, err := scheduler.New(scheduler.Config{
		Journal: f.journal, Fleet: true, DecisionInterval: 50 * time.Millisecond, AgentTimeout: time.Second,
		Sizer: func(p models.PoolSpec, _ models.DecisionInput) models.Decision {
			return models.Decision{Pool: p.Name, Want: p.Max, Applied: true}
		},
		Pools: []models.PoolSpec{
			{Name: "default", Kind: models.KindExec, Max: 8},
			{Name: "echo", Kind: models.KindStdio, Max: 1, Command: []string{self}, Env: map[string]string{roleVariable: "echo"}},
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	hub, err := remote.NewHub(remote.HubConfig{Conn: f.server.Conn(), Scheduler: service, Logs: f.logs})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{service.Run, hub.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				f.t.Error(err)
			}
		})
	}
	f.service = service
	f.stop = func() {
		cancel()
		running.Wait()
	}
}

// restart is what a crash of the daemon and its next start come to.
func (f *fleet) restart() {
	f.stop()
	f.start()
}

// host is another host with an agent on it.
type host struct {
	t       *testing.T
	cable   *cable
	hands   *agent.Local
	member  *remote.Member
	stopped chan error
	stop    func()
}

// cable is the network to a host, which can be cut.
type cable struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (c *cable) Dial(network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.New("the cable is cut")
	}
	conn, err := net.Dial(network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		c.conns = nil
	}
}

func (f *fleet) host(id string, capabilities ...string) *host {
	f.t.Helper()
	h := &host{t: f.t, cable: &cable{}, stopped: make(chan error, 1)}
	logs := newLogs(f.t)
	hands, err := agent.New(agent.Config{
		ID: id, Slots: 4, Capabilities: capabilities, Logs: logs, Heartbeat: 50 * time.Millisecond, KillGrace: time.Second,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	h.hands = hands
	conn, err := nats.Connect(f.server.URL(), nats.UserInfo("loadstar-agent", token), nats.SetCustomDialer(h.cable), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		f.t.Fatal(err)
	}
	h.member, err = remote.NewMember(remote.MemberConfig{Conn: conn, Agent: hands, Logs: logs, RefusedFor: time.Millisecond})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	work, stopWork := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = hands.Run(work) })
	running.Go(func() { h.stopped <- h.member.Run(ctx) })
	h.stop = func() {
		cancel()
		stopWork()
		running.Wait()
		conn.Close()
	}
	f.t.Cleanup(h.stop)
	return h
}

func (f *fleet) submit(id string, change func(*models.TaskSpec), script string) {
	f.t.Helper()
	s := models.NewTaskSpec()
	s.TaskID = id
	if script != "" {
		s.Run = []string{"sh", "-c", script}
	}
	if change != nil {
		change(&s)
	}
	if _, err := f.service.Submit(f.t.Context(), []models.TaskSpec{s}, ""); err != nil {
		f.t.Fatal(err)
	}
}

// until waits until a task is as wanted.
func (f *fleet) until(id, what string, ok func(*models.Task) bool) models.Task {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	events := f.service.Subscribe(ctx, 1024)
	for {
		task, err := f.service.Task(ctx, id)
		if err != nil {
			f.t.Fatal(err)
		}
		if ok(&task) {
			return task
		}
		if _, open := <-events; !open {
			f.t.Fatalf("task %s is not %s: %s, attempt %d, %+v", id, what, task.State, task.Attempt, task.Attempts)
		}
	}
}

// events are what happens from now on, for as long as a test may wait.
func (f *fleet) events() <-chan models.Event {
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	f.t.Cleanup(cancel)
	return f.service.Subscribe(ctx, 1024)
}

func (f *fleet) state(id string, s models.State, attempt int) models.Task {
	f.t.Helper()
	return f.until(id, string(s), func(t *models.Task) bool { return t.State == s && t.Attempt == attempt })
}

func (f *fleet) output(id string, attempt int) string {
	f.t.Helper()
	r, err := f.logs.Open(id, attempt)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

func (f *fleet) agents() string {
	f.t.Helper()
	agents, err := f.service.Agents(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	var out []string
	for _, a := range agents {
		out = append(out, a.ID+" "+a.State)
	}
	return strings.Join(out, ", ")
}

// gate is a file that a task waits for.
func gate(t *testing.T) (script string, open func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate")
	return "until [ -e " + path + " ]; do sleep 0.02; done", func() {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func gpu(s *models.TaskSpec) { s.Capabilities = []string{"gpu"} }

func TestATaskRunsOnTheHostThatHasWhatItNeedsAndItsOutputIsReadHere(t *testing.T) {
	f := newFleet(t)
	f.host("plain")
	f.host("far", "gpu")
	f.submit("t", gpu, "echo out; echo err >&2; exit 3")
	task := f.state("t", models.Failed, 1)
	if task.Agent != "far" || task.ExitCode == nil || *task.ExitCode != 3 {
		t.Errorf("%+v", task)
	}
	if got := f.output("t", 1); got != "out\nerr\n" && got != "err\nout\n" {
		t.Errorf("output %q", got)
	}
}

func TestOutputCanBeFollowedWhileItIsWritten(t *testing.T) {
	f := newFleet(t)
	f.host("far")
	wait, open := gate(t)
	f.submit("t", nil, "echo first; "+wait+"; echo last")
	f.state("t", models.Running, 1)
	r, err := f.logs.Follow(t.Context(), "t", 1)
	for deadline := time.Now().Add(patience); errors.Is(err, models.ErrNotFound) && time.Now().Before(deadline); { // it comes behind the start
		r, err = f.logs.Follow(t.Context(), "t", 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := make([]byte, len("first\n"))
	if _, err := io.ReadFull(r, first); err != nil || string(first) != "first\n" {
		t.Errorf("%q, %v", first, err)
	}
	open()
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "last\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestALongOutputArrivesWhole(t *testing.T) {
	f := newFleet(t)
	f.host("far")
	f.submit("t", nil, "seq 1 300000")
	f.state("t", models.Success, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := f.logs.Follow(ctx, "t", 1) // its end may still be under way
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil || strings.Count(string(text), "\n") != 300000 || !strings.HasSuffix(string(text), "\n299999\n300000\n") {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestAConnectionThatComesBackInTimeCostsNothing(t *testing.T) {
	f := newFleet(t)
	h := f.host("far")
	wait, open := gate(t)
	f.submit("t", nil, "echo hi; "+wait)
	f.state("t", models.Running, 1)
	for range 3 {
		h.cable.set(true)
		h.cable.set(false)
	}
	f.submit("u", nil, "true")
	f.state("u", models.Success, 1)
	open()
	f.state("t", models.Success, 1)
	if got := f.output("t", 1); got != "hi\n" {
		t.Errorf("output %q", got)
	}
}

func TestALostAgentsTaskRunsAgainElsewhereAndItsLateResultIsRefused(t *testing.T) {
	f := newFleet(t)
	lost := f.host("lost", "gpu")
	wait, open := gate(t)
	f.submit("t", gpu, "echo ran; "+wait)
	f.state("t", models.Running, 1)
	lost.cable.set(true)
	f.until("t", "waiting for an agent", func(t *models.Task) bool {
		return t.State == models.Pending && t.Attempt == 2 && t.Reason == models.ReasonNoAgent
	})
	if got := f.agents(); got != "lost lost" {
		t.Errorf("agents: %s", got)
	}
	f.host("other", "gpu")
	if task := f.state("t", models.Running, 2); task.Agent != "other" {
		t.Errorf("it runs on %s", task.Agent)
	}
	events := f.events()
	open() // both end; one of them late
	task := f.state("t", models.Success, 2)
	if task.Agent != "other" || len(task.Attempts) != 2 || task.Attempts[0].Outcome != models.OutcomeLost {
		t.Errorf("%+v", task)
	}
	for deadline := time.Now().Add(patience); lost.hands.Info().Busy > 0; time.Sleep(10 * time.Millisecond) { // another process
		if time.Now().After(deadline) {
			t.Fatal("the first attempt does not end")
		}
	}
	lost.cable.set(false)
	for e := range events {
		if e.Kind == models.EventAgent && e.TaskID == "t" && strings.Contains(e.Message, "late result (SUCCESS)") {
			break
		}
	}
	stats, err := f.service.Stats(t.Context())
	if err != nil || stats.LateResults == 0 {
		t.Errorf("%d late results were counted, %v", stats.LateResults, err)
	}
}

func TestAnAgentThatComesBackKillsWhatIsNoLongerItsOwn(t *testing.T) {
	f := newFleet(t)
	h := f.host("far")
	killed := filepath.Join(t.TempDir(), "killed")
	f.submit("t", func(s *models.TaskSpec) { s.Retries = 0 }, "[ -e "+killed+" ] && exit 0; trap 'echo > "+killed+"; exit 1' TERM; while :; do sleep 0.02; done")
	f.state("t", models.Running, 1)
	h.cable.set(true)
	f.state("t", models.Pending, 2)
	h.cable.set(false)
	task := f.until("t", "begun again", func(t *models.Task) bool { return t.Attempt == 2 && t.State != models.Pending })
	if task.Agent != "far" {
		t.Errorf("%+v", task)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // another process
		if _, err := os.Stat(killed); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the old attempt was not killed")
		}
	}
}

func TestWhatAnAgentRunsOutlivesTheDaemon(t *testing.T) {
	f := newFleet(t)
	f.host("far")
	wait, open := gate(t)
	f.submit("goes-on", nil, "echo before; "+wait+"; echo after")
	f.submit("ends-meanwhile", nil, wait)
	f.state("goes-on", models.Running, 1)
	f.state("ends-meanwhile", models.Running, 1)
	f.stop()
	open()
	f.start()
	for _, id := range []string{"goes-on", "ends-meanwhile"} {
		task := f.state(id, models.Success, 1)
		if len(task.Attempts) != 1 {
			t.Errorf("%s: %+v", id, task.Attempts)
		}
	}
	if got := f.output("goes-on", 1); got != "before\nafter\n" {
		t.Errorf("output %q", got)
	}
	f.submit("next", nil, "true")
	f.state("next", models.Success, 1)
}

func TestAWorkerServesFromAnotherHostAndDoesNotOutliveItsDaemon(t *testing.T) {
	f := newFleet(t)
	f.host("far")
	input := func(text string) func(*models.TaskSpec) {
		return func(s *models.TaskSpec) { s.Pool, s.Input = "echo", []byte(text) }
	}
	f.submit("one", input(`"x"`), "")
	f.state("one", models.Success, 1)
	f.submit("held", input(`"wait"`), "")
	f.state("held", models.Running, 1)
	f.restart()
	f.state("held", models.Running, 2) // on a new worker
	if _, err := f.service.Cancel(t.Context(), models.Selection{IDs: []string{"held"}}); err != nil {
		t.Fatal(err)
	}
	f.state("held", models.Cancelled, 2)
	f.submit("two", input(`"y"`), "")
	f.state("two", models.Success, 1)
}

func TestAnAgentThatDrainsFinishesWhatRunsAndLeaves(t *testing.T) {
	f := newFleet(t)
	h := f.host("far")
	wait, open := gate(t)
	f.submit("t", nil, wait)
	f.state("t", models.Running, 1)
	events := f.events()
	h.member.Drain()
	for f.agents() != "far draining" {
		if _, ok := <-events; !ok {
			t.Fatal("it does not drain")
		}
	}
	f.submit("later", nil, "true")
	open()
	f.state("t", models.Success, 1)
	select {
	case err := <-h.stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("it does not leave")
	}
	for e := range events {
		if e.Message == "agent far has left" {
			break
		}
	}
	if got := f.agents(); got != "" {
		t.Errorf("agents: %s", got)
	}
	f.host("next")
	if task := f.state("later", models.Success, 1); task.Agent != "next" {
		t.Errorf("%+v", task)
	}
}

func TestWhatAnAgentCannotFinishGoesBack(t *testing.T) {
	f := newFleet(t)
	h := f.host("far")
	f.submit("t", nil, "sleep 1000")
	f.state("t", models.Running, 1)
	h.stop()
	f.state("t", models.Pending, 2)
}

func TestCancellingReachesTheOtherHost(t *testing.T) {
	f := newFleet(t)
	f.host("far")
	f.submit("t", nil, "sleep 1000")
	f.state("t", models.Running, 1)
	if _, err := f.service.Cancel(t.Context(), models.Selection{IDs: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	f.state("t", models.Cancelled, 1)
}

func TestANameThatIsTakenIsRefused(t *testing.T) {
	f := newFleet(t)
	first := f.host("far")
	f.submit("t", nil, "true")
	f.state("t", models.Success, 1)
	second := f.host("far")
	select {
	case err := <-second.stopped:
		if err == nil || !strings.Contains(err.Error(), "an agent named far is here already") {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("it was not refused")
	}
	select {
	case err := <-first.stopped:
		t.Errorf("the first was sent away: %v", err)
	default:
	}
}

func TestAnAgentHasNoWayPastTheFleetsSubjects(t *testing.T) {
	f := newFleet(t)
	if conn, err := nats.Connect(f.server.URL()); err == nil {
		conn.Close()
		t.Error("an agent without the token was let in")
	}
	refused := make(chan error, 1)
	conn, err := nats.Connect(f.server.URL(), nats.UserInfo("loadstar-agent", token), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Publish("loadstar.journal", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it was not refused")
	}
}
