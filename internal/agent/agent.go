package agent

import (
	"context"
	"io"
	"log/slog"
	"time"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/runtime"
	"overland/internal/trust"
)

// Source is where releases come from: an open volume, a directory, a site. It is trusted for nothing.
type Source interface {
	Name() string
	Open(ctx context.Context, d digest.Digest, off int64) (rc io.ReadCloser, size int64, err error)
	trust.MetadataSource
}

// Options are the settings of an Agent. Runtimes and Platform are needed; everything else has a default.
type Options struct {
	Runtimes runtime.Set       // run the services, each by the runtime that it names
	Platform platform.Platform // of this machine; Platform.Runs is the order in which artifacts are taken

	FS        fsx.FS
	Clock     clock.Clock   // nil = the machine's
	BuildTime time.Time     // the lowest time that trust believes
	Log       *slog.Logger  // nil = nowhere
	Poll      time.Duration // between polls of a site, ± a quarter; 0 = 1 min
	Watch     time.Duration // between looks at watched directories; 0 = 5 s
	Progress  func(nodeapi.Progress)

	Version string        // of this agent, for people
	Self    digest.Digest // of this agent's program; "" = it never upgrades itself
	// Upgrade is called when the channel names another agent program. It lies at path, verified, and stays there. An
	// error is kept as the reason not to try this program again; nil means that it took over or will.
	Upgrade func(ctx context.Context, path, version string, d digest.Digest) error

	// Ready is called once by Run, when the state is open, the services of the current generation are started or adopted
	// and the control socket answers; not after the self-tests of an undecided switch. It proves a new agent program.
	Ready func()

	Boot func() (string, time.Duration) // nil = node.Boot
}
