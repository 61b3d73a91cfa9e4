package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"loadstar/cmd/internal/config"
)

func (a *program) configCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "The configuration in force",
		Args:  args(cobra.NoArgs),
		RunE:  func(*cobra.Command, []string) error { return usage("which of show, path?") },
	}
	var o output
	show := &cobra.Command{
		Use:   "show",
		Short: "Every key as flags, environment, file and defaults make it; secrets are hidden",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			cfg, err := a.config(cmd)
			if err != nil {
				return err
			}
			v, err := configView(cfg.Redacted())
			if err != nil {
				return err
			}
			return a.print(v, o, true)
		},
	}
	o.flags(show, false)
	path := &cobra.Command{
		Use:   "path",
		Short: "Where the config file is looked for",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file := config.DefaultPath()
			if f := cmd.Flags().Lookup("config"); f != nil && f.Changed {
				file = f.Value.String()
			} else if env, ok := a.deps.Getenv("LOADSTAR_CONFIG"); ok && env != "" {
				file = env
			}
			_, err := fmt.Fprintln(a.out, file)
			return err
		},
	}
	cmd.AddCommand(show, path)
	return cmd
}

func configView(cfg config.Config) (view, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return view{}, fmt.Errorf("config: %w", err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		return view{}, fmt.Errorf("config: %w", err)
	}
	v := view{json: cfg, head: []string{"key", "value"}}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		value := string(keys[k])
		var plain string
		if json.Unmarshal(keys[k], &plain) == nil {
			value = plain
		}
		v.rows = append(v.rows, []string{k, value})
	}
	v.table = func(p *page) {
		rows := make([][]string, len(v.rows))
		for i, r := range v.rows {
			rows[i] = []string{r[0], orDash(r[1])}
		}
		p.table([]column{{name: "KEY"}, {name: "VALUE"}}, rows)
	}
	return v, nil
}
