package cli

import (
	"runtime"

	"github.com/spf13/cobra"
)

// versionInfo is what `loadstar version -o json` gives.
type versionInfo struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (a *program) versionCmd() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "version",
		Short: "The program's version",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := o.check(); err != nil {
				return err
			}
			i := versionInfo{Version: a.deps.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
			return a.print(view{
				json:  i,
				head:  []string{"version", "go", "os", "arch"},
				rows:  [][]string{{i.Version, i.Go, i.OS, i.Arch}},
				table: func(p *page) { p.line("loadstar %s (%s, %s/%s)", i.Version, i.Go, i.OS, i.Arch) },
			}, o, true)
		},
	}
	o.flags(cmd, false)
	return cmd
}
