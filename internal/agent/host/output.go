package host

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"overland/internal/fsx"
	"overland/internal/runtime"
)

// agentLog is where agents write on a machine whose service manager keeps no log of its own.
func agentLog(dir string) string { return filepath.Join(dir, "log", "agent.log") }

// output passes on what an agent writes, and remembers its last words: they say why it ended.
type output struct {
	to     *os.File
	log    string // path of the log that to is, which is rotated here; "" = another's
	rotate runtime.Rotation
	ended  chan struct{}

	mu   sync.Mutex
	last []byte // the last line with anything in it, and what came after it
}

// logRotation is that of the agent's log.
func logRotation() runtime.Rotation { return runtime.Rotation{Size: 1 << 20, Keep: 1} }

// newOutput returns the file that the agent of the node in dir is to write to. The caller closes it
// once the agent has it; what arrives is copied to the file to until nobody has it any more.
func newOutput(dir string, to *os.File) (*output, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	o := &output{to: to, rotate: logRotation(), ended: make(chan struct{})}
	own, err := to.Stat()
	if log, lerr := os.Stat(agentLog(dir)); err == nil && lerr == nil && os.SameFile(own, log) {
		o.log = agentLog(dir)
	}
	go func() {
		defer close(o.ended)
		defer r.Close()
		b := make([]byte, 32<<10)
		for {
			n, err := r.Read(b)
			if err != nil {
				return
			}
			o.pass(b[:n])
		}
	}()
	return o, w, nil
}

// pass copies b. An agent must not be held up by a disk that takes nothing any more.
func (o *output) pass(b []byte) {
	_, _ = o.to.Write(b)
	if o.log != "" {
		_, _ = runtime.Rotate(o.log, o.rotate)
	}
	const longest = 4 << 10
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = append(o.last, b...)
	kept := bytes.TrimRight(o.last, "\n")
	if i := bytes.LastIndexByte(kept, '\n'); i >= 0 {
		o.last = bytes.Clone(o.last[i+1:])
	}
	o.last = o.last[max(0, len(o.last)-longest):]
}

// words returns the last line that the agent wrote before it ended.
func (o *output) words() string {
	const patience = time.Second // something else may have the file
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-o.ended:
	case <-late.C:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(string(o.last))
}

// noteFailure notes why the agent did not start, for those who wait for it; "" = it has started. Where the
// disk takes nothing the log says it alone.
func (s Slots) noteFailure(why string) {
	path := s.path("failure")
	if why == "" {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			_ = s.FS.Remove(path)
		}
		return
	}
	_ = s.FS.WriteFile(path, []byte(why+"\n"), 0o644)
}

// NotedFailure returns what the supervisor noted of an agent that does not start, "" = nothing.
func (s Slots) NotedFailure() string {
	const longest = 8 << 10
	b, err := fsx.ReadFile(s.path("failure"), longest)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Failure returns why the node's agent does not start, as far as it is known: what its supervisor
// noted, else the last line of the agent's log. "" = nothing is known.
func (s Slots) Failure() string {
	if noted := s.NotedFailure(); noted != "" {
		return noted
	}
	lines, err := runtime.Tail(agentLog(s.Dir), 1)
	if err != nil || len(lines) == 0 {
		return ""
	}
	return "its log ends with: " + lines[0]
}
