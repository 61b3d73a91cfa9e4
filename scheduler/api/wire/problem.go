package wire

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"loadstar/models"
)

// The types of problem: what a program tells them apart by.
const (
	TypeInvalid      = "urn:loadstar:problem:invalid"            // 422
	TypeNotFound     = "urn:loadstar:problem:not-found"          // 404
	TypeConflict     = "urn:loadstar:problem:conflict"           // 409
	TypeTransition   = "urn:loadstar:problem:invalid-transition" // 409
	TypeUnavailable  = "urn:loadstar:problem:unavailable"        // 503
	TypeStarting     = "urn:loadstar:problem:starting"           // 503: the journal is being replayed; nothing was done
	TypeUnauthorized = "urn:loadstar:problem:unauthorized"       // 401
	TypeTooLarge     = "urn:loadstar:problem:too-large"          // 413
	TypeInternal     = "urn:loadstar:problem:internal"           // 500
)

// ContentType is the media type of a problem document.
const ContentType = "application/problem+json"

// Detail is one thing that is wrong with a request.
type Detail struct {
	Message  string `json:"message" doc:"What is wrong, without the field's name"`
	Location string `json:"location,omitempty" doc:"The field: body.priority, query.limit, path.id or header.Idempotency-Key"`
	Value    any    `json:"value,omitempty" doc:"What was sent there"`
	Line     int    `json:"line,omitempty" doc:"The line of the body on which the task document begins, from 1"`
	TaskID   string `json:"task_id,omitempty" doc:"The id of the task document that is wrong"`
}

// Problem is an RFC 9457 problem document. Detail is one line for a person.
type Problem struct { //nolint:errname // RFC 9457's word
	Type   string   `json:"type" doc:"What kind of problem, for a program" example:"urn:loadstar:problem:invalid"`
	Title  string   `json:"title" doc:"The status in words"`
	Status int      `json:"status" doc:"The HTTP status"`
	Detail string   `json:"detail" doc:"One line for a person" example:"priority: \"urgent\" is not critical, high, normal, low or an integer from 0 to 100"`
	Errors []Detail `json:"errors,omitempty" doc:"Each field that is wrong"`
}

// New is a problem with the status' own title and type.
func New(status int, detail string) *Problem {
	return &Problem{Type: typeOf(status), Title: title(status), Status: status, Detail: OneLine(detail)}
}

// Error is the detail: one line.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return strings.ToLower(p.Title)
}

// GetStatus is the HTTP status; huma asks for it.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are the headers that go with the problem; huma asks for them.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	switch p.Status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="loadstar"`)
	}
	return h
}

// ContentType makes huma label the document as a problem.
func (p *Problem) ContentType(string) string { return ContentType }

// FromError is the problem that tells err. part is where the request's fields
// stand: "body", "query" or "path". An error that wraps no error of package
// models is an internal one.
func FromError(err error, part string) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	p = New(status(err), err.Error())
	if errors.Is(err, models.ErrInvalidTransition) {
		p.Type = TypeTransition
	}
	var fe *models.FieldError
	if errors.As(err, &fe) {
		d := Detail{Message: OneLine(fe.Problem), Line: fe.Line, TaskID: fe.TaskID, Location: part}
		if fe.Field != "" {
			d.Location += "." + fe.Field
		}
		p.Errors = []Detail{d}
	}
	return p
}

func status(err error) int {
	switch {
	case errors.Is(err, models.ErrInvalid):
		return http.StatusUnprocessableEntity
	case errors.Is(err, models.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, models.ErrConflict), errors.Is(err, models.ErrInvalidTransition):
		return http.StatusConflict
	case errors.Is(err, models.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func typeOf(status int) string {
	switch status {
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		return TypeInvalid
	case http.StatusNotFound:
		return TypeNotFound
	case http.StatusConflict:
		return TypeConflict
	case http.StatusServiceUnavailable:
		return TypeUnavailable
	case http.StatusUnauthorized:
		return TypeUnauthorized
	case http.StatusRequestEntityTooLarge:
		return TypeTooLarge
	case http.StatusInternalServerError:
		return TypeInternal
	}
	return "about:blank"
}

func title(status int) string {
	if t := http.StatusText(status); t != "" {
		return t
	}
	return "Problem"
}

// Unwrap gives back the errors of package models that the problem told, so that
// errors.Is and errors.As hold on the client's side as they did on the server's.
func (p *Problem) Unwrap() []error {
	var out []error
	switch p.Type {
	case TypeTransition:
		out = append(out, models.ErrInvalidTransition, models.ErrConflict)
	case TypeInvalid:
		out = append(out, models.ErrInvalid)
		if fe := p.fieldError(); fe != nil {
			out = append(out, fe)
		}
	default:
		if e := sentinel(p.Status); e != nil {
			out = append(out, e)
		}
	}
	return out
}

func (p *Problem) fieldError() *models.FieldError {
	if len(p.Errors) == 0 {
		return nil
	}
	d := p.Errors[0]
	_, field, _ := strings.Cut(d.Location, ".")
	return &models.FieldError{Line: d.Line, TaskID: d.TaskID, Field: field, Problem: d.Message}
}

func sentinel(status int) error {
	switch status {
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return models.ErrInvalid
	case http.StatusNotFound:
		return models.ErrNotFound
	case http.StatusConflict:
		return models.ErrConflict
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return models.ErrUnavailable
	}
	return nil
}

// OneLine puts text on one line and takes control characters out of it.
func OneLine(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text)
	return strings.TrimSpace(clean)
}
