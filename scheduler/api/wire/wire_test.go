package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

func TestAnErrorKeepsItsMeaningAndItsLineOverTheWire(t *testing.T) {
	sentinels := []error{models.ErrNotFound, models.ErrConflict, models.ErrInvalid, models.ErrUnavailable, models.ErrInvalidTransition}
	for _, c := range []struct {
		err error
		is  []error // what it must still be, in the order of sentinels, and nothing else
	}{
		{fmt.Errorf("task x: %w", models.ErrNotFound), []error{models.ErrNotFound}},
		{fmt.Errorf("task x: %w", models.ErrConflict), []error{models.ErrConflict}},
		{models.CheckTransition(models.Success, models.Pending), []error{models.ErrConflict, models.ErrInvalidTransition}},
		{fmt.Errorf("%w: disk full", models.ErrUnavailable), []error{models.ErrUnavailable}},
		{models.Invalid("min", "it is negative"), []error{models.ErrInvalid}},
		{models.ErrInvalid, []error{models.ErrInvalid}},
		{errors.New("two\nlines\x00"), nil},
	} {
		text, err := json.Marshal(wire.FromError(c.err, "body"))
		if err != nil {
			t.Fatal(err)
		}
		var p wire.Problem
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatal(err)
		}
		var is []error
		for _, s := range sentinels {
			if errors.Is(&p, s) {
				is = append(is, s)
			}
		}
		if d := cmp.Diff(c.is, is, cmpopts.EquateErrors()); d != "" {
			t.Errorf("%v: %s", c.err, d)
		}
		if p.Error() != wire.OneLine(c.err.Error()) || strings.ContainsAny(p.Error(), "\n\x00") {
			t.Errorf("%q became %q", c.err, p.Error())
		}
	}
}

func TestAFieldErrorComesBackWhole(t *testing.T) {
	want := &models.FieldError{Line: 3, TaskID: "x", Field: "resources.cpu", Problem: "-1 is not a number of cores"}
	p := wire.FromError(fmt.Errorf("submit: %w", want), "body")
	if p.Errors[0].Location != "body.resources.cpu" {
		t.Errorf("%+v", p.Errors)
	}
	var got *models.FieldError
	if !errors.As(p, &got) {
		t.Fatal("it is none any more")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAProblemIsNotWrappedTwice(t *testing.T) {
	p := wire.New(413, "too large")
	if got := wire.FromError(fmt.Errorf("read: %w", p), "body"); got != p {
		t.Errorf("%+v", got)
	}
}
