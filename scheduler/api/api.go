package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

// API serves one daemon.
type API struct {
	cfg     Config
	huma    huma.API
	mux     *http.ServeMux
	handler http.Handler
	count   *requestCounter
}

// New builds the handler; it starts nothing.
func New(cfg Config) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	a := &API{cfg: cfg.withDefaults(), mux: http.NewServeMux()}
	a.huma = onlyJSON{humago.New(a.mux, a.humaConfig())}
	for _, add := range []func(){
		a.addTasks, a.addBulk, a.addWaits, a.addLogs, a.addPools, a.addPoolLogs, a.addStatus,
		a.addSeries, a.addForecasts, a.addTrain, a.addEvents, a.addHealth,
	} {
		add()
	}
	if err := a.addMetrics(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if err := a.addOpenAPI(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	a.handler = a.wrap(http.HandlerFunc(a.route))
	return a, nil
}

// Handler is everything that the API serves.
func (a *API) Handler() http.Handler { return a.handler }

func (a *API) humaConfig() huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	aliasTypes(schemas)
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Loadstar",
				Version:     a.cfg.Version,
				Description: "A durable task queue that sizes its workers ahead of the load. Over the unix socket no token is asked for.",
				License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas:         schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "Over TCP; the unix socket needs none."}},
			},
			Security: []map[string][]string{{}, {"token": {}}},
		},
		Formats:       map[string]huma.Format{"application/json": jsonFormat(), "json": jsonFormat()},
		DefaultFormat: "application/json",
		// What huma finds wrong with a parameter is told in our own words' shape.
		Transformers: []huma.Transformer{func(_ huma.Context, _ string, v any) (any, error) {
			if m, ok := v.(*huma.ErrorModel); ok {
				return fromHuma(m), nil
			}
			return v, nil
		}},
	}
}

// onlyJSON has huma answer in JSON whatever the client accepts: there is nothing
// else to choose, and huma's choosing panics on some headers that are not ASCII.
type onlyJSON struct{ huma.API }

func (onlyJSON) Negotiate(string) (string, error) { return "application/json", nil }

// jsonFormat writes a value whole or not at all: what cannot be encoded becomes
// a 500 problem in its place.
func jsonFormat() huma.Format {
	return huma.Format{
		Marshal: func(w io.Writer, v any) error {
			data, err := marshal(v)
			if err != nil {
				p := wire.New(http.StatusInternalServerError, "the answer cannot be encoded: "+err.Error())
				if rw, ok := w.(*writer); ok && !rw.sent {
					rw.status = p.Status
					rw.Header().Set("Content-Type", wire.ContentType)
				}
				if data, err = marshal(p); err != nil {
					return err
				}
			}
			_, _ = w.Write(data) // the client has gone; nobody is left to tell
			return nil
		},
		Unmarshal: json.Unmarshal,
	}
}

// marshal is JSON with a newline at the end, so that a terminal shows it well.
func marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(data, '\n'), err
}

// fromHuma is huma's own report of bad parameters as a problem with one clear line.
func fromHuma(m *huma.ErrorModel) *wire.Problem {
	p := wire.New(m.Status, m.Detail)
	for _, e := range m.Errors {
		if e == nil {
			continue
		}
		p.Errors = append(p.Errors, wire.Detail{Message: wire.OneLine(e.Message), Location: wire.OneLine(e.Location), Value: e.Value})
	}
	if len(p.Errors) > 0 {
		first := p.Errors[0]
		_, field, _ := strings.Cut(first.Location, ".")
		p.Detail = strings.TrimPrefix(field+": "+first.Message, ": ")
	}
	return p
}

// register adds an operation whose errors become problems.
func register[I, O any](a *API, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	part := "body"
	if op.Method == http.MethodGet {
		part = "query"
	}
	op.RejectUnknownQueryParameters = true // a filter that is misspelt must not select everything
	op.Errors = append(op.Errors, http.StatusUnprocessableEntity, http.StatusServiceUnavailable)
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, op.OperationID, part, err)
		}
		return out, nil
	})
}

// problem is the error as a problem; one that nobody expected is logged too,
// because the client cannot do anything about it.
func (a *API) problem(ctx context.Context, operation, part string, err error) *wire.Problem {
	p := wire.FromError(err, part)
	if p.Status == http.StatusInternalServerError {
		a.cfg.Logger.ErrorContext(ctx, "a request failed", "operation", operation, "error", err)
	}
	return p
}

// body is a request's JSON body of the model's shape, for the OpenAPI document.
// It is set after huma.Register, because the bodies are read by us: huma would
// check them against the schema and tell what is wrong in other words.
func (a *API) body(path, method string, required bool, content map[string]*huma.MediaType) {
	item := a.huma.OpenAPI().Paths[path]
	op := item.Post
	if method == http.MethodPatch {
		op = item.Patch
	}
	op.RequestBody = &huma.RequestBody{Required: required, Content: content}
}

// answer is a JSON answer.
type answer[T any] struct{ Body T }

func reply[T any](v T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{Body: v}, nil
}

// list is reply for lists, where nothing is [] rather than null.
func list[T any](v []T, err error) (*answer[[]T], error) {
	if v == nil {
		v = []T{}
	}
	return reply(v, err)
}

func (a *API) addHealth() {
	type status struct {
		Status string `json:"status" example:"ok"`
	}
	register(a, huma.Operation{
		OperationID: "healthz", Method: http.MethodGet, Path: "/healthz", Tags: []string{"health"},
		Summary: "Whether the process answers",
	}, func(context.Context, *struct{}) (*answer[status], error) {
		return reply(status{"ok"}, nil)
	})
	register(a, huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{"health"},
		Summary: "Whether the journal has been replayed, and work is accepted",
	}, func(context.Context, *struct{}) (*answer[status], error) {
		if !a.cfg.Ready() {
			return nil, starting()
		}
		return reply(status{"ready"}, nil)
	})
	register(a, huma.Operation{
		OperationID: "info", Method: http.MethodGet, Path: "/v1/info", Tags: []string{"status"},
		Summary: "Which daemon this is; answers before it is ready, too",
	}, func(context.Context, *struct{}) (*answer[models.DaemonInfo], error) {
		return reply(a.cfg.Info(), nil)
	})
}

func starting() *wire.Problem {
	p := wire.New(http.StatusServiceUnavailable, "the daemon is starting: it is still reading its journal")
	p.Type = wire.TypeStarting
	return p
}

// addOpenAPI renders the document once, when all the operations are known.
func (a *API) addOpenAPI() error {
	text, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return fmt.Errorf("write the OpenAPI document: %w", err)
	}
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(text) // the client has gone; nobody is left to tell
	})
	return nil
}
