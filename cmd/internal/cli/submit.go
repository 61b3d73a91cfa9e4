package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
)

// What goes over in one batch, accepted whole or not at all.
const (
	batchTasks = 10_000
	batchBytes = 16 << 20
)

// submitFlags are the flags of submit; one for every field of a task.
type submitFlags struct {
	file, key      string
	wait, progress bool
	output         string

	id, description, pool, assignedTo, onFailure string
	priority, timeout, backoff                   string
	after, capabilities, labels, env             []string
	inheritEnv                                   bool
	dir, stdin, input, near                      string
	prefer                                       []string
	nearLabel, data, antiAffinity                string
	address, method, body                        string
	headers                                      []string
	retries                                      int
	notBefore, deadline                          string
	cpu                                          float64
	memory                                       string
	items                                        itemFlags
}

func (a *program) submitCmd() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit [flags] -- CMD [ARG...]",
		Short: "Hand over a task, or many from a file; prints their ids",
		Long: `Hand over a task, or many from a file; prints their ids, one a line.

A command runs in the caller's directory, with the daemon's environment and what
--env adds. With -f the tasks are JSON documents: one, an array, or one a line
(NDJSON). They are accepted whole or not at all; more than 10,000 tasks or 16 MiB
go in several such batches, and it says so.`,
		Example: `  loadstar submit -- make -j4 test
  loadstar submit --priority high --after build-1 --retries 3 --wait -- ./deploy.sh
  generate-tasks | loadstar submit -f - --wait --progress`,
		Args: args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, command []string) error { return a.submit(cmd, f, command) },
	}
	fl := cmd.Flags()
	fl.SetInterspersed(false) // what follows the command's name is its own
	fl.StringVarP(&f.file, "file", "f", "", "read the tasks from `FILE`, - is standard input")
	fl.StringVar(&f.key, "key", "", "idempotency `KEY`: the same submission is accepted once")
	fl.BoolVar(&f.wait, "wait", false, "wait until all are final; 5 is the exit code where one did not succeed")
	fl.BoolVar(&f.progress, "progress", false, "say on stderr how far it is")
	fl.StringVarP(&f.output, "output", "o", "table", "`FORMAT`: table (ids), json or csv")
	fl.StringVar(&f.id, "id", "", "the task's `ID` (default: made up)")
	fl.StringVar(&f.description, "description", "", "`TEXT` for people; the input of a stdio or http pool where there is no other")
	fl.StringVar(&f.priority, "priority", "", "`P`: critical, high, normal, low or 0 to 100 (default normal)")
	fl.StringSliceVar(&f.after, "after", nil, "run after this task, `ID` (several: repeat or commas)")
	fl.StringVar(&f.onFailure, "on-dependency-failure", "", "`WHAT` then: cancel, run or wait (default cancel)")
	fl.StringVar(&f.assignedTo, "assigned-to", "", "run on this `AGENT` only")
	fl.StringVar(&f.pool, "pool", "", "`POOL` to run in (default \"default\")")
	fl.StringSliceVar(&f.capabilities, "capabilities", nil, "what the agent must have, `A,B`")
	fl.StringVar(&f.near, "near", "", "rather on the agent that ran this task, `ID`")
	fl.StringSliceVar(&f.prefer, "prefer", nil, "rather on an agent with these capabilities, `A,B`")
	fl.StringVar(&f.nearLabel, "near-label", "", "rather where tasks with its own value of this `LABEL` ran")
	fl.StringVar(&f.data, "data", "", "rather where tasks with the same --data ran, `NAME`")
	fl.StringVar(&f.antiAffinity, "anti-affinity", "", "rather away from tasks with its own value of this `LABEL`")
	fl.StringVar(&f.input, "input", "", "a stdio or http pool's input, any `JSON`")
	fl.StringVar(&f.address, "http", "", "send a request to this `URL` (http pools)")
	fl.StringVar(&f.method, "http-method", "", "the request's `METHOD` (default POST)")
	fl.StringArrayVar(&f.headers, "http-header", nil, "a header `NAME: VALUE` of the request (repeat)")
	fl.StringVar(&f.body, "http-body", "", "`TEXT` that is the request's body, as it stands")
	fl.StringArrayVar(&f.env, "env", nil, "set `KEY=VALUE`, or hand over the caller's KEY (repeat)")
	fl.BoolVar(&f.inheritEnv, "inherit-env", false, "hand over the caller's whole environment")
	fl.StringVar(&f.dir, "dir", "", "`FOLDER` to run in (default: the present one)")
	fl.StringVar(&f.stdin, "stdin", "", "`TEXT` on its standard input")
	fl.StringVar(&f.timeout, "timeout", "", "end an attempt after this `TIME`, as 10m")
	fl.IntVar(&f.retries, "retries", 0, "try so often again, `N`")
	fl.StringVar(&f.backoff, "backoff", "", "`TIME` before the first retry; it doubles (default 1s)")
	fl.StringVar(&f.notBefore, "not-before", "", "start at this `TIME` or later: RFC 3339, or from now as 10m")
	fl.StringVar(&f.deadline, "deadline", "", "FAILED if not started by this `TIME`: RFC 3339, or from now as 10m")
	fl.Float64Var(&f.cpu, "cpu", 0, "`CORES` that it asks for")
	fl.StringVar(&f.memory, "memory", "", "`AMOUNT` of memory that it asks for, as 512MiB")
	fl.StringVar(&f.items.items, "items", "", "run it for each of `ITEMS`: FROM..TO, or with commas between them; {} in the command stands for them")
	fl.StringVar(&f.items.from, "items-from", "", "likewise for each line of `FILE`, - is standard input")
	fl.StringVar(&f.items.shard, "shard", "", "`N` items at a time, or auto (default 1)")
	fl.IntVar(&f.items.maxFailures, "max-failures", 0, "put up with `K` shards that fail before the rest is cancelled")
	fl.StringArrayVar(&f.labels, "label", nil, "label `KEY=VALUE` (repeat)")
	_ = cmd.RegisterFlagCompletionFunc("priority", cobra.FixedCompletions([]string{"critical", "high", "normal", "low"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("file", "json", "ndjson", "jsonl")
	return cmd
}

func (a *program) submit(cmd *cobra.Command, f submitFlags, command []string) error {
	if err := (&output{format: f.output}).check(); err != nil {
		return err
	}
	specs, source, err := a.specs(cmd, f, command)
	if err != nil {
		return err
	}
	return a.ask(cmd, func(ctx context.Context, b Backend) error {
		tasks, err := a.sendBatches(ctx, b, specs, source, f)
		ids := make([]string, len(tasks))
		for i, t := range tasks {
			ids[i] = t.TaskID
		}
		if f.output == "table" {
			for _, id := range ids {
				fmt.Fprintln(a.out, clean(id))
			}
		}
		if err != nil {
			return err
		}
		if f.wait {
			if tasks, err = a.await(ctx, b, ids, f.progress); err != nil {
				return err
			}
		}
		if f.output != "table" {
			if err := a.print(tasksView(tasks, len(tasks)), output{format: f.output}, true); err != nil {
				return err
			}
		}
		if f.wait {
			return verdict(tasks)
		}
		return nil
	})
}

// specs are the tasks to hand over, from the file or from the flags, and where
// they came from.
func (a *program) specs(cmd *cobra.Command, f submitFlags, command []string) (specs []models.TaskSpec, source string, err error) {
	if f.file == "" {
		spec, err := a.fromFlags(f, command)
		if err != nil {
			return nil, "", err
		}
		specs, err := a.spread(spec)
		return specs, "", err
	}
	if len(command) > 0 {
		return nil, "", usage("either --file or a command, not both")
	}
	for _, name := range taskFlags() {
		if cmd.Flags().Changed(name) {
			return nil, "", usage("--%s is for a single task; with --file the documents say it", name)
		}
	}
	var data []byte
	if f.file == "-" {
		data, err = io.ReadAll(a.in)
	} else {
		data, err = os.ReadFile(f.file)
	}
	if err != nil {
		return nil, "", usage("--file: %w", err)
	}
	specs, err = models.DecodeTasks(data, f.file)
	return specs, f.file, err
}

func taskFlags() []string {
	return append(itemFlagNames(),
		"id", "description", "priority", "after", "on-dependency-failure", "assigned-to", "pool", "capabilities", "near", "prefer", "near-label", "data", "anti-affinity", "input", "http", "http-method", "http-header", "http-body", "env",
		"inherit-env", "dir", "stdin", "timeout", "retries", "backoff", "not-before", "deadline", "cpu", "memory", "label",
	)
}

func (a *program) fromFlags(f submitFlags, command []string) (models.TaskSpec, error) {
	s := models.NewTaskSpec()
	if len(command) == 0 && f.input == "" && f.description == "" && f.address == "" && f.body == "" && f.items.items == "" && f.items.from == "" {
		return s, usage("nothing to do: give a command after --, or --file, or --input for a stdio pool, or --http")
	}
	s.TaskID, s.Description, s.AssignedTo, s.OnDependencyFailure = f.id, f.description, f.assignedTo, f.onFailure
	s.Dependencies, s.Capabilities, s.Stdin, s.Retries = f.after, f.capabilities, f.stdin, f.retries
	if len(command) > 0 {
		s.Run = command
	}
	if f.pool != "" {
		s.Pool = f.pool
	}
	if f.near != "" || len(f.prefer) > 0 || f.nearLabel != "" || f.data != "" || f.antiAffinity != "" {
		s.Affinity = &models.Affinity{Near: f.near, Capabilities: f.prefer, Label: f.nearLabel, Data: f.data, AntiAffinity: f.antiAffinity}
	}
	if f.input != "" {
		if !json.Valid([]byte(f.input)) {
			return s, usage("--input: it is not valid JSON (a plain text needs its quotes)")
		}
		s.Input = json.RawMessage(f.input)
	}
	for _, fill := range []func(*models.TaskSpec) error{f.request, f.amounts, a.times(f), a.surroundings(f), f.items.fill(a.in)} {
		if err := fill(&s); err != nil {
			return s, err
		}
	}
	var fe *models.FieldError
	if err := s.Validate(); errors.As(err, &fe) {
		return s, usage("--%s: %s", flagOf(fe.Field), fe.Problem)
	} else if err != nil {
		return s, &usageError{err: err}
	}
	return s, nil
}

// flagOf is the flag that stands for a task's field.
func flagOf(field string) string {
	switch field {
	case "task_id":
		return "id"
	case "dependencies":
		return "after"
	case "labels":
		return "label"
	case "resources.cpu":
		return "cpu"
	case "resources.memory":
		return "memory"
	case "affinity.near":
		return "near"
	case "http.url":
		return "http"
	case "http.headers":
		return "http-header"
	}
	return strings.NewReplacer("_", "-", ".", "-").Replace(field)
}

// request is what an http pool sends, where a flag says something of it.
func (f submitFlags) request(s *models.TaskSpec) error {
	if f.address == "" && f.method == "" && f.body == "" && len(f.headers) == 0 {
		return nil
	}
	s.HTTP = &models.HTTPRequest{URL: f.address, Method: strings.ToUpper(f.method)}
	if f.body != "" {
		text, err := json.Marshal(f.body)
		if err != nil {
			return usage("--http-body: %w", err)
		}
		s.HTTP.Body = text
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return usage("--http-header: %q is not NAME: VALUE", h)
		}
		if s.HTTP.Headers == nil {
			s.HTTP.Headers = map[string]string{}
		}
		s.HTTP.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return nil
}

func (f submitFlags) amounts(s *models.TaskSpec) (err error) {
	if f.priority != "" {
		if s.Priority, err = models.ParsePriority(f.priority); err != nil {
			return usage("--priority: %w", err)
		}
	}
	if f.cpu != 0 || f.memory != "" {
		s.Resources = &models.Resources{CPU: f.cpu}
	}
	if f.memory != "" {
		if s.Resources.Memory, err = models.ParseBytes(f.memory); err != nil {
			return usage("--memory: %w", err)
		}
	}
	s.Labels, err = labelMap(f.labels)
	return err
}

func (a *program) times(f submitFlags) func(*models.TaskSpec) error {
	return func(s *models.TaskSpec) (err error) {
		for _, d := range []struct {
			flag, text string
			into       *models.Duration
		}{{"timeout", f.timeout, &s.Timeout}, {"backoff", f.backoff, &s.Backoff}} {
			if d.text == "" {
				continue
			}
			if *d.into, err = models.ParseDuration(d.text); err != nil {
				return usage("--%s: %w", d.flag, err)
			}
		}
		for _, m := range []struct {
			flag, text string
			into       **time.Time
		}{{"not-before", f.notBefore, &s.NotBefore}, {"deadline", f.deadline, &s.Deadline}} {
			if m.text == "" {
				continue
			}
			t, err := a.moment("--"+m.flag, m.text, 1)
			if err != nil {
				return err
			}
			*m.into = &t
		}
		return nil
	}
}

// moment reads a time, or a duration that lies ahead (sign 1) or back (-1).
func (a *program) moment(flag, text string, sign int) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, usage("%s: %q is not a time such as 2026-11-24T08:00:00Z or a duration such as 10m", flag, text)
	}
	return a.deps.Now().Add(time.Duration(sign) * d).UTC().Truncate(time.Millisecond), nil
}

