package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/adrg/xdg"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"loadstar/models"
	"loadstar/tui/keys"
)

const envPrefix = "LOADSTAR_"

// delimiter joins nested keys; a character that no key or pool name may hold.
const delimiter = "\x1f"

// DefaultPath is the config file that is read where none is named.
func DefaultPath() string { return filepath.Join(xdg.ConfigHome, "loadstar", "config.yaml") }

// Load merges defaults, the config file, the environment and the flags that were
// given. A flag --config (or LOADSTAR_CONFIG) names the file, which must then
// exist; flags that Config has no field for are the commands' own. The error is
// one line that names the file, the variable or the flag.
func Load(flags *pflag.FlagSet) (Config, error) {
	k := koanf.New(delimiter)
	path, named := configPath(flags)
	if err := loadFile(k, path, named); err != nil {
		return Config{}, err
	}
	fields := fieldKinds()
	if err := loadEnv(k, fields); err != nil {
		return Config{}, err
	}
	if err := loadFlags(k, flags, fields); err != nil {
		return Config{}, err
	}
	cfg := Default()
	if err := decode(k.Raw(), &cfg); err != nil {
		return Config{}, err
	}
	if dir, err := filepath.Abs(cfg.StateDir); err == nil {
		cfg.StateDir = dir
	}
	return cfg, cfg.Validate()
}

func configPath(flags *pflag.FlagSet) (path string, named bool) {
	if f := flags.Lookup("config"); f != nil && f.Changed {
		return f.Value.String(), true
	}
	if path := os.Getenv(envPrefix + "CONFIG"); path != "" {
		return path, true
	}
	return DefaultPath(), false
}

func loadFile(k *koanf.Koanf, path string, named bool) error {
	fileOnly := koanf.New(delimiter)
	err := fileOnly.Load(file.Provider(path), yaml.Parser())
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return &models.FieldError{Source: path, Problem: strings.ReplaceAll(err.Error(), "\n", " ")}
	}
	scratch := Default()
	if err := decode(fileOnly.Raw(), &scratch); err != nil { // alone, so that the error can name the file
		var fe *models.FieldError
		if errors.As(err, &fe) {
			fe.Source, fe.Line = path, lineOf(path, fe.Field)
		}
		return err
	}
	return k.Merge(fileOnly)
}

// lineOf finds the line of a key in a YAML file, 0 where it is not plain to see.
func lineOf(path, field string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	parts := strings.Split(field, ".")
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(strings.TrimLeft(line, " -"), parts[0]+":") {
			if parts = parts[1:]; len(parts) == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// fieldKinds maps each key to its field's kind.
func fieldKinds() map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		fields[t.Field(i).Tag.Get("json")] = t.Field(i).Type
	}
	return fields
}

// nested reports whether a field has keys of its own, which the file alone can set.
func nested(t reflect.Type) bool { return t.Kind() == reflect.Map || t.Kind() == reflect.Struct }

func loadEnv(k *koanf.Koanf, fields map[string]reflect.Type) error {
	var bad error
	provider := env.Provider(delimiter, env.Opt{
		Prefix: envPrefix,
		TransformFunc: func(name, value string) (string, any) {
			key := strings.ToLower(strings.TrimPrefix(name, envPrefix))
			t, known := fields[key]
			if !known || nested(t) {
				return "", nil // another program's, or one of the tests'
			}
			v, err := scalar(t, value)
			if err != nil {
				bad = models.Invalid(name, "%v", err)
			}
			return key, v
		},
	})
	if err := k.Load(provider, nil); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	return bad
}

func loadFlags(k *koanf.Koanf, flags *pflag.FlagSet, fields map[string]reflect.Type) error {
	given := map[string]any{}
	var bad error
	flags.Visit(func(f *pflag.Flag) {
		key := strings.ReplaceAll(f.Name, "-", "_")
		t, known := fields[key]
		if !known || nested(t) {
			return
		}
		text := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			text = strings.Join(list.GetSlice(), ",")
		}
		v, err := scalar(t, text)
		if err != nil && bad == nil {
			bad = models.Invalid("--"+f.Name, "%v", err)
		}
		given[key] = v
	})
	if bad != nil {
		return bad
	}
	return k.Load(confmap.Provider(given, delimiter), nil)
}

