package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"loadstar/models"
)

// session is one run of a stdio worker's process. All of its fields belong to the
// goroutine of run, but for those that say otherwise.
type session struct {
	w       *Stdio
	cfg     *StdioConfig
	process *Process
	born    time.Time
	log     *PoolLog

	stdin, stdout, stderr *os.File
	tail                  stderrTail // shared with the reader of stderr, locked
	readers               sync.WaitGroup
	lines                 chan heard  // from the reader of stdout; closed at its end
	send                  chan []byte // to the writer of stdin; nil once it is closed
	ended                 chan exit

	state    sessionState
	lastID   int64
	awaitID  int64 // of initialize, then of the current run
	ready    bool  // the cold start is over
	busyPing bool
	pinged   bool // a ping is out and nothing was heard since
	garbage  int  // lines in a row
	garbages int  // lines in all

	job                                                *Job
	jobLog                                             *LogWriter
	doomed                                             Result // of job, where it is being stopped
	retire                                             bool   // stop after the task
	asked                                              bool   // the end was asked for
	termed                                             bool   // SIGTERM was sent
	over                                               bool   // the program ends
	blame                                              string // why we killed it
	startBy, pingAt, jobLate, jobKill, lastly, closeBy *alarm
}

type sessionState int

const (
	starting sessionState = iota
	idle
	busy
	stopping
)

// heard is one line of a worker's standard output.
type heard struct {
	message message
	garbage string // the line, where it is no message
	tooLong bool
}

// alarm is a timer that can be set anew; a nil channel never fires.
type alarm struct {
	t *time.Timer
	c <-chan time.Time
}

func (a *alarm) set(d time.Duration) {
	a.off()
	a.t = time.NewTimer(d)
	a.c = a.t.C
}

func (a *alarm) off() {
	if a.t != nil {
		a.t.Stop()
	}
	a.c = nil
}

// open starts the process.
func (w *Stdio) open() (*session, error) {
	cfg := &w.cfg
	s := &session{
		w: w, cfg: cfg, lines: make(chan heard, 16), send: make(chan []byte, 16), ended: make(chan exit, 1),
		startBy: &alarm{}, pingAt: &alarm{}, jobLate: &alarm{}, jobKill: &alarm{}, lastly: &alarm{}, closeBy: &alarm{},
	}
	r := &startRequest{args: cfg.Pool.Command, dir: cfg.Pool.Dir, env: environ(cfg.Env, map[string]string{
		"LOADSTAR_WORKER": cfg.ID,
		"LOADSTAR_POOL":   cfg.Pool.Name,
	}, cfg.Pool.Env)}
	stdout, err := r.prepare("")
	if err != nil {
		return nil, fmt.Errorf("start worker %s: %w", cfg.ID, err)
	}
	defer r.out.Close()
	s.stdout = stdout
	if s.log, err = cfg.Logs.Pool(cfg.Pool.Name); err != nil {
		stdout.Close()
		return nil, fmt.Errorf("start worker %s: %w", cfg.ID, err)
	}
	if err := s.openPipes(r); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("start worker %s: %w", cfg.ID, err)
	}
	defer r.stdin.Close()
	defer r.errs.Close()
	s.born = time.Now()
	if s.process, err = cfg.Spawner.start(r); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("start worker %s: %w", cfg.ID, explainStart(r.args[0], r.dir, err))
	}
	return s, nil
}

func (s *session) openPipes(r *startRequest) (err error) {
	if s.stderr, r.errs, err = os.Pipe(); err != nil {
		return err
	}
	if r.stdin, s.stdin, err = os.Pipe(); err != nil {
		r.errs.Close()
	}
	return err
}

func (s *session) closeFiles() {
	for _, f := range []*os.File{s.stdin, s.stdout, s.stderr} {
		if f != nil {
			f.Close()
		}
	}
	_ = s.log.Close() //nolint:errcheck // it never fails
}

