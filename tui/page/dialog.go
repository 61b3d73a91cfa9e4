package page

import (
	"strings"

	"github.com/charmbracelet/bubbles/textinput"

	"loadstar/tui/keys"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// Dialog asks before something is done. It is a value, as pages are.
type Dialog struct {
	Title  string
	Lines  []string // what will be done, and to whom
	Fields []Field  // to fill in; none for a plain question
	Option string   // something to switch on, e.g. "with all that depend on them"
	On     bool     // whether it is
	Yes    string   // the button: a verb
	Alarm  bool     // it cannot be undone
	Fault  string   // what is wrong with the fields
	focus  int      // field, or button: len(Fields) is no, len(Fields)+1 is yes
	// Then is what follows a yes, or why that is not possible; it must be pure.
	Then func(d Dialog) ([]Request, error)
}

// Field is one line of text in a dialog.
type Field struct {
	Label string
	Hint  string
	Input textinput.Model
}

// NewInput is a line of text that starts with value.
func NewInput(value string) textinput.Model {
	in := textinput.New()
	in.Prompt = ""
	in.CharLimit = 500
	in.SetValue(value)
	in.CursorEnd()
	in.Focus()
	return in
}

// Value is the text of field i.
func (d Dialog) Value(i int) string { return strings.TrimSpace(d.Fields[i].Input.Value()) }

// Open is the dialog as it first stands: on the first field, or on no.
func (d Dialog) Open() Dialog { d.focus = 0; return d }

// Update is the dialog after a key; done where it is closed.
func (d Dialog) Update(k Key) (next Dialog, done bool, reqs []Request) {
	inField := d.focus < len(d.Fields)
	name := k.String()
	switch {
	case name == "esc" || name == "ctrl+c":
		return d, true, nil
	case name == "enter":
		if d.focus == len(d.Fields) {
			return d, true, nil
		}
		return d.accept()
	case name == "tab" || name == "down" || !inField && name == "right":
		d.focus = (d.focus + 1) % (len(d.Fields) + 2)
		return d, false, nil
	case name == "shift+tab" || name == "up" || !inField && name == "left":
		d.focus = (d.focus + len(d.Fields) + 1) % (len(d.Fields) + 2)
		return d, false, nil
	}
	if inField {
		fields := append([]Field(nil), d.Fields...)
		fields[d.focus].Input, _ = fields[d.focus].Input.Update(k.KeyMsg)
		d.Fields, d.Fault = fields, ""
		return d, false, nil
	}
	switch k.Action {
	case keys.Yes:
		return d.accept()
	case keys.No:
		return d, true, nil
	case keys.Toggle:
		if d.Option != "" {
			d.On = !d.On
		}
	}
	return d, false, nil
}

func (d Dialog) accept() (Dialog, bool, []Request) {
	reqs, err := d.Then(d)
	if err != nil {
		d.Fault = err.Error()
		return d, false, nil
	}
	return d, true, reqs
}

// Click is the dialog after a press on one of its buttons.
func (d Dialog) Click(z widget.Zone) (next Dialog, done bool, reqs []Request) {
	switch z.Kind {
	case "yes":
		return d.accept()
	case "no":
		return d, true, nil
	case "option":
		d.On = !d.On
	case "field":
		d.focus = z.Index
	}
	return d, false, nil
}

// View draws the dialog in the middle of the screen.
func (d Dialog) View(c *widget.Canvas) {
	w := min(c.W(), 68)
	var lines []string
	for _, l := range d.Lines {
		if l == "" {
			lines = append(lines, "")
		}
		lines = append(lines, widget.Wrap(l, w-4)...)
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	var fault []string
	if d.Fault != "" {
		fault = widget.Wrap(d.Fault, w-4)
	}
	h := len(lines) + len(d.Fields) + len(fault) + 4
	if len(d.Fields) > 0 {
		h++
	}
	if d.Option != "" {
		h++
	}
	in := widget.Box(c, w, h, d.Title, d.Alarm)
	y := 0
	for _, l := range lines {
		if y >= in.H()-2-len(d.Fields) { // the buttons stay, whatever the names
			break
		}
		in.TextFit(0, y, in.W(), style(theme.Text), l)
		y++
	}
	if len(d.Fields) > 0 {
		y++
	}
	for i, f := range d.Fields {
		x := in.TextFit(0, y, 12, style(theme.Muted), f.Label)
		x = max(x+1, 10)
		DrawInput(in, x, y, max(8, in.W()-x-widget.Width(f.Hint)-2), f.Input, d.focus == i)
		in.TextRight(0, y, in.W(), style(theme.Muted), f.Hint)
		in.Zone(widget.Rect{X: 0, Y: y, W: in.W(), H: 1}, "field", i)
		y++
	}
	if d.Option != "" {
		box := "[ ] "
		if d.On {
			box = "[x] "
		}
		in.TextFit(0, y, in.W(), style(theme.Text), box+d.Option+" (d)")
		in.Zone(widget.Rect{X: 0, Y: y, W: in.W(), H: 1}, "option", 0)
		y++
	}
	for _, l := range fault {
		in.TextFit(0, y, in.W(), style(theme.Bad), l)
		y++
	}
	d.buttons(in, min(y+1, in.H()-1))
}

func (d Dialog) buttons(in *widget.Canvas, y int) {
	x := 0
	for i, b := range []struct{ kind, text string }{{"no", "No"}, {"yes", d.Yes}} {
		label := "  " + b.text + "  "
		if d.focus == len(d.Fields)+i {
			label = "[ " + b.text + " ]"
		}
		st := style(theme.Text)
		if d.focus == len(d.Fields)+i {
			st = theme.Style{FG: theme.OnSelect, BG: theme.SelectBG, Attr: theme.Bold}
		}
		end := in.Text(x, y, st, label)
		in.Zone(widget.Rect{X: x, Y: y, W: end - x, H: 1}, b.kind, 0)
		x = end + 2
	}
	hint := "y yes  n no"
	if len(d.Fields) > 0 {
		hint = "Enter apply  Esc leave"
	}
	if x+widget.Width(hint) <= in.W() {
		in.TextRight(0, y, in.W(), style(theme.Muted), hint)
	}
}

// DrawInput draws a line of text within w cells with its cursor.
func DrawInput(c *widget.Canvas, x, y, w int, in textinput.Model, focused bool) {
	value := []rune(in.Value())
	pos := min(max(0, in.Position()), len(value))
	before, after := widget.Clean(string(value[:pos])), widget.Clean(string(value[pos:]))
	if over := widget.Width(before) - (w - 1); over > 0 {
		before = widget.Skip(before, over)
	}
	st := theme.Style{FG: theme.Text, Attr: theme.Underline}
	c = c.Sub(widget.Rect{X: x, Y: y, W: w, H: 1})
	c.Fill(widget.Rect{X: 0, Y: 0, W: w, H: 1}, st)
	at := c.Text(0, 0, st, before)
	end := c.Text(at, 0, st, after)
	if focused {
		if end == at {
			c.Text(at, 0, theme.Style{Attr: theme.Reverse}, " ")
		} else {
			head := widget.Fit(after, 1, "")
			if head == "" {
				head = widget.Fit(after, 2, "")
			}
			c.Text(at, 0, theme.Style{Attr: theme.Reverse}, head)
		}
	}
}
