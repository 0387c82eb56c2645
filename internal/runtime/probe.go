package runtime

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"time"

	"overland/internal/appfile"
)

// probe tries one check, again and again.
type probe struct {
	title  string
	within time.Duration
	short  bool // one try may take only a part of within
	try    func(context.Context) error
}

// finalError is an error that no further try can mend.
type finalError struct{ error }

// newProbes makes the probes of a self-test of inst: of its ports, then of the checks of its spec.
func newProbes(rt Runtime, inst Instance, logStart int64) (list []*probe) {
	for _, port := range inst.Spec.Ports {
		list = append(list, &probe{title: "port " + port.String(), within: within(inst, appfile.Check{}), try: portProbe(rt, inst, port)})
	}
	for _, c := range inst.Spec.SelfTest {
		list = append(list, newProbe(rt, inst, c, logStart))
	}
	return list
}

// newProbe makes the probe of c. A check that cannot be read is one that fails, at once.
func newProbe(rt Runtime, inst Instance, c appfile.Check, logStart int64) *probe {
	p := &probe{title: c.Title(), within: within(inst, c)}
	contains, err := inst.expand(c.Contains)
	if err != nil {
		p.try = func(context.Context) error { return finalError{err} }
		return p
	}
	switch {
	case c.HTTP != "":
		p.short = true
		p.try = httpProbe(rt, inst, c, contains)
	case c.TCP != "":
		p.short = true
		p.try = tcpProbe(rt, inst, c)
	case len(c.Exec) > 0:
		p.try = execProbe(rt, inst, c, contains)
	case c.Log != "":
		p.try = logProbe(inst, c, contains, logStart)
	default:
		p.try = func(context.Context) error { return finalError{errors.New("the check is empty")} }
	}
	return p
}

// passes tries until one try passes (nil) or the probe's time after start is
// over; a try that hangs is given up.
func (p *probe) passes(ctx context.Context, start time.Time, s Subject) error {
	all := ctx
	ctx, cancel := context.WithDeadline(all, start.Add(p.within))
	defer cancel()
	var last error
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := p.once(ctx)
		if err == nil {
			return nil
		}
		if final := (finalError{}); errors.As(err, &final) {
			return final.error
		}
		if ctx.Err() == nil || last == nil { // else the try was cut off: the one before says more
			last = err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if ctx.Err() == nil {
			continue
		}
		if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
			return cause
		}
		st, _ := s.Watch()
		waited := p.within
		if all.Err() != nil { // the caller's time was shorter
			waited = time.Since(start).Round(100 * time.Millisecond)
		}
		return fmt.Errorf("%w for %s%s", last, waited, history(st))
	}
}

// once runs one try, which ends at ctx's deadline or, when it is a short one, before.
func (p *probe) once(ctx context.Context) error {
	if p.short {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(10*time.Second, p.within/3))
		defer cancel()
	}
	return p.try(ctx)
}

func tcpProbe(rt Runtime, inst Instance, c appfile.Check) func(context.Context) error {
	addr, err := inst.expand(c.TCP)
	return func(ctx context.Context) error {
		if err != nil {
			return finalError{err}
		}
		conn, err := dialer()(ctx, "tcp", addr)
		if err != nil {
			return words(err)
		}
		return errors.Join(answers(rt, inst, conn), conn.Close())
	}
}

// logLine is the longest line that a log check looks at, in bytes.
const logLine = 64 << 10

// logProbe looks at what was logged since logStart, each line once.
func logProbe(inst Instance, c appfile.Check, contains string, logStart int64) func(context.Context) error {
	re, err := regexp.Compile(c.Log)
	r := newLogReader(inst.Log, logStart)
	buf := make([]byte, 16<<10)
	var lines lineBuffer
	return func(ctx context.Context) error {
		if err != nil {
			return finalError{err}
		}
		for ctx.Err() == nil {
			n, err := r.read(buf)
			if err != nil {
				return fmt.Errorf("read log: %w", err)
			}
			if n == 0 {
				break
			}
			for line := range lines.add(buf[:n]) {
				if re.Match(line) && strings.Contains(string(line), contains) {
					return nil
				}
			}
		}
		return errors.New("no such line")
	}
}

// words says in plain words why a connection failed.
func words(err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused")
	case errors.Is(err, syscall.ECONNRESET):
		return errors.New("connection reset")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer")
	}
	return err
}
