package api

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

// maxKey bounds an Idempotency-Key, in bytes.
const maxKey = 200

type taskID struct {
	ID string `path:"id" maxLength:"200" doc:"The task's id"`
}

func (a *API) addTasks() {
	a.addSubmit()
	register(a, huma.Operation{
		OperationID: "list-tasks", Method: http.MethodGet, Path: "/v1/tasks", Tags: []string{"tasks"},
		Summary: "List tasks, newest first, a page at a time",
	}, a.listTasks)
	register(a, huma.Operation{
		OperationID: "get-task", Method: http.MethodGet, Path: "/v1/tasks/{id}", Tags: []string{"tasks"},
		Summary: "One task, as submitted, and what became of it", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *taskID) (*answer[models.Task], error) {
		return reply(a.cfg.Tasks.Task(ctx, in.ID))
	})
	register(a, huma.Operation{
		OperationID: "explain-task", Method: http.MethodGet, Path: "/v1/tasks/{id}/explain", Tags: []string{"tasks"},
		Summary: "Why a task is where it is", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *taskID) (*answer[models.Explanation], error) {
		return reply(a.cfg.Tasks.Explain(ctx, in.ID))
	})
}

type submitInput struct {
	Request
	Key    string `header:"Idempotency-Key" maxLength:"200" doc:"Makes it safe to send the same body again: it is accepted once"`
	Prefer string `header:"Prefer" maxLength:"200" doc:"return=minimal answers with the ids alone"`
}

// idSubmitter is a Tasks that can accept tasks without telling more of them than
// their ids; *scheduler.Service is one.
type idSubmitter interface {
	SubmitIDs(ctx context.Context, specs []models.TaskSpec, idempotencyKey string) ([]string, error)
}

// submitIDs accepts tasks for those who want the ids alone.
func (a *API) submitIDs(ctx context.Context, specs []models.TaskSpec, key string) (*submitted, error) {
	if s, ok := a.cfg.Tasks.(idSubmitter); ok {
		ids, err := s.SubmitIDs(ctx, specs, key)
		if err != nil {
			return nil, err
		}
		return &submitted{Applied: wire.Minimal, Body: wire.Accepted{TaskIDs: ids}}, nil
	}
	tasks, err := a.cfg.Tasks.Submit(ctx, specs, key)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(tasks))
	for i := range tasks {
		ids[i] = tasks[i].TaskID
	}
	return &submitted{Applied: wire.Minimal, Body: wire.Accepted{TaskIDs: ids}}, nil
}

// submitted is one task where one was sent by itself, else an array.
type submitted struct {
	Location string `header:"Location"`
	Applied  string `header:"Preference-Applied"`
	Body     any
}

func (a *API) addSubmit() {
	const path = "/v1/tasks"
	task, one := a.schema(reflect.TypeFor[models.Task]()), a.specSchema()
	many := func(s *huma.Schema) *huma.Schema { return &huma.Schema{Type: huma.TypeArray, Items: s} }
	register(a, huma.Operation{
		OperationID: "submit-tasks", Method: http.MethodPost, Path: path, Tags: []string{"tasks"}, DefaultStatus: http.StatusCreated,
		Summary:     "Submit tasks: all are accepted, durably, or none",
		Description: "The body is one task, an array of tasks, or tasks one after another (NDJSON). One task by itself is answered with that task, several with an array in the same order. The same id with the same body is accepted once. With Prefer: return=minimal (RFC 7240) the answer is an object with the task_ids in the same order, which costs a fraction.",
		Errors:      []int{http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusRequestTimeout},
		Responses: answers("201", "The tasks as accepted", map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{task, many(task), a.schema(reflect.TypeFor[wire.Accepted]())}}},
		}),
	}, a.submit)
	a.body(path, http.MethodPost, true, map[string]*huma.MediaType{
		"application/json":     {Schema: &huma.Schema{OneOf: []*huma.Schema{one, many(one)}}},
		"application/x-ndjson": {Schema: one},
	})
}

