package control_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"overland/internal/agent/control"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

// The socket is its owner's alone, and one that a dead agent left is no obstacle.
func TestTheSocketIsOwnedAndReplaced(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		steps := &control.Steps{}
		s, err := control.Listen(dir, fsx.FS{}, agent{steps}, steps)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, control.SocketName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		if _, err := control.Call(ctx, dir, nodeapi.Request{Op: nodeapi.OpStatus}); err != nil {
			t.Error(err)
		}
		cancel() // it leaves its socket, as a killed one does
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}