// run speaks with the process until it has ended and its last words are read.
func (s *session) run(ctx context.Context) error {
	defer s.closeFiles()
	s.goAll()
	s.startBy.set(s.cfg.StartTimeout)
	config := s.cfg.Pool.Config
	if len(config) == 0 {
		config = json.RawMessage("{}")
	}
	s.awaitID = s.request("initialize", InitializeParams{
		Protocol: ProtocolVersion, Worker: s.cfg.ID, Pool: s.cfg.Pool.Name,
		Capabilities: append([]string{}, s.cfg.Pool.Capabilities...), MaxLine: MaxLine, Config: config,
	})
	x := s.loop(ctx)
	for _, a := range []*alarm{s.startBy, s.pingAt, s.jobLate, s.jobKill, s.lastly, s.closeBy} {
		a.off()
	}
	s.readers.Wait()
	err := s.epitaph(x)
	if err != nil {
		s.log.Line(s.cfg.ID, "loadstar: "+err.Error())
	}
	if s.job != nil {
		if err != nil {
			s.tail.task("loadstar: " + err.Error())
		}
		if s.doomed.Outcome != "" {
			s.finish(s.doomed)
		} else {
			s.dropJob()
		}
	}
	return err
}

// goAll starts the goroutines around the pipes. They end once the process has:
// its group is dead then, and deadlines end what a stranger may hold open.
func (s *session) goAll() {
	s.readers.Go(func() {
		defer close(s.lines)
		s.readOutput()
	})
	s.readers.Go(s.readErrors)
	send := s.send // hangUp forgets it
	s.readers.Go(func() { feed(s.stdin, send) })
	s.readers.Go(func() {
		x := s.process.wait()
		const drain = 250 * time.Millisecond
		for _, f := range []*os.File{s.stdout, s.stderr} {
			_ = f.SetReadDeadline(time.Now().Add(drain)) //nolint:errcheck // pipes have deadlines
		}
		_ = s.stdin.SetWriteDeadline(time.Now()) //nolint:errcheck // or it is closed
		s.ended <- x
	})
}

// feed writes lines until there are no more, then closes the pipe. A worker that
// is gone or does not read makes it drop them.
func feed(to *os.File, lines <-chan []byte) {
	defer to.Close()
	for line := range lines {
		_, _ = to.Write(line) //nolint:errcheck // its end is seen elsewhere
	}
}

// loop handles what happens, until the process is dead and its output is read.
func (s *session) loop(ctx context.Context) exit {
	var dead *exit
	lines, over := s.lines, ctx.Done()
	for dead == nil || lines != nil {
		select {
		case x := <-s.ended:
			dead = &x
			s.hangUp()
		case h, ok := <-lines:
			if ok {
				s.hear(h)
				continue
			}
			lines = nil
			s.closeBy.set(s.cfg.KillGrace)
		case <-s.w.orders.Wake():
			for _, o := range s.w.orders.Take() {
				s.obey(o)
			}
		case <-over:
			over, s.over = nil, true
			s.hangUp()
			s.terminate(min(s.cfg.KillGrace, endGrace))
		case <-s.startBy.c:
			s.kill("was not ready within %s", s.cfg.StartTimeout)
		case <-s.pingAt.c:
			s.ping()
		case <-s.jobLate.c:
			s.stopJob(Result{Outcome: models.OutcomeTimeout, Err: "timed out after " + s.job.Task.Timeout.String()}, s.cfg.KillGrace)
		case <-s.jobKill.c:
			s.kill("did not stop task %s when asked to", s.job.Task.TaskID)
		case <-s.closeBy.c:
			if s.state != stopping {
				s.kill("closed its standard output")
			}
		case <-s.lastly.c:
			s.lastWarning()
		}
	}
	return *dead
}

// endGrace is how long workers have between SIGTERM and SIGKILL when the program ends.
const endGrace = time.Second

// request sends a request and gives back its id.
func (s *session) request(method string, params any) int64 {
	s.lastID++
	s.tell(s.lastID, method, params)
	return s.lastID
}

func (s *session) tell(id int64, method string, params any) {
	if s.send == nil {
		return
	}
	line, err := encodeMessage(id, method, params)
	if err != nil {
		s.kill("cannot be told %s: %v", method, err)
		return
	}
	select {
	case s.send <- line:
	default:
		s.kill("does not read its standard input")
	}
}

// hangUp closes the worker's standard input after what was sent.
func (s *session) hangUp() {
	if s.send != nil {
		close(s.send)
		s.send = nil
	}
}

func (s *session) kill(format string, args ...any) {
	if s.blame == "" {
		s.blame = fmt.Sprintf(format, args...)
	}
	s.leave()
	s.process.signal(syscall.SIGKILL)
}

// leave is the beginning of the end: nothing more is expected of the worker.
func (s *session) leave() {
	s.state = stopping
	s.startBy.off()
	s.pingAt.off()
}

