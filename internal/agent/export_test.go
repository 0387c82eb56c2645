package agent

import (
	"context"

	"overland/internal/agent/stage"
	"overland/internal/agent/switchover"
	"overland/internal/nodeapi"
)

// Look is what the agent does with a source that it found by itself.
func (a *Agent) Look(ctx context.Context, src stage.Source) (nodeapi.Report, error) {
	return a.look(ctx, src)
}

// Unwell is what the agent does when a service is not well.
func (a *Agent) Unwell(ctx context.Context, service string, err error) {
	a.unwell(ctx, switchover.Unwell{Service: service, Err: err})
}
