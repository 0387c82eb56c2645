package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"overland/internal/agent/node"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/fsx"
	"overland/internal/release"
)

// Program is an agent program that lies ready to be handed over to.
type Program struct {
	Path    string
	Version string
	Digest  digest.Digest
	Release digest.Digest
}

// Program brings the agent program that the channel names; nil when there is nothing to hand over
// to. It is taken once for each release.
func (s *Stager) Program(ctx context.Context, src Source, e *release.Entry) (*Program, error) {
	st := s.node.State()
	if e == nil || s.o.Self == "" || st.Agent == e.Digest {
		return nil, nil
	}
	f := s.fetcherOf(src)
	r, err := release.Read(ctx, f, e.Digest)
	if err != nil {
		return nil, fmt.Errorf("agent program %s: %w", e.Version, untrusted(err))
	}
	var art release.Artifact
	for _, candidate := range r.For(s.o.Platform) {
		if candidate.Name == release.AgentApp {
			art = candidate
		}
	}
	if art.Name == "" {
		return nil, errs.Errorf(errs.NotFound, "agent program %s: none for this machine, which is %s", e.Version, s.o.Platform)
	}
	refused := slices.ContainsFunc(st.Programs, func(p node.Candidate) bool { return p.Digest == art.Blob.Digest })
	if refused || art.Blob.Digest == s.o.Self {
		return nil, s.node.Update(func(st *node.State) { st.Agent = e.Digest })
	}
	s.named(art.Blob.Digest, release.AgentApp+"@"+e.Version)
	// The process that installed may have brought it, and its blob was collected since: a
	// slow link must not carry it twice.
	if placed, err := fsx.Open(s.programPath(art)); err == nil {
		_, _, err = s.depot.Put(ctx, placed, art.Blob.Digest, art.Blob.Size)
		placed.Close()
		if err != nil {
			s.o.Log.Warn("the agent program that was brought before cannot be used", "error", err)
		}
	}
	if err := f.Fetch(ctx, fetch.Blob{Digest: art.Blob.Digest, Size: art.Blob.Size, Chunks: art.Blob.Chunks}); err != nil {
		return nil, fmt.Errorf("agent program %s: %w", e.Version, untrusted(err))
	}
	path, err := s.placeProgram(ctx, art)
	if err != nil {
		return nil, fmt.Errorf("agent program %s: %w", e.Version, err)
	}
	return &Program{Path: path, Version: e.Version, Digest: art.Blob.Digest, Release: e.Digest}, nil
}

// programPath returns where the agent program of art lies before it is handed over.
func (s *Stager) programPath(art release.Artifact) string {
	return filepath.Join(s.node.Dir(), "upgrade", art.Blob.Digest.Encoded(), art.File)
}

// placeProgram puts the agent program into upgrade/HEX/, in place of what was
// there before, and returns its path.
func (s *Stager) placeProgram(ctx context.Context, art release.Artifact) (string, error) {
	path := s.programPath(art)
	dir := filepath.Dir(path)
	top := filepath.Dir(dir)
	if entries, err := os.ReadDir(top); err == nil {
		for _, e := range entries {
			if err := s.o.FS.RemoveAll(filepath.Join(top, e.Name())); err != nil {
				return "", err
			}
		}
	}
	if err := s.o.FS.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := s.depot.Place(ctx, art.Blob.Digest, path, 0o755); err != nil {
		return "", err
	}
	return path, s.o.FS.SyncDir(dir)
}
