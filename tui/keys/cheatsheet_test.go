package keys

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/keys.md anew")

// cheatsheet is the bindings as docs/keys.md shows them.
func cheatsheet() string {
	var b strings.Builder
	b.WriteString("# Keys\n\nMade from the bindings by `go test ./tui/keys -update`. An asterisk changes something: it is asked about, and refused under\n`--read-only`.\n")
	last := Scope("")
	for _, k := range Default() {
		if k.Scope != last {
			fmt.Fprintf(&b, "\n## %s\n\n| key | does |\n| --- | --- |\n", k.Scope)
			last = k.Scope
		}
		star := ""
		if k.Writes {
			star = " *"
		}
		name := strings.NewReplacer("|", "\\|", "`", "\\`").Replace(k.Names())
		fmt.Fprintf(&b, "| %s | %s%s |\n", name, k.Help, star)
	}
	return b.String()
}

func TestTheCheatsheetInTheDocsIsThatOfTheBindings(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "keys.md")
	if *update {
		if err := os.WriteFile(path, []byte(cheatsheet()), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(cheatsheet(), string(got)); d != "" {
		t.Errorf("run go test ./tui/keys -update: %s", d)
	}
}
