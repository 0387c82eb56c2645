package nodecli

import (
	"fmt"
	"io"
	"overland/internal/nodeapi"
	"strings"
	"sync"
	"time"
)

const (
	redraw    = 100 * time.Millisecond // between two states of a bar
	respeak   = 10 * time.Second       // between two plain lines about one thing
	smallBlob = 64 << 10               // bytes; less is not worth a line
	barWidth  = 24
)

// progress returns a printer of an installation's steps: a bar that moves on a terminal; elsewhere a line for each new
// step, and one now and then while bytes arrive. It is safe for concurrent use.
func (e env) progress() func(nodeapi.Progress) {
	m := &meter{w: e.err, screen: e.terminal, now: time.Now, told: map[string]time.Time{}, over: map[string]bool{}}
	return m.show
}

type meter struct {
	w      io.Writer
	screen bool
	now    func() time.Time

	mu    sync.Mutex
	last  string               // the step that was shown last
	drawn bool                 // the cursor stands behind a bar
	told  map[string]time.Time // when each step was shown last
	over  map[string]bool      // steps whose last byte was told
}

func (m *meter) show(p nodeapi.Progress) {
	if p.Step == "fetch" && (p.What == "" || p.Total < smallBlob) {
		return // manifests and lists
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	what := strings.TrimSpace(doing(p.Step) + " " + p.What)
	if p.Total <= 0 {
		if what != m.last {
			m.last = what
			m.line(what)
		}
		return
	}
	if m.over[what] {
		return
	}
	m.last = what
	switch at := m.now(); {
	case p.Done >= p.Total:
		m.over[what] = true
		m.line(fmt.Sprintf("%s: %s, done", what, bytesText(p.Total)))
	case m.screen && at.Sub(m.told[what]) >= redraw:
		m.told[what] = at
		full := int(p.Done * barWidth / p.Total)
		m.clear()
		fmt.Fprintf(m.w, "[%s%s] %s", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), amount(what, p))
		m.drawn = true
	case !m.screen && at.Sub(m.told[what]) >= respeak:
		m.told[what] = at
		m.line(amount(what, p))
	}
}

// amount says how far p is: "fetching wallet@r4.5b2c node: 40 % of 14 MiB, 300 KiB/s".
func amount(what string, p nodeapi.Progress) string {
	text := fmt.Sprintf("%s: %d %% of %s", what, 100*p.Done/p.Total, bytesText(p.Total))
	if p.Rate > 0 {
		text += ", " + bytesText(p.Rate) + "/s"
	}
	return text
}

func doing(step string) string {
	switch step {
	case "verify":
		return "verifying"
	case "fetch":
		return "fetching"
	case "stage":
		return "staging"
	case "start":
		return "starting"
	case "selftest":
		return "self-testing"
	case "back":
		return "going back:"
	}
	return step
}

func (m *meter) line(text string) {
	m.clear()
	fmt.Fprintln(m.w, text)
}

func (m *meter) clear() {
	if m.drawn {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.drawn = false
	}
}
