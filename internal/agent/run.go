package agent

import (
	"context"
	"errors"

	"overland/internal/agent/node"
	"overland/internal/trust"
)

var errNotYet = errors.New("agent: not written yet")

// Agent is the one agent of a node's directory.
type Agent struct{ node *node.Node }

// Open takes the lock of directory dir, makes what is missing and mends what a crash left. A running agent is
// errs.Conflict: ask it with Call. Nothing is started before Install or Run.
func Open(dir string, o Options) (*Agent, error) { return nil, errNotYet }

// Close ends the agent and frees the lock. Services go on running; the next agent adopts them.
func (a *Agent) Close() error { return errNotYet }

// OpenSource opens what a person named: a volume file or its first part, a depot directory, a site URL.
func OpenSource(name string) (Source, func() error, error) { return nil, nil, errNotYet }

// OfferedRoot returns the fingerprint of the newest root that src offers, for a person to compare. It is not trusted.
func OfferedRoot(ctx context.Context, src Source) (trust.Fingerprint, error) { return "", errNotYet }

// Install makes the node run what src says of its channel. A generation that does not prove itself is rolled back:
// Report says why and the error is of kind errs.Partial. Nothing is written outside depot/ and trust/ before everything
// is verified. Installing again what runs changes nothing.
func (a *Agent) Install(ctx context.Context, src Source, o InstallOptions) (Report, error) {
	return Report{}, errNotYet
}

// Run starts or adopts the services of the current generation, decides an undecided switch, then serves the control
// socket and follows the node's sources until ctx ends. Services go on running after it.
func (a *Agent) Run(ctx context.Context) error { return errNotYet }

// Rollback switches to generation number, 0 for the good one before the current, by the same protocol as Install.
func (a *Agent) Rollback(ctx context.Context, number int) (Report, error) { return Report{}, errNotYet }

// Status returns the state of the node.
func (a *Agent) Status() Status { return Status{} }

// History returns what happened to the node, oldest first.
func (a *Agent) History() []node.Event { return nil }

// Logs returns the last lines of the service app.service's log.
func (a *Agent) Logs(service string, lines int) ([]string, error) { return nil, errNotYet }

// Stop stops every service of the node and waits until they are gone.
func (a *Agent) Stop(ctx context.Context) error { return errNotYet }

// Uninstall stops every service and removes what the agent wrote; the services' volumes and logs only with purge.
// The agent is closed after it.
func (a *Agent) Uninstall(ctx context.Context, purge bool) error { return errNotYet }

// Peek returns the status of directory dir when no agent runs there; services are "unknown". Nothing is changed.
func Peek(dir string) (Status, error) { return Status{}, errNotYet }

// PeekHistory returns the history of dir without its lock.
func PeekHistory(dir string) ([]node.Event, error) { return nil, errNotYet }

// Call sends q to the agent that runs in dir. No agent there is errs.Unavailable; the response's own error is
// returned as an error too.
func Call(ctx context.Context, dir string, q Request) (Response, error) { return Response{}, errNotYet }
