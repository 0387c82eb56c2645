package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/progress"
)

const (
	requestTime = 10 * time.Second // for a request to arrive, or a response to be taken
	connections = 32               // requests answered at once
	pathMax     = 100              // bytes of a path that a socket address surely holds
)

// Handler does what a request asks.
type Handler interface {
	Handle(ctx context.Context, q nodeapi.Request) (nodeapi.Response, error)
}

// Server answers on the control socket. Only the owner of the node's directory can connect.
type Server struct {
	handler Handler
	steps   *Steps
	list    *net.UnixListener
	free    chan struct{}
	wait    sync.WaitGroup
}

// Listen opens the control socket of the node in dir: below it or, when its disk takes nothing new, in
// memory. A socket that a dead agent left is replaced: the caller holds the node's lock. A client that
// asks for progress gets what steps is told.
func Listen(dir string, disk fsx.FS, h Handler, steps *Steps) (*Server, error) {
	s, err := listen(socketPath(dir), disk, h, steps)
	if !fsx.TakesNothing(err) {
		return s, err
	}
	const ownerOnly = 0o700
	path := memoryPath(dir)
	if merr := os.MkdirAll(filepath.Dir(path), ownerOnly); merr != nil {
		return nil, err
	}
	if s, err = listen(path, disk, h, steps); err == nil {
		s.list.SetUnlinkOnClose(true) // no other node finds it and wonders
	}
	return s, err
}

// memoryPath is where the control socket of the node in dir is when its disk takes nothing new.
func memoryPath(dir string) string {
	return filepath.Join(memoryDir, digest.Of([]byte(dir)).Encoded()[:16]+".sock")
}

// memoryDir is a folder in memory, below one that is root's.
const memoryDir = "/run/overland"

func listen(path string, disk fsx.FS, h Handler, steps *Steps) (*Server, error) {
	if err := disk.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := disk.Remove(path); err != nil {
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
	return &Server{handler: h, steps: steps, list: list, free: make(chan struct{}, connections)}, nil
}

// socketAddress returns a name for path that fits into a socket address, and what to call when it
// is not needed any more: a long path is reached through its open directory.
func socketAddress(path string) (string, func(), error) {
	if len(path) <= pathMax {
		return path, func() {}, nil
	}
	dir, err := os.OpenFile(filepath.Dir(path), os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

// Serve answers until ctx ends, and returns when every answer is given.
func (s *Server) Serve(ctx context.Context) error {
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

func (s *Server) answer(ctx context.Context, conn *net.UnixConn) {
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
			quiet = s.steps.Listen(func(p progress.Event) {
				if deaf {
					return
				}
				b, err := json.Marshal(nodeapi.Response{Progress: &p})
				if err == nil && conn.SetWriteDeadline(time.Now().Add(requestTime)) == nil {
					_, err = conn.Write(append(b, '\n'))
				}
				// The client may be gone, or stopped with Ctrl-Z: the
				// installation must not wait for it again.
				deaf = err != nil
			})
		}
		r, err = s.handler.Handle(ctx, q)
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
		_, _ = conn.Write(append(b, '\n')) // the client may be gone
	}
}
