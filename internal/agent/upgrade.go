package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"overland/internal/agent/node"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/nodeapi"
	"overland/internal/release"
)

// program is an agent program that lies ready to be handed over to.
type program struct {
	path    string
	version string
	digest  digest.Digest
	release digest.Digest
}

// stageAgent brings the agent program that the channel names, and leaves it for handOver. It is taken once for each
// release. An agent that cannot be upgraded goes on serving.
func (a *Agent) stageAgent(ctx context.Context, src Source, e *release.Entry) error {
	st := a.node.State()
	if e == nil || a.o.Upgrade == nil || a.o.Self == "" || st.Agent == e.Digest {
		return nil
	}
	f := a.fetcherOf(src)
	r, err := release.Read(ctx, f, e.Digest)
	if err != nil {
		return fmt.Errorf("agent program %s: %w", e.Version, untrusted(err))
	}
	var art release.Artifact
	for _, candidate := range r.For(a.o.Platform) {
		if candidate.Name == release.AgentApp {
			art = candidate
		}
	}
	if art.Name == "" {
		return errs.Errorf(errs.NotFound, "agent program %s: none for this machine, which is %s", e.Version, a.o.Platform)
	}
	refused := slices.ContainsFunc(st.Programs, func(p node.Candidate) bool { return p.Digest == art.Blob.Digest })
	if refused || art.Blob.Digest == a.o.Self {
		return a.node.Update(func(s *node.State) { s.Agent = e.Digest })
	}
	a.named(art.Blob.Digest, release.AgentApp+"@"+e.Version)
	// The process that installed may have brought it, and its blob was collected since: a slow link must not carry it twice.
	if placed, err := os.Open(a.programPath(art)); err == nil {
		_, _, err = a.depot.Put(ctx, placed, art.Blob.Digest, art.Blob.Size)
		placed.Close()
		if err != nil {
			a.o.Log.Warn("the agent program that was brought before cannot be used", keyError, err)
		}
	}
	if err := f.Fetch(ctx, fetch.Blob{Digest: art.Blob.Digest, Size: art.Blob.Size, Chunks: art.Blob.Chunks}); err != nil {
		return fmt.Errorf("agent program %s: %w", e.Version, untrusted(err))
	}
	path, err := a.placeProgram(ctx, art)
	if err != nil {
		return fmt.Errorf("agent program %s: %w", e.Version, err)
	}
	a.mu.Lock()
	a.next = &program{path: path, version: e.Version, digest: art.Blob.Digest, release: e.Digest}
	a.mu.Unlock()
	select {
	case a.hand <- struct{}{}:
	default:
	}
	return nil
}

// handOver calls Options.Upgrade for the program that stageAgent left. Only the main loop calls it, so that whoever asked
// for an installation has the answer first.
func (a *Agent) handOver(ctx context.Context) {
	done, err := a.take(ctx)
	if err != nil {
		return
	}
	defer done()
	a.mu.Lock()
	p := a.next
	a.next = nil
	a.mu.Unlock()
	if p == nil {
		return
	}
	// Before the call: it may never return, and the program that follows must not try the same again when it fails.
	err = a.node.Update(func(s *node.State) {
		s.Agent = p.release
		s.AddEvent(nodeapi.Event{At: a.now(), What: "upgraded", Apps: []string{release.AgentApp + "@" + p.version}})
	})
	if err == nil {
		a.o.Log.Info("handing over to another agent program", "version", p.version)
		err = a.o.Upgrade(ctx, p.path, p.version, p.digest)
		if err != nil && ctx.Err() == nil {
			err = errors.Join(err, a.RefuseProgram(p.digest, err.Error()))
		}
	}
	if err != nil && ctx.Err() == nil {
		a.problem("agent", fmt.Sprintf("agent program %s was not taken: %v", p.version, err))
		a.o.Log.Error("the agent program was not replaced", keyError, err)
	}
}

// programPath returns where the agent program of art lies before it is handed over.
func (a *Agent) programPath(art release.Artifact) string {
	return filepath.Join(a.dir, "upgrade", art.Blob.Digest.Encoded()[:16], art.File)
}

// placeProgram puts the agent program into upgrade/HEX/, in place of what was there before, and returns its path.
func (a *Agent) placeProgram(ctx context.Context, art release.Artifact) (string, error) {
	path := a.programPath(art)
	dir := filepath.Dir(path)
	top := filepath.Dir(dir)
	if entries, err := os.ReadDir(top); err == nil {
		for _, e := range entries {
			if err := a.o.FS.RemoveAll(filepath.Join(top, e.Name())); err != nil {
				return "", err
			}
		}
	}
	if err := a.o.FS.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := a.depot.Place(ctx, art.Blob.Digest, path, 0o755); err != nil {
		return "", err
	}
	return path, a.o.FS.SyncDir(dir)
}