// surroundings fills in where the command runs and what it finds there.
func (a *program) surroundings(f submitFlags) func(*models.TaskSpec) error {
	return func(s *models.TaskSpec) error {
		if len(s.Run) > 0 || f.dir != "" {
			here, err := a.deps.Getwd()
			if err != nil && !filepath.IsAbs(f.dir) {
				return usage("--dir: the present folder cannot be told: %w", err)
			}
			if s.Dir = f.dir; !filepath.IsAbs(s.Dir) {
				s.Dir = filepath.Join(here, f.dir)
			}
		}
		env := map[string]string{}
		if f.inheritEnv {
			for _, kv := range a.deps.Environ() {
				if k, v, ok := strings.Cut(kv, "="); ok && k != "" {
					env[k] = v
				}
			}
		}
		for _, kv := range f.env {
			k, v, ok := strings.Cut(kv, "=")
			if !ok {
				if v, ok = a.deps.Getenv(k); !ok {
					return usage("--env: %s is not set here", k)
				}
			}
			if k == "" {
				return usage("--env: %q is not KEY or KEY=VALUE", kv)
			}
			env[k] = v
		}
		if len(env) > 0 {
			s.Env = env
		}
		return nil
	}
}

// sendBatches hands the tasks over; what was accepted before an error is returned beside it.
func (a *program) sendBatches(ctx context.Context, b Backend, specs []models.TaskSpec, source string, f submitFlags) ([]models.Task, error) {
	batches, err := split(specs)
	if err != nil {
		return nil, err
	}
	if len(batches) > 1 {
		a.note("%d tasks go in %d batches, each accepted whole or not at all", len(specs), len(batches))
	}
	meter := a.meter(f.progress, "handed over", len(specs))
	var accepted []models.Task
	for i, batch := range batches {
		key := f.key
		if key != "" && len(batches) > 1 {
			key = fmt.Sprintf("%s/%d", f.key, i+1)
		}
		tasks, err := b.Submit(ctx, batch, key)
		if err != nil {
			meter.end()
			if source != "" {
				var fe *models.FieldError
				if errors.As(err, &fe) {
					fe = &models.FieldError{Source: source, TaskID: fe.TaskID, Field: fe.Field, Problem: fe.Problem}
					err = fmt.Errorf("%w", fe)
				} else {
					err = fmt.Errorf("%s: %w", source, err)
				}
			}
			if len(batches) > 1 {
				err = fmt.Errorf("batch %d of %d was refused, the %s before it are accepted: %w", i+1, len(batches), plural(len(accepted), "task"), err)
			}
			return accepted, err
		}
		accepted = append(accepted, tasks...)
		meter.to(len(accepted))
	}
	meter.end()
	return accepted, nil
}

// split cuts the tasks into batches by count and size.
func split(specs []models.TaskSpec) ([][]models.TaskSpec, error) {
	var out [][]models.TaskSpec
	start, size := 0, 0
	for i := range specs {
		text, err := json.Marshal(&specs[i])
		if err != nil {
			return nil, fmt.Errorf("encode task %s: %w", specs[i].TaskID, err)
		}
		if i > start && (i-start == batchTasks || size+len(text) > batchBytes) {
			out = append(out, specs[start:i])
			start, size = i, 0
		}
		size += len(text) + 1
	}
	if start < len(specs) {
		out = append(out, specs[start:])
	}
	return out, nil
}