// terminate is an end that was asked for, by signal.
func (s *session) terminate(grace time.Duration) {
	s.leave()
	s.asked, s.termed = true, true
	s.process.terminate(grace)
	s.lastly.set(grace)
}

// lastWarning comes when a grace is over: SIGKILL after SIGTERM, and SIGTERM after
// a shutdown request.
func (s *session) lastWarning() {
	if !s.termed {
		s.terminate(s.cfg.KillGrace)
		return
	}
	s.process.signal(syscall.SIGKILL)
}

// obey handles an order.
func (s *session) obey(o order) {
	switch {
	case o.assign != nil:
		s.assign(o.assign)
	case o.kill != nil:
		if s.job != nil && s.job.Task.TaskID == o.kill.taskID {
			s.stopJob(Result{Outcome: string(models.Cancelled)}, o.kill.grace)
		}
	case o.stop:
		switch s.state {
		case starting: // it does not listen yet
			s.hangUp()
			s.terminate(s.cfg.KillGrace)
		case idle:
			s.shutdown()
		case busy:
			s.retire = true
		case stopping:
		}
	}
}

func (s *session) assign(job *Job) {
	if s.state != idle {
		job.Done(Result{Outcome: models.OutcomeLost, Err: fmt.Sprintf("worker %s is not free", s.cfg.ID), At: time.Now()})
		return
	}
	params, err := runParams(&job.Task, job.Attempt)
	if err != nil {
		job.Done(Result{Outcome: string(models.Failed), Err: "input: " + err.Error(), At: time.Now()})
		return
	}
	if s.jobLog, err = s.cfg.Logs.Create(job.Task.TaskID, job.Attempt); err != nil {
		s.cfg.Logger.Warn("an attempt's output is not kept", "err", err)
		s.jobLog = nil
	}
	s.tail.to(s.jobLog)
	s.job, s.doomed, s.state = job, Result{}, busy
	s.awaitID = s.request("run", params)
	if job.Task.Timeout > 0 {
		s.jobLate.set(job.Task.Timeout.Std())
	}
	s.alive()
	job.Started(time.Now())
}

// stopJob asks the worker to stop its task; after grace it is killed.
func (s *session) stopJob(why Result, grace time.Duration) {
	s.doomed = why
	s.jobLate.off()
	s.tell(0, "cancel", CancelParams{TaskID: s.job.Task.TaskID})
	s.jobKill.set(max(grace, 0))
}

// finish ends the task.
func (s *session) finish(r Result) {
	if r.At.IsZero() {
		r.At = time.Now()
	}
	job := s.job
	s.dropJob()
	if s.state == busy {
		s.state = idle
		s.alive()
	}
	job.Done(r)
	if s.retire && s.state == idle {
		s.shutdown()
	}
}

func (s *session) dropJob() {
	s.jobLate.off()
	s.jobKill.off()
	s.tail.to(nil)
	if s.jobLog != nil {
		_ = s.jobLog.Close() //nolint:errcheck // it never fails
	}
	s.job, s.jobLog = nil, nil
}

// shutdown asks an idle worker to end. Its standard input is closed too, which is
// enough for the simplest of workers.
func (s *session) shutdown() {
	s.leave()
	s.asked = true
	s.request("shutdown", struct{}{})
	s.hangUp()
	s.lastly.set(s.cfg.StopGrace)
}

// alive notes that the worker was heard, and sets the time of the next ping.
func (s *session) alive() {
	s.pinged = false
	if s.cfg.PingInterval > 0 && (s.state == idle || s.state == busy && s.busyPing) {
		s.pingAt.set(s.cfg.PingInterval)
	} else {
		s.pingAt.off()
	}
}

func (s *session) ping() {
	if s.pinged {
		s.kill("hangs: it did not answer a ping within %s", s.cfg.PingTimeout)
		return
	}
	s.pinged = true
	s.request("ping", struct{}{})
	s.pingAt.set(s.cfg.PingTimeout)
}

// epitaph says why the worker ended; nil where it was asked to.
func (s *session) epitaph(x exit) error {
	what := s.blame
	switch {
	case what != "":
	case s.asked:
		return nil
	case x.String() == "":
		what = "ended by itself"
	default:
		what = x.String()
	}
	switch {
	case !s.ready && s.blame == "":
		what += " before it was ready"
	case s.job != nil:
		what += " while it ran task " + s.job.Task.TaskID
	}
	if line := s.tail.get(); line != "" {
		what += ": " + line
	}
	return errors.New("worker " + s.cfg.ID + " " + what)
}
