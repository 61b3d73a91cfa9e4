package models_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"loadstar/models"
)

func TestTransitionsAreThoseOfTheTable(t *testing.T) {
	allowed := map[[2]models.State]bool{
		{models.Pending, models.Assigned}:   true,
		{models.Pending, models.Cancelled}:  true,
		{models.Pending, models.Failed}:     true,
		{models.Assigned, models.Running}:   true,
		{models.Assigned, models.Pending}:   true,
		{models.Assigned, models.Cancelled}: true,
		{models.Running, models.Success}:    true,
		{models.Running, models.Failed}:     true,
		{models.Running, models.Pending}:    true,
		{models.Running, models.Cancelled}:  true,
		{models.Failed, models.Pending}:     true,
		{models.Cancelled, models.Pending}:  true,
	}
	for _, from := range models.States() {
		for _, to := range models.States() {
			err := models.CheckTransition(from, to)
			if got := err == nil; got != allowed[[2]models.State{from, to}] {
				t.Errorf("%s to %s: allowed %v", from, to, got)
			}
			if err != nil && !errors.Is(err, models.ErrInvalidTransition) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
}

func TestUnitsAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]models.Bytes{"512MiB": 512 << 20, "2GB": 2e9, "1048576": 1 << 20, "1.5 KiB": 1536, "3G": 3 << 30} {
		if got, err := models.ParseBytes(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "NaN", "1e300TiB", "12 apples"} {
		if got, err := models.ParseBytes(text); err == nil {
			t.Errorf("%q was read as %d bytes", text, got)
		}
	}
	for text, want := range map[string]time.Duration{"10m": 10 * time.Minute, "1.5": 1500 * time.Millisecond, "0": 0} {
		if got, err := models.ParseDuration(text); err != nil || got.Std() != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "soon", "-1s", "-3", "NaN", "1e300"} {
		if got, err := models.ParseDuration(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
	for text, want := range map[string]models.Priority{"critical": 90, "HIGH": 70, "normal": 50, "low": 30, "0": 0, "100": 100} {
		if got, err := models.ParsePriority(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}

func TestAnUnknownAmountOfMemoryIsReadBack(t *testing.T) {
	want := models.DecisionInput{FreeMemory: -1}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got models.DecisionInput
	if err := json.Unmarshal(text, &got); err != nil || got.FreeMemory != want.FreeMemory {
		t.Errorf("%s: %d, %v", text, got.FreeMemory, err)
	}
}

func TestPoolsAreCheckedNamingTheField(t *testing.T) {
	good := models.PoolSpec{Name: "p", Kind: models.KindStdio, Command: []string{"w"}, Max: 3}.WithDefaults()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*models.PoolSpec){
		"name":                  func(p *models.PoolSpec) { p.Name = "a b" },
		"pools.p.kind":          func(p *models.PoolSpec) { p.Kind = "ssh" },
		"pools.p.command":       func(p *models.PoolSpec) { p.Command = nil },
		"pools.p.min":           func(p *models.PoolSpec) { p.Min = 4 },
		"pools.p.max":           func(p *models.PoolSpec) { p.Max = 0 },
		"pools.p.policy":        func(p *models.PoolSpec) { p.Policy = "guess" },
		"pools.p.slo":           func(p *models.PoolSpec) { p.SLO = -1 },
		"pools.p.violations":    func(p *models.PoolSpec) { p.Violations = 1 },
		"pools.p.config":        func(p *models.PoolSpec) { p.Config = []byte(`[1]`) },
		"pools.p.start_timeout": func(p *models.PoolSpec) { p.StartTimeout = -1 },
		"pools.p.config, start_timeout": func(p *models.PoolSpec) {
			p.Kind, p.Command, p.StartTimeout = models.KindExec, nil, 1
		},
		"pools.p.url": func(p *models.PoolSpec) { p.URL = "https://host/" },
	} {
		bad := good
		spoil(&bad)
		var fe *models.FieldError
		if err := bad.Validate(); !errors.As(err, &fe) || fe.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestAFilterFindsARequestByItsAddress(t *testing.T) {
	task := models.Task{TaskSpec: models.TaskSpec{TaskID: "a", HTTP: &models.HTTPRequest{URL: "https://Example.org/hook"}}}
	for text, want := range map[string]bool{"example.org": true, "HOOK": true, "other": false} {
		if got := (models.TaskFilter{Text: text}).Matches(&task); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestPoolSeriesNamesComeApartAgain(t *testing.T) {
	pool, what, ok := models.ParsePoolSeries(models.PoolSeries("gpu-1", models.PoolLoad))
	if !ok || pool != "gpu-1" || what != models.PoolLoad {
		t.Errorf("%q %q %v", pool, what, ok)
	}
	for _, name := range []string{"host.cpu", "pool.", "pool.x", "pool.x.", "pool..load"} {
		if _, _, ok := models.ParsePoolSeries(name); ok {
			t.Errorf("%q was taken for a pool's series", name)
		}
	}
}

func TestAnHTTPPoolIsCheckedNamingTheField(t *testing.T) {
	good := models.PoolSpec{Name: "p", Kind: models.KindHTTP, Max: 3}.WithDefaults()
	for _, address := range []string{"", "http://localhost:8080/run", "https://me:pw@host/"} {
		if good.URL = address; good.Validate() != nil {
			t.Errorf("%q: %v", address, good.Validate())
		}
	}
	for _, address := range []string{"host/path", "ftp://host/", "http://", "http://:80/", "/path", "http://h h/", "unix:/x"} {
		var fe *models.FieldError
		if good.URL = address; !errors.As(good.Validate(), &fe) || fe.Field != "pools.p.url" {
			t.Errorf("%q: %v", address, good.Validate())
		}
	}
	good.URL, good.Command = "", []string{"x"}
	var fe *models.FieldError
	if !errors.As(good.Validate(), &fe) || fe.Field != "pools.p.command" {
		t.Error(good.Validate())
	}
}

func TestATaskMustBeOfItsPoolsKind(t *testing.T) {
	request := func(url string) *models.HTTPRequest { return &models.HTTPRequest{URL: url} }
	pool := func(kind models.PoolKind, url string) models.PoolSpec {
		return models.PoolSpec{Name: "p", Kind: kind, URL: url}
	}
	for name, c := range map[string]struct {
		pool  models.PoolSpec
		task  models.TaskSpec
		field string // empty: it is taken
	}{
		"exec":                       {pool(models.KindExec, ""), models.TaskSpec{Run: []string{"x"}}, ""},
		"exec, no command":           {pool(models.KindExec, ""), models.TaskSpec{HTTP: request("http://h/")}, "run"},
		"stdio":                      {pool(models.KindStdio, ""), models.TaskSpec{Description: "x"}, ""},
		"stdio, command":             {pool(models.KindStdio, ""), models.TaskSpec{Run: []string{"x"}}, "run"},
		"stdio, request":             {pool(models.KindStdio, ""), models.TaskSpec{HTTP: request("http://h/")}, "http"},
		"stdio, nothing":             {pool(models.KindStdio, ""), models.TaskSpec{}, "input"},
		"http":                       {pool(models.KindHTTP, ""), models.TaskSpec{HTTP: request("http://h/")}, ""},
		"http, input":                {pool(models.KindHTTP, "http://h/"), models.TaskSpec{Input: []byte("1")}, ""},
		"http, a request to its url": {pool(models.KindHTTP, "http://h/"), models.TaskSpec{HTTP: request("")}, ""},
		"http, command":              {pool(models.KindHTTP, "http://h/"), models.TaskSpec{Run: []string{"x"}}, "run"},
		"http, input, no url":        {pool(models.KindHTTP, ""), models.TaskSpec{Input: []byte("1")}, "http"},
		"http, request, no url":      {pool(models.KindHTTP, ""), models.TaskSpec{HTTP: request("")}, "http.url"},
		"http, nothing":              {pool(models.KindHTTP, "http://h/"), models.TaskSpec{}, "input"},
		"http, env":                  {pool(models.KindHTTP, "http://h/"), models.TaskSpec{Input: []byte("1"), Env: map[string]string{"A": "b"}}, "env, dir, stdin"},
	} {
		c.task.TaskID = "t"
		err := c.pool.CheckTask(&c.task)
		var fe *models.FieldError
		if c.field == "" && err != nil || c.field != "" && (!errors.As(err, &fe) || fe.Field != c.field || fe.TaskID != "t") {
			t.Errorf("%s: %v, want %q", name, err, c.field)
		}
	}
}
