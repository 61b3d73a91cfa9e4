package app_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportsPointOneWay holds the house's import directions over the packages
// themselves and everything that they reach.
func TestImportsPointOneWay(t *testing.T) {
	roots := []string{"cmd", "collector", "models", "predictor", "scheduler", "tui"}
	mayImport := map[string][]string{
		"models":    {"models"},
		"collector": {"collector", "models"},
		"predictor": {"predictor", "models"},
		"scheduler": {"scheduler", "models"},
		"tui":       {"tui", "models"},
		"cmd":       roots,
	}
	// Who alone may reach a library, by the prefix of its path.
	onlyIn := map[string][]string{
		"gorgonia.org/gorgonia":              {"loadstar/predictor/lstm"},
		"github.com/charmbracelet/bubbletea": {"loadstar/tui"},
		"github.com/shirou/gopsutil":         {"loadstar/collector/host"},
		"github.com/nats-io/nats-server":     {"loadstar/scheduler/journal", "loadstar/scheduler/agent/remote"}, // one keeps, one only listens
	}
	for _, p := range listPackages(t) {
		root := strings.Split(p.ImportPath, "/")[1]
		if !slices.Contains(roots, root) {
			t.Errorf("%s stands outside the six folders", p.ImportPath)
			continue
		}
		for _, dep := range p.Deps {
			if rest, own := strings.CutPrefix(dep, "loadstar/"); own && !slices.Contains(mayImport[root], strings.Split(rest, "/")[0]) {
				t.Errorf("%s reaches %s", p.ImportPath, dep)
			}
			if root == "models" && strings.Contains(strings.Split(dep, "/")[0], ".") {
				t.Errorf("%s reaches %s: models imports the standard library only", p.ImportPath, dep)
			}
		}
		for _, imported := range p.Imports {
			for library, homes := range onlyIn {
				at := func(home string) bool { return strings.HasPrefix(p.ImportPath, home) }
				if strings.HasPrefix(imported, library) && !slices.ContainsFunc(homes, at) {
					t.Errorf("%s imports %s, which belongs in %v", p.ImportPath, imported, homes)
				}
			}
		}
	}
}

type goPackage struct {
	ImportPath    string
	Imports, Deps []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps=false", "-json=ImportPath,Imports,Deps", "loadstar/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 6 {
		t.Fatalf("go list named %d packages only", len(packages))
	}
	return packages
}
