package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"overland/internal/operator"
)

// progress shows events: bars on a terminal, plain lines elsewhere, nothing when quiet. It is safe for concurrent use.
type progress struct {
	mu     sync.Mutex
	w      io.Writer
	screen bool
	quiet  bool
	drawn  bool // the cursor stands behind a bar
	last   time.Time
	tasks  map[string]task
}

type task struct {
	begun time.Time
	note  string
}

// redraw is the shortest time between two states of one bar.
const redraw = 100 * time.Millisecond

func newProgress(w io.Writer, quiet bool) *progress {
	return &progress{w: w, screen: terminal(w), quiet: quiet, tasks: make(map[string]task)}
}

func (p *progress) event(e operator.Event) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t, known := p.tasks[e.Task]
	if !known {
		t.begun = time.Now()
	}
	news := !known || e.Note != t.note
	t.note = e.Note
	p.tasks[e.Task] = t
	switch {
	case e.End:
		p.clear()
		delete(p.tasks, e.Task)
		fmt.Fprintf(p.w, "%s: %s (%s)\n", e.Task, ended(e), time.Since(t.begun).Round(10*time.Millisecond))
	case p.screen && (news || time.Since(p.last) >= redraw):
		p.last = time.Now()
		p.clear()
		fmt.Fprint(p.w, line(e))
		p.drawn = true
	case !p.screen && news && e.Note != "":
		fmt.Fprintf(p.w, "%s: %s\n", e.Task, e.Note)
	}
}

func ended(e operator.Event) string {
	switch {
	case e.Note != "":
		return e.Note
	case e.Total > 0:
		return size(e.Total)
	}
	return "done"
}

// line returns the bar of e, without a line end.
func line(e operator.Event) string {
	const width = 24
	if e.Total <= 0 {
		return e.Task + ": " + e.Note + " …"
	}
	full := int(min(e.Done, e.Total) * width / e.Total)
	return fmt.Sprintf("[%s%s] %3d %% %s %s of %s", strings.Repeat("#", full), strings.Repeat("-", width-full),
		e.Done*100/e.Total, e.Task, size(e.Done), size(e.Total))
}

// clear takes the bar off the screen.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// end takes the last bar off the screen.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}