// scalar reads one value of the environment or of a flag as its field asks.
func scalar(t reflect.Type, text string) (any, error) {
	into := reflect.New(t)
	if t.Kind() == reflect.Slice {
		list := []string{}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		return list, nil
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	if t.Kind() == reflect.Float64 {
		quoted = []byte(text)
	}
	if err := json.Unmarshal(quoted, into.Interface()); err != nil {
		return nil, fmt.Errorf("%q does not fit: %s", text, strings.TrimPrefix(err.Error(), "json: "))
	}
	return text2json(into.Elem().Interface(), text), nil
}

// text2json keeps what JSON would read back as the same value.
func text2json(v any, text string) any {
	if f, ok := v.(float64); ok {
		return f
	}
	return text
}

// decode puts a tree of keys into the configuration; an unknown key or a value
// that does not fit is a *models.FieldError that names it.
func decode(tree map[string]any, into *Config) error {
	value := reflect.ValueOf(into).Elem()
	fields := map[string]int{}
	for i := range value.NumField() {
		fields[value.Type().Field(i).Tag.Get("json")] = i
	}
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		i, known := fields[key]
		switch {
		case !known:
			return models.Invalid(key, "unknown key")
		case key == "pools":
			if err := decodePools(tree[key], into.Pools); err != nil {
				return err
			}
		case key == "keys":
			if err := decodeKeys(tree[key], into); err != nil {
				return err
			}
		default:
			if err := decodeValue(tree[key], value.Field(i).Addr().Interface()); err != nil {
				return models.Invalid(key, "%v", err)
			}
		}
	}
	return nil
}

// decodeKeys reads keys of the screen: one, or a list of them.
func decodeKeys(tree any, into *Config) error {
	given, ok := tree.(map[string]any)
	if !ok {
		return models.Invalid("keys", "it must map actions to keys")
	}
	into.Keys = map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		list, ok := given[name].([]any)
		if !ok {
			list = []any{given[name]}
		}
		for _, k := range list {
			text, ok := k.(string)
			if !ok {
				text = fmt.Sprint(k) // a digit
			}
			into.Keys[name] = append(into.Keys[name], text)
		}
	}
	_, err := keys.Rebind(keys.Default(), into.Keys)
	var bad *keys.RebindError
	if errors.As(err, &bad) {
		return models.Invalid("keys."+bad.Name, "%s", bad.Problem)
	}
	return err
}

func decodePools(tree any, pools map[string]models.PoolSpec) error {
	byName, ok := tree.(map[string]any)
	if !ok {
		return models.Invalid("pools", "it must map names to pools")
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		members, ok := byName[name].(map[string]any)
		if !ok {
			return models.Invalid("pools."+name, "it must be a mapping")
		}
		if _, named := members["name"]; named {
			return models.Invalid("pools."+name+".name", "a pool's name is its key")
		}
		spec := models.PoolSpec{}
		value := reflect.ValueOf(&spec).Elem()
		for _, key := range slices.Sorted(maps.Keys(members)) {
			i := fieldByTag(value.Type(), key)
			if i < 0 {
				return models.Invalid("pools."+name+"."+key, "unknown key")
			}
			if err := decodeValue(members[key], value.Field(i).Addr().Interface()); err != nil {
				return models.Invalid("pools."+name+"."+key, "%v", err)
			}
		}
		spec.Name = name
		pools[name] = spec
	}
	return nil
}

func fieldByTag(t reflect.Type, key string) int {
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name == key {
			return i
		}
	}
	return -1
}

func decodeValue(v, into any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) {
			return fmt.Errorf("a %s does not fit here", mismatch.Value)
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func parseLevel(text string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, models.Invalid("log_level", "%q is not debug, info, warn or error", text)
	}
	return level, nil
}

// Level is LogLevel as slog has it.
func (c Config) Level() slog.Level {
	level, err := parseLevel(c.LogLevel)
	if err != nil {
		return slog.LevelInfo // Validate has refused it
	}
	return level
}
