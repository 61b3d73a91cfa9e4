package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"loadstar/models"
)

func flagSet(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.String("config", "", "")
	fs.String("state-dir", "", "")
	fs.String("log-format", "", "")
	fs.Duration("drain", 0, "")
	fs.Float64("train-share", 0, "")
	fs.StringSlice("capabilities", nil, "")
	fs.Bool("watch", false, "")
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsBeatEnvironmentBeatsFileBeatsDefaults(t *testing.T) {
	path := writeFile(t, "state_dir: /from/file\ndrain: 1m\nlog_level: debug\ntrain_share: 0.5\nload_weights: {io: 1}\ncaps: {team=a: 3, \"user\": 2}\npools:\n  gpu:\n    kind: stdio\n    caps: {job: 1}\n    dispatch: weighted\n    command: [python3, w.py]\n    max: 4\n    slo: 5s\n")
	t.Setenv("LOADSTAR_DRAIN", "2m")
	t.Setenv("LOADSTAR_TRAIN_SHARE", "0.125")
	t.Setenv("LOADSTAR_TOKEN", "12345")
	t.Setenv("LOADSTAR_SOMETHING_ELSE", "x")
	cfg, err := Load(flagSet(t, "--config", path, "--drain", "3m", "--capabilities", "a,b", "--watch"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.StateDir != "/from/file" || cfg.Drain.Std() != 3*time.Minute || cfg.LogLevel != "debug" || cfg.TrainShare != 0.125 || cfg.Token != "12345" {
		t.Errorf("%+v", cfg)
	}
	if strings.Join(cfg.Capabilities, " ") != "a b" || cfg.LogFormat != "text" {
		t.Errorf("%+v", cfg)
	}
	if cfg.Caps["team=a"] != 3 || cfg.Caps["user"] != 2 || len(cfg.Caps) != 2 || cfg.Pools["gpu"].Caps["job"] != 1 {
		t.Errorf("%v, %v", cfg.Caps, cfg.Pools["gpu"].Caps)
	}
	if cfg.LoadWeights != (LoadWeights{CPU: 0.5, Memory: 0.3, IO: 1}) || cfg.AgentWeight != 100 {
		t.Errorf("%+v, %d", cfg.LoadWeights, cfg.AgentWeight)
	}
	if p := cfg.Pools["gpu"]; p.Name != "gpu" || p.Max != 4 || p.Dispatch != models.DispatchWeighted || p.SLO.Std() != 5*time.Second || p.Kind != models.KindStdio {
		t.Errorf("%+v", p)
	}
}

func TestAPoolsOwnConfigIsKeptAsItStands(t *testing.T) {
	path := writeFile(t, "pools:\n  gpu:\n    kind: stdio\n    command: [w]\n    max: 4\n    start_timeout: 90s\n    config:\n      Model: m.bin\n      layers: [1, 2.5]\n      deep: {a: null, b: true}\n")
	cfg, err := Load(flagSet(t, "--config", path))
	if err != nil {
		t.Fatal(err)
	}
	p := cfg.Pools["gpu"]
	if got, want := string(p.Config), `{"Model":"m.bin","deep":{"a":null,"b":true},"layers":[1,2.5]}`; got != want || p.StartTimeout.Std() != 90*time.Second {
		t.Errorf("%s, %s", got, p.StartTimeout)
	}
}

func TestBadConfigurationIsRefusedNamingWhereItStands(t *testing.T) {
	for name, c := range map[string]struct {
		file, env string
		args      []string
		want      string
	}{
		"unknown key":        {file: "a: 1\n", want: "config.yaml:1: a: unknown key"},
		"unknown pool key":   {file: "pools:\n  x:\n    maxx: 1\n", want: "config.yaml:3: pools.x.maxx: unknown key"},
		"wrong type":         {file: "log_level: info\ndrain: soon\n", want: "config.yaml:2: drain: \"soon\" is not a duration"},
		"not yaml":           {file: "a: [", want: "config.yaml: "},
		"bad pool":           {file: "pools:\n  x:\n    kind: stdio\n    max: 2\n", want: "pools.x.command: a stdio pool needs"},
		"config no mapping":  {file: "pools:\n  x:\n    kind: stdio\n    command: [w]\n    max: 2\n    config: 3\n", want: "pools.x.config: it is not a mapping"},
		"http without max":   {file: "pools:\n  x:\n    kind: http\n", want: "pools.x.max: 0 is not between"},
		"bad env":            {env: "LOADSTAR_TRAIN_SHARE=lots", want: "LOADSTAR_TRAIN_SHARE: \"lots\" does not fit"},
		"listen, no token":   {file: "listen: :1\n", want: "token: listening on :1 needs one"},
		"bad log format":     {args: []string{"--log-format", "xml"}, want: "log_format: \"xml\" is not text or json"},
		"no such file":       {args: []string{"--config", "/no/such/file"}, want: "/no/such/file: "},
		"share beyond one":   {args: []string{"--train-share", "2"}, want: "train_share: 2 is not between 0 and 1"},
		"bad dispatch":       {file: "pools:\n  x:\n    max: 1\n    dispatch: random\n", want: "pools.x.dispatch: \"random\" is not priority, fifo, load-aware, weighted or two-choices"},
		"bad rebalance":      {file: "rebalance: {spread: 2}\n", want: "rebalance.spread: 2 is not between 0 and 1"},
		"no archive":         {file: "archive: {max_bytes: 1KiB}\n", want: "archive.max_bytes: 1KiB is less than 4MiB"},
		"archive too young":  {file: "archive: {max_age: 1s}\n", want: "archive.max_age: 1s is less than 1m"},
		"nothing in memory":  {file: "archive: {keep_in_memory: 0}\n", want: "archive.keep_in_memory: 0 is not positive"},
		"no window":          {file: "rebalance: {window: 0}\n", want: "rebalance.window: 0 is less than 1"},
		"bad cap":            {file: "caps:\n  team=a: 0\n", want: "caps.team=a: 0 is not between 1 and 1000000"},
		"bad pool cap":       {file: "pools:\n  x:\n    max: 1\n    caps: {=a: 1}\n", want: "pools.x.caps: \"=a\" is not a label"},
		"bad weight":         {file: "agent_weight: 0\n", want: "agent_weight: 0 is not between 1 and 10000"},
		"bad load weights":   {file: "load_weights: {cpu: -1}\n", want: "load_weights: cpu -1, memory 0.3, io 0.2: none may be negative"},
		"unknown weight":     {file: "load_weights: {disk: 1}\n", want: "config.yaml:1: load_weights: unknown field \"disk\""},
		"keys in conflict":   {file: "drain: 5s\nkeys:\n  quit: Q\n  tasks/cancel: [r]\n", want: `config.yaml:4: keys.tasks/cancel: "r" is retry in tasks already`},
		"no such action":     {file: "keys:\n  fly: x\n", want: "config.yaml:2: keys.fly: there is no such action"},
		"keys no mapping":    {file: "keys: 3\n", want: "config.yaml:1: keys: it must map actions to keys"},
		"capabilities twice": {file: "capabilities: gpu\n", want: "config.yaml:1: capabilities: a string does not fit here"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			args := c.args
			if c.file != "" {
				args = append(args, "--config", writeFile(t, c.file))
			}
			if key, value, ok := strings.Cut(c.env, "="); ok {
				t.Setenv(key, value)
			}
			_, err := Load(flagSet(t, args...))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v\nwant …%s…", err, c.want)
			}
			if !errors.Is(err, models.ErrInvalid) {
				t.Errorf("%v does not wrap ErrInvalid", err)
			}
		})
	}
}

func TestRebalancingIsSwitchedOffByAnIntervalOfNought(t *testing.T) {
	cfg, err := Load(flagSet(t, "--config", writeFile(t, "rebalance: {every: 0s, spread: 0.3}\n")))
	if err != nil {
		t.Fatal(err)
	}
	b := cfg.Rebalance.Balance()
	if b.Every >= 0 || b.Spread != 0.3 || b.CPU != 0.6 || b.MaxMoves != 8 {
		t.Errorf("%+v", b)
	}
}

func TestDefaultsAreValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}
