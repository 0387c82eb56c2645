package agent

import (
	"context"
	"fmt"
	"path/filepath"

	"overland/internal/agent/node"
	"overland/internal/fsx"
)

// Uninstall stops every service and removes what the agent wrote; the services'
// data and logs only with purge. What package host wrote (agent/) stays for it to
// remove. What cannot be removed, as where something is mounted, is returned, and the
// rest is gone. The agent is closed after it.
func (a *Agent) Uninstall(ctx context.Context, purge bool) ([]fsx.Left, error) {
	if err := a.Stop(ctx); err != nil {
		return nil, fmt.Errorf("uninstall: %w", err)
	}
	a.node.UnlinkCommands()
	names := []string{"current", "good", "state.a", "state.b", node.ConfigName, "gen", "run", "upgrade", "depot", "trust"}
	if purge {
		names = append(names, "log", "volumes")
	}
	var left []fsx.Left
	for _, name := range names {
		left = append(left, a.o.FS.Purge(filepath.Join(a.dir, name))...)
	}
	failed := a.node.Close()
	if failed == nil && purge && len(left) == 0 {
		failed = a.o.FS.Remove(filepath.Join(a.dir, "lock"))
		_ = a.o.FS.Remove(a.dir) // not empty when the host's own files are still there
	}
	if failed != nil {
		return left, fmt.Errorf("uninstall: %w", failed)
	}
	return left, nil
}
