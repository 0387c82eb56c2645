package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"overland/internal/printer"
)

const (
	redraw   = 100 * time.Millisecond // least time between two states of a bar
	respeak  = 10 * time.Second       // least time between two plain lines about one part of a task
	barWidth = 24
)

// Options are the settings of a Bar; the zero value writes plain lines.
type Options struct {
	Screen bool             // the writer is a terminal: one line is redrawn
	Quiet  bool             // nothing is shown
	Now    func() time.Time // default time.Now
}

// Bar shows events: one moving line on a terminal, elsewhere a line for each new part of a task and
// one every 10 s while bytes arrive. Each task ends with a line of its own. It is safe for
// concurrent use; write errors are ignored.
type Bar struct {
	w io.Writer
	o Options

	mu    sync.Mutex
	tasks map[string]*task // by name
	said  string           // the last line about a task that is neither counted nor has a note
	drawn bool             // the cursor stands behind a bar
	last  time.Time        // when it was drawn
}

type task struct {
	begun time.Time
	told  time.Time // of the last plain line
	note  string
	over  bool
}

// NewBar returns a Bar that writes to w. The caller closes it.
func NewBar(w io.Writer, o Options) *Bar {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Bar{w: w, o: o, tasks: map[string]*task{}}
}

// Show shows e. An event that ends a task which is over already is not shown again.
func (b *Bar) Show(e Event) {
	if b.o.Quiet {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now, name := b.o.Now(), e.Name()
	t := b.tasks[name]
	news := t == nil || (t.over && !e.Over()) || t.note != e.Note
	if t == nil || (t.over && !e.Over()) {
		t = &task{begun: now}
		b.tasks[name] = t
	}
	t.note = e.Note
	counted := e.Total > 0
	switch {
	case e.Over():
		if !t.over {
			t.over = true
			b.line("%s: %s (%s)", name, ending(e), Duration(now.Sub(t.begun)))
		}
	case !counted && e.Note == "":
		if name != b.said {
			b.line("%s", name)
		}
		b.said = name
	case b.o.Screen:
		if news || now.Sub(b.last) >= redraw {
			b.last = now
			b.clear()
			fmt.Fprint(b.w, printer.Line(moving(e)))
			b.drawn = true
		}
	case news || (counted && now.Sub(t.told) >= respeak):
		t.told = now
		b.line("%s: %s", name, state(e))
	}
}

// Aside calls do, which writes lines of its own, while no bar is shown.
func (b *Bar) Aside(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	do()
}

// Close takes a bar that is still shown off the screen.
func (b *Bar) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

func (b *Bar) line(format string, args ...any) {
	b.clear()
	printer.Fprintf(b.w, format+"\n", args...)
}

func (b *Bar) clear() {
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.drawn = false
	}
}

// ending says how the task of e ended: "cached", "20 MiB".
func ending(e Event) string {
	switch {
	case e.Note != "":
		return e.Note
	case e.Total > 0:
		return Bytes(e.Total)
	}
	return "done"
}

// moving returns the line that is redrawn, without a line end.
func moving(e Event) string {
	if e.Total <= 0 {
		return e.Name() + ": " + e.Note + " …"
	}
	full := int(e.Done * barWidth / e.Total)
	return fmt.Sprintf("[%s%s] %s: %s", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), e.Name(), state(e))
}

// state says how far e is: "40 % of 14.2 MiB, 300 KiB/s".
func state(e Event) string {
	if e.Total <= 0 {
		return e.Note
	}
	text := fmt.Sprintf("%d %% of %s", 100*e.Done/e.Total, Bytes(e.Total))
	if e.Rate > 0 {
		text += ", " + Rate(e.Rate)
	}
	if e.Note != "" {
		text = e.Note + ", " + text
	}
	return text
}
