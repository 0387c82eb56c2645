package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"

	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/progress"
)

// SocketName is the control socket's place below the node's directory.
const SocketName = "run/agent.sock"

func socketPath(dir string) string { return filepath.Join(dir, filepath.FromSlash(SocketName)) }

// Call is CallProgress without the steps.
func Call(ctx context.Context, dir string, q nodeapi.Request) (nodeapi.Response, error) {
	return CallProgress(ctx, dir, q, nil)
}

// CallProgress sends q to the agent that runs in dir and returns its response; steps, when it is
// not nil, is called with each step before that. No agent there is errs.Unavailable; the response's
// own error is returned as an error too. It waits as long as the request takes, or until ctx ends.
func CallProgress(ctx context.Context, dir string, q nodeapi.Request, steps func(progress.Event)) (nodeapi.Response, error) {
	q.Progress = steps != nil
	path, err := filepath.Abs(socketPath(dir))
	if err != nil {
		return nodeapi.Response{}, err
	}
	away := func(err error) error {
		if errors.Is(err, fs.ErrPermission) {
			return errs.Hint(errs.E(errs.Denied, fmt.Errorf("ask the agent in %s: %w", dir, err)), "only its owner may: sudo overland-agent …")
		}
		return errs.Hint(errs.Errorf(errs.Unavailable, "ask the agent in %s: %w", dir, err), "start it: overland-agent run --state %s", dir)
	}
	conn, err := dial(ctx, path)
	if err != nil {
		var merr error
		if conn, merr = dial(ctx, memoryPath(filepath.Dir(filepath.Dir(path)))); merr != nil {
			return nodeapi.Response{}, away(err)
		}
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

func dial(ctx context.Context, path string) (net.Conn, error) {
	address, done, err := socketAddress(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", address)
}
