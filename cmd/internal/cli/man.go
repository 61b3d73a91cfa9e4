package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *program) manCmd() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "The manual page of the program or of a command; with --dir all, as files",
		Args:  args(cobra.ArbitraryArgs),
		RunE: func(_ *cobra.Command, words []string) error {
			header := func() *doc.GenManHeader {
				return &doc.GenManHeader{Section: "1", Source: "loadstar " + a.deps.Version, Manual: "Loadstar"}
			}
			a.rootCmd.DisableAutoGenTag = true
			if dir != "" {
				if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // manual pages are for everybody
					return fmt.Errorf("--dir: %w", err)
				}
				if err := doc.GenManTree(a.rootCmd, header(), dir); err != nil {
					return fmt.Errorf("--dir: %w", err)
				}
				return nil
			}
			about, rest, err := a.rootCmd.Find(words)
			if err != nil || len(rest) > 0 {
				return usage("%q is not a command", words)
			}
			return doc.GenMan(about, header(), a.out)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write all pages into this `FOLDER`")
	return cmd
}
