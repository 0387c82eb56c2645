package publisher

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/runtime"
)

// Machine is a runtime.Runtime whose services live in memory and outlive agents. What a program
// does is what it says: "up …" runs, "done …" ends at once, "crash …" too, with exit code 1, "refuse …"
// does not start. It writes one line to its log.
type Machine struct {
	mu    sync.Mutex
	next  int
	procs map[string]*process
	calls []string
}

type process struct {
	m      *Machine
	inst   runtime.Instance
	what   string // the program
	digest digest.Digest
	pid    int
	since  time.Time
	start  int64
	done   chan struct{}
	once   sync.Once
	exit   runtime.Exit
	adopt  bool
}

// DataPath returns where i keeps its data.
func (m *Machine) DataPath(i runtime.Instance, name string) string { return i.Data[name] }

// Start starts i.
func (m *Machine) Start(_ context.Context, i runtime.Instance) (runtime.Process, error) {
	b, err := os.ReadFile(i.Program)
	if err != nil {
		return nil, errs.E(errs.NotFound, err)
	}
	verb, _, _ := strings.Cut(string(b), " ")
	start := int64(0)
	if info, err := os.Stat(i.Log); err == nil {
		start = info.Size()
	}
	log, err := os.OpenFile(i.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if _, err := fmt.Fprintf(log, "this is %s\n", b); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, "start "+i.Name)
	if old := m.procs[i.Name]; old != nil {
		old.end(runtime.Exit{Known: true, Signal: 15, At: time.Now()})
	}
	m.next++
	p := &process{m: m, inst: i, what: string(b), digest: i.Digest(), pid: 1000 + m.next, since: time.Now(), start: start, done: make(chan struct{})}
	switch verb {
	case "up":
		if m.procs == nil {
			m.procs = map[string]*process{}
		}
		m.procs[i.Name] = p
	case "done":
		p.end(runtime.Exit{Known: true, At: time.Now()})
	case "crash":
		p.end(runtime.Exit{Known: true, Code: 1, At: time.Now()})
	default:
		return nil, errs.Errorf(errs.Invalid, "start %s: %q is no program", i.Name, verb)
	}
	return p, nil
}

// Adopt returns the running copy of i.
func (m *Machine) Adopt(_ context.Context, i runtime.Instance) (runtime.Process, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.procs[i.Name]
	if p == nil || p.digest != i.Digest() {
		return nil, false
	}
	p.adopt = true
	return p, true
}

// Running returns the services that run, as "app.service: program".
func (m *Machine) Running() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []string{}
	for name, p := range m.procs {
		list = append(list, name+": "+p.what)
	}
	slices.Sort(list)
	return list
}

// Calls returns the starts and stops since the last Calls, in order.
func (m *Machine) Calls() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.calls
	m.calls = nil
	return list
}

// End ends the service name, which ends by itself with code.
func (m *Machine) End(name string, code int) {
	m.mu.Lock()
	p := m.procs[name]
	delete(m.procs, name)
	m.mu.Unlock()
	if p != nil {
		p.end(runtime.Exit{Known: true, Code: code, At: time.Now()})
	}
}

// Boot ends every service, as a machine that lost its power.
func (m *Machine) Boot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, p := range m.procs {
		delete(m.procs, name)
		p.end(runtime.Exit{At: time.Now()})
	}
	m.calls = nil
}

func (p *process) end(e runtime.Exit) {
	p.once.Do(func() {
		p.exit = e
		close(p.done)
	})
}

func (p *process) PID() int { return p.pid }

func (p *process) Info() runtime.Info {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return runtime.Info{Since: p.since, LogStart: p.start, Adopted: p.adopt}
}

func (p *process) Done() <-chan struct{} { return p.done }

func (p *process) Exit() runtime.Exit { return p.exit }

func (p *process) Stop(context.Context, time.Duration) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.calls = append(p.m.calls, "stop "+p.inst.Name)
	if p.m.procs[p.inst.Name] == p {
		delete(p.m.procs, p.inst.Name)
	}
	p.end(runtime.Exit{Known: true, Signal: 15, At: time.Now()})
	return nil
}

func (p *process) Release() {}
