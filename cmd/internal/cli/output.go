package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
)

// view is what a reading command has to say, in each of its forms.
type view struct {
	json  any
	table func(p *page)
	head  []string                // of the CSV
	rows  [][]string              // of the CSV
	csv   func(w io.Writer) error // the CSV with its head, in the place of the two
}

// output are the flags of a reading command.
type output struct {
	format string
	watch  time.Duration // 0 is once
}

var formats = []string{"table", "json", "csv"} //nolint:gochecknoglobals // a constant list

func (o *output) flags(cmd *cobra.Command, watch bool) {
	cmd.Flags().StringVarP(&o.format, "output", "o", "table", "`FORMAT`: table, json or csv")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	if watch {
		cmd.Flags().DurationVar(&o.watch, "watch", 0, "again every `INTERVAL` (2s where none is given), JSON as one line each")
		cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	}
}

func (o *output) check() error {
	if !slices.Contains(formats, o.format) {
		return usage("--output: %q is not table, json or csv", o.format)
	}
	if o.watch != 0 && o.watch < 100*time.Millisecond {
		return usage("--watch: %s is less than 100ms", o.watch)
	}
	return nil
}

// show prints what get returns, once or until the context ends.
func (a *program) show(cmd *cobra.Command, o output, get func(ctx context.Context, b Backend) (view, error)) error {
	if err := o.check(); err != nil {
		return err
	}
	return a.ask(cmd, func(ctx context.Context, b Backend) error {
		for first := true; ; first = false {
			v, err := get(ctx, b)
			if err != nil {
				if !first && ctx.Err() != nil {
					return nil //nolint:nilerr // a watch that is ended has not failed
				}
				return err
			}
			if err := a.print(v, o, first); err != nil || o.watch == 0 {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(o.watch):
			}
		}
	})
}

func (a *program) print(v view, o output, first bool) error {
	switch o.format {
	case "json":
		return writeJSON(a.out, v.json, o.watch == 0)
	case "csv":
		return a.printCSV(v, first)
	}
	p := a.page()
	if o.watch > 0 {
		if p.width > 0 {
			p.text.WriteString("\x1b[H\x1b[2J") // home, and clear
		} else if !first {
			p.line("")
		}
	}
	v.table(p)
	_, err := io.WriteString(a.out, p.text.String())
	return err
}

// printCSV writes the head once, however often a watch prints.
func (a *program) printCSV(v view, first bool) error {
	if v.csv == nil {
		return writeCSV(a.out, v.head, v.rows, first)
	}
	if first {
		return v.csv(a.out)
	}
	var text bytes.Buffer
	if err := v.csv(&text); err != nil {
		return err
	}
	if _, err := text.ReadBytes('\n'); err != nil {
		return nil //nolint:nilerr // nothing but the head
	}
	_, err := text.WriteTo(a.out)
	return err
}

func writeJSON(w io.Writer, v any, indent bool) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if indent {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}

func writeCSV(w io.Writer, head []string, rows [][]string, withHead bool) error {
	c := csv.NewWriter(w)
	if withHead {
		if err := c.Write(head); err != nil {
			return err
		}
	}
	return c.WriteAll(rows)
}

// page is a text for a person under way.
type page struct {
	text  strings.Builder
	width int // of the terminal, 0 where there is none: nothing is cut
	color bool
	now   time.Time
}

func (a *program) page() *page {
	p := &page{now: a.deps.Now(), color: a.color(a.out)}
	p.width, _ = terminal(a.out)
	if f, ok := a.out.(*os.File); !ok || f == nil {
		p.width = 0
	}
	return p
}

func (p *page) line(format string, args ...any) {
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	p.text.WriteString(strings.TrimRight(text, " "))
	p.text.WriteByte('\n')
}

// pair writes a name and what stands under it; nothing where that is empty.
func (p *page) pair(name, value string) {
	if value != "" {
		p.line("%-14s%s", name, clean(value))
	}
}

// column is a column of a table.
type column struct {
	name  string
	right bool
	// spare says in which order columns are left out on a narrow terminal, the
	// highest first; 0 is never.
	spare int
	// flex is cut to what is left of the line; at most one column has it.
	flex bool
	// color is the colour of a cell by its text, "" for none.
	color func(cell string) string
}

const gapWidth = 2

// table writes aligned columns, as many as the terminal has room for. Only a flex
// column's cells are ever cut.
func (p *page) table(columns []column, rows [][]string) {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = runewidth.StringWidth(c.name)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = clean(row[i])
			widths[i] = max(widths[i], runewidth.StringWidth(row[i]))
		}
	}
	shown := p.fit(columns, widths)
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = c.name
	}
	for n, row := range append([][]string{head}, rows...) {
		var b strings.Builder
		for k, i := range shown {
			last := k == len(shown)-1
			b.WriteString(p.cell(columns[i], row[i], widths[i], last, n == 0))
			if !last {
				b.WriteString(strings.Repeat(" ", gapWidth))
			}
		}
		p.line("%s", b.String())
	}
}

// fit says which columns there is room for, and narrows the flex one.
func (p *page) fit(columns []column, widths []int) []int {
	shown := make([]int, len(columns))
	for i := range shown {
		shown[i] = i
	}
	const flexMin = 12
	for p.width > 0 {
		total, flex := gapWidth*(len(shown)-1), -1
		for _, i := range shown {
			if columns[i].flex {
				flex = i
				continue
			}
			total += widths[i]
		}
		room := p.width - total
		if flex < 0 && room >= 0 || flex >= 0 && room >= min(flexMin, widths[flex]) {
			if flex >= 0 {
				widths[flex] = min(widths[flex], room)
			}
			return shown
		}
		worst := -1
		for k, i := range shown {
			if columns[i].spare > 0 && (worst < 0 || columns[i].spare >= columns[shown[worst]].spare) {
				worst = k
			}
		}
		if worst < 0 {
			if flex >= 0 {
				widths[flex] = min(widths[flex], flexMin)
			}
			return shown
		}
		shown = slices.Delete(shown, worst, worst+1)
	}
	return shown
}

func (p *page) cell(c column, text string, width int, last, head bool) string {
	if c.flex {
		text = runewidth.Truncate(text, width, "…")
	}
	pad := strings.Repeat(" ", max(0, width-runewidth.StringWidth(text)))
	if p.color && !head && c.color != nil {
		if code := c.color(text); code != "" {
			text = "\x1b[" + code + "m" + text + "\x1b[0m"
		}
	}
	switch {
	case c.right:
		return pad + text
	case last:
		return text
	}
	return text + pad
}

// clean puts text on one line, without control characters that a terminal obeys.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text)
}
