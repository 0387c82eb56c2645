package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"overland/internal/errs"
	"overland/internal/nodeapi"
)

const (
	requestTime = 10 * time.Second // for a request to arrive, or a response to be taken
	connections = 32               // requests answered at once
	pathMax     = 100              // bytes of a path that a socket address surely holds
)

// server answers on the control socket. Only the owner of the node's directory can connect.
type server struct {
	a    *Agent
	list *net.UnixListener
	free chan struct{}
	wait sync.WaitGroup
}

// listen opens the control socket. A socket that a dead agent left is replaced: the caller holds the node's lock.
func (a *Agent) listen() (*server, error) {
	path := socketPath(a.dir)
	if err := a.o.FS.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := a.o.FS.Remove(path); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	address, done, err := socketAddress(path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer done()
	list, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	list.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), list.Close())
	}
	return &server{a: a, list: list, free: make(chan struct{}, connections)}, nil
}

// socketAddress returns a name for path that fits into a socket address, and what to call when it is not needed any
// more: a long path is reached through its open directory.
func socketAddress(path string) (string, func(), error) {
	if len(path) <= pathMax {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

// serve answers until ctx ends, and returns when every answer is given.
func (s *server) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.list.Close() })
	defer stop()
	defer s.wait.Wait()
	for {
		conn, err := s.list.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("control socket: %w", err)
		}
		s.free <- struct{}{}
		s.wait.Add(1)
		go func() {
			defer s.wait.Done()
			defer func() { <-s.free }()
			defer conn.Close()
			s.answer(ctx, conn)
		}()
	}
}

func (s *server) answer(ctx context.Context, conn *net.UnixConn) {
	end := time.Now().Add(requestTime)
	if err := conn.SetReadDeadline(end); err != nil {
		return
	}
	q, err := nodeapi.ReadRequest(conn)
	var r nodeapi.Response
	if err == nil {
		var quiet func()
		if q.Progress {
			deaf := false
			quiet = s.a.listenTo(func(p nodeapi.Progress) {
				if deaf {
					return
				}
				b, err := json.Marshal(nodeapi.Response{Progress: &p})
				if err == nil && conn.SetWriteDeadline(time.Now().Add(requestTime)) == nil {
					_, err = conn.Write(append(b, '\n'))
				}
				// Whoever asked may be gone, or stopped with Ctrl-Z: the installation must not wait for that person again.
				deaf = err != nil
			})
		}
		r, err = s.a.handle(ctx, q)
		if quiet != nil {
			quiet()
		}
	}
	r.Error = nodeapi.NewError(err)
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	if conn.SetWriteDeadline(time.Now().Add(requestTime)) == nil {
		_, _ = conn.Write(append(b, '\n')) // whoever asked may be gone
	}
}

// handle does what q asks.
func (a *Agent) handle(ctx context.Context, q nodeapi.Request) (nodeapi.Response, error) {
	switch q.Op {
	case nodeapi.OpStatus:
		s := a.Status()
		return nodeapi.Response{Status: &s}, nil
	case nodeapi.OpHistory:
		return nodeapi.Response{Events: a.History()}, nil
	case nodeapi.OpLogs:
		lines, err := a.Logs(q.Service, q.Lines)
		return nodeapi.Response{Lines: lines}, err
	case nodeapi.OpReload:
		a.rouse()
		return nodeapi.Response{}, nil
	case nodeapi.OpRollback:
		r, err := a.Rollback(ctx, q.Generation)
		return nodeapi.Response{Report: &r}, err
	case nodeapi.OpInstall:
		src, done, err := OpenSource(q.Source)
		if err != nil {
			return nodeapi.Response{}, err
		}
		var o nodeapi.InstallOptions
		if q.Install != nil {
			o = *q.Install
		}
		r, err := a.Install(ctx, src, o)
		if closed := done(); err == nil {
			err = closed
		}
		return nodeapi.Response{Report: &r}, err
	}
	return nodeapi.Response{}, errs.Errorf(errs.Invalid, "control request: no verb %q", q.Op)
}

// progress tells p to everybody who listens.
func (a *Agent) progress(p nodeapi.Progress) {
	a.o.Progress(p)
	a.mu.Lock()
	list := slices.Clone(a.listeners)
	a.mu.Unlock()
	for _, l := range list {
		l.tell(p)
	}
}

type listener struct {
	mu   sync.Mutex
	tell func(nodeapi.Progress)
}

// listenTo calls f with every step, one at a time, until the returned function is called.
func (a *Agent) listenTo(f func(nodeapi.Progress)) (quiet func()) {
	l := &listener{}
	l.tell = func(p nodeapi.Progress) {
		l.mu.Lock()
		defer l.mu.Unlock()
		f(p)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.listeners = append(a.listeners, l)
	return func() {
		a.mu.Lock()
		a.listeners = slices.DeleteFunc(a.listeners, func(o *listener) bool { return o == l })
		a.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		f = func(nodeapi.Progress) {}
	}
}

// Call is CallProgress for somebody who does not want to know the steps.
func Call(ctx context.Context, dir string, q nodeapi.Request) (nodeapi.Response, error) {
	return CallProgress(ctx, dir, q, nil)
}

// CallProgress sends q to the agent that runs in dir and returns its response; steps, when it is not nil, is called with
// each step before that. No agent there is errs.Unavailable; the response's own error is returned as an error too. It
// waits as long as the request takes, or until ctx ends.
func CallProgress(ctx context.Context, dir string, q nodeapi.Request, steps func(nodeapi.Progress)) (nodeapi.Response, error) {
	q.Progress = steps != nil
	path, err := filepath.Abs(socketPath(dir))
	if err != nil {
		return nodeapi.Response{}, err
	}
	away := func(err error) error {
		return errs.Hint(errs.Errorf(errs.Unavailable, "ask the agent in %s: %w", dir, err), "start it: overland-agent run --state %s", dir)
	}
	address, done, err := socketAddress(path)
	if err != nil {
		return nodeapi.Response{}, away(err)
	}
	defer done()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", address)
	if err != nil {
		return nodeapi.Response{}, away(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return nodeapi.Response{}, away(err)
	}
	for lines := json.NewDecoder(conn); ; {
		var r nodeapi.Response
		if err := lines.Decode(&r); err != nil {
			if ctx.Err() != nil {
				return nodeapi.Response{}, ctx.Err()
			}
			return nodeapi.Response{}, away(fmt.Errorf("it ended before it answered: %w", err))
		}
		if r.Progress == nil {
			return r, r.Error.Err()
		}
		steps(*r.Progress)
	}
}
