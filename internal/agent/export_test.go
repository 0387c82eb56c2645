package agent

import (
	"context"

	"overland/internal/agent/stage"
	"overland/internal/nodeapi"
)

// Look is what the agent does with a source that it found by itself.
func (a *Agent) Look(ctx context.Context, src stage.Source) (nodeapi.Report, error) {
	return a.look(ctx, src)
}
