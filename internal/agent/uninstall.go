package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// Uninstall stops every service and removes what the agent wrote; the services' volumes and logs only with purge.
// The agent is closed after it.
func (a *Agent) Uninstall(ctx context.Context, purge bool) error {
	if err := a.Stop(ctx); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	names := []string{"current", "good", "state.a", "state.b", configName, "gen", "run", "agent", "depot", "trust"}
	if purge {
		names = append(names, "log", "volumes")
	}
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, a.o.FS.RemoveAll(filepath.Join(a.dir, name)))
	}
	failed = errors.Join(failed, a.node.Close())
	if failed == nil && purge {
		failed = errors.Join(a.o.FS.RemoveAll(filepath.Join(a.dir, "lock")), a.o.FS.Remove(a.dir))
	}
	if failed != nil {
		return fmt.Errorf("uninstall: %w", failed)
	}
	return nil
}