// specSchema is the task document's schema, in which every field may be left out.
func (a *API) specSchema() *huma.Schema {
	ref := a.schema(reflect.TypeFor[models.TaskSpec]())
	if s := a.huma.OpenAPI().Components.Schemas.SchemaFromRef(ref.Ref); s != nil {
		s.Required = nil
		s.Properties["on_dependency_failure"].Enum = []any{models.DependencyCancel, models.DependencyRun, models.DependencyWait}
	}
	return ref
}

func (a *API) submit(ctx context.Context, in *submitInput) (*submitted, error) {
	if strings.ContainsFunc(in.Key, func(r rune) bool { return r < ' ' || r > '~' }) || len(in.Key) > maxKey {
		p := wire.FromError(models.Invalid("Idempotency-Key", "it is not 1 to %d printable ASCII characters", maxKey), "header")
		return nil, p
	}
	data, err := in.read(a.cfg.MaxBody)
	if err != nil {
		return nil, err
	}
	specs, err := models.DecodeTasks(data, "")
	if err != nil {
		return nil, err
	}
	if strings.Contains(in.Prefer, wire.Minimal) {
		return a.submitIDs(ctx, specs, in.Key)
	}
	tasks, err := a.cfg.Tasks.Submit(ctx, specs, in.Key)
	if err != nil {
		return nil, err
	}
	if len(tasks) == 1 && !ndjson(in.http) && !startsArray(data) {
		return &submitted{Location: "/v1/tasks/" + url.PathEscape(tasks[0].TaskID), Body: tasks[0]}, nil
	}
	if tasks == nil {
		tasks = []models.Task{}
	}
	return &submitted{Body: tasks}, nil
}

func startsArray(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n\ufeff")
	return len(data) > 0 && data[0] == '['
}

func ndjson(r *http.Request) bool {
	kind := strings.ToLower(r.Header.Get("Content-Type"))
	return strings.Contains(kind, "ndjson") || strings.Contains(kind, "jsonl") || strings.Contains(kind, "json-seq")
}

type listInput struct {
	State  []string `query:"state,explode" doc:"Only tasks in this state; repeat it or separate several by commas"`
	Pool   string   `query:"pool" doc:"Only tasks of this pool"`
	Label  []string `query:"label,explode" doc:"Only tasks with this label, as key=value; repeat it for several"`
	Parent string   `query:"parent" maxLength:"200" doc:"Only shards of this task"`
	Text   string   `query:"text" maxLength:"1000" doc:"Only tasks with this in their id, description or command"`
	Limit  int      `query:"limit" minimum:"0" maximum:"10000" doc:"At most so many a page; 0 is the daemon's own number"`
	Cursor string   `query:"cursor" maxLength:"1000" doc:"Where the last page ended: its next"`
	Oldest bool     `query:"oldest" doc:"Oldest first"`
}

func (in *listInput) filter() (models.TaskFilter, error) {
	f := models.TaskFilter{Pool: in.Pool, Text: in.Text, Parent: in.Parent, Limit: in.Limit, Cursor: in.Cursor, Oldest: in.Oldest}
	for _, text := range in.State {
		for name := range strings.SplitSeq(text, ",") {
			if name = strings.TrimSpace(name); name != "" {
				f.States = append(f.States, models.State(name))
			}
		}
	}
	for _, text := range in.Label {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return f, models.Invalid("label", "%q is not key=value", text)
		}
		if f.Labels == nil {
			f.Labels = map[string]string{}
		}
		if old, twice := f.Labels[key]; twice && old != value {
			return f, models.Invalid("label", "%q is asked to be both %q and %q", key, old, value)
		}
		f.Labels[key] = value
	}
	return f, checkFilter(&f)
}

func (a *API) listTasks(ctx context.Context, in *listInput) (*answer[models.TaskPage], error) {
	f, err := in.filter()
	if err != nil {
		return nil, err
	}
	page, err := a.cfg.Tasks.Tasks(ctx, f)
	if page.Tasks == nil {
		page.Tasks = []models.Task{}
	}
	return reply(page, err)
}
