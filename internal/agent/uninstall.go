package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"overland/internal/agent/node"
)

// Uninstall stops every service and removes what the agent wrote; the services'
// data and logs only with purge. What package host wrote (agent/) stays for it to
// remove. The agent is closed after it.
func (a *Agent) Uninstall(ctx context.Context, purge bool) error {
	if err := a.Stop(ctx); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	names := []string{"current", "good", "state.a", "state.b", node.ConfigName, "gen", "run", "upgrade", "depot", "trust"}
	if purge {
		names = append(names, "log", "volumes")
	}
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, a.o.FS.RemoveAll(filepath.Join(a.dir, name)))
	}
	failed = errors.Join(failed, a.node.Close())
	if failed == nil && purge {
		failed = a.o.FS.Remove(filepath.Join(a.dir, "lock"))
		_ = a.o.FS.Remove(a.dir) // not empty when the host's own files are still there
	}
	if failed != nil {
		return fmt.Errorf("uninstall: %w", failed)
	}
	return nil
}
