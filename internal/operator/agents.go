package operator

import (
	"context"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/trust"
)

// agentProgram is one agent program on this machine.
type agentProgram struct {
	platform platform.Platform
	path     string
	digest   digest.Digest
	size     int64
}

// agentsDir returns the folder of agent programs: the one that was given,
// or "agents" beside this program.
func (p *Operator) agentsDir() (string, error) {
	if p.o.Agents != "" {
		return p.o.Agents, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(self), "agents"), nil
}

// findAgents returns the agent programs DIR/PLATFORM/overland-agent
// ("linux-arm-v6/overland-agent"), in listing order.
func findAgents(dir string) ([]agentProgram, error) {
	var list []agentProgram
	for _, plat := range platform.All() {
		path := filepath.Join(dir, plat.Dashed(), release.AgentApp)
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		h := digest.New()
		n, err := io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		list = append(list, agentProgram{plat, path, h.Digest(), n})
	}
	if len(list) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "no agent programs in %s", dir),
			"make agents builds them; or name their folder with --agents DIR or OVERLAND_AGENTS")
	}
	return list, nil
}

// agentVersion names the set of programs: the same programs have the same version.
func agentVersion(list []agentProgram) string {
	h := digest.New()
	for _, a := range list {
		fmt.Fprintf(h, "%s %s\n", a.platform, a.digest)
	}
	const digits = 6 // 12 of hex
	return "r0." + hex.EncodeToString(h.Sum(nil)[:digits])
}

// promoteAgent releases the agent programs of this machine, when they are new, and promotes them to
// the channel unless it has run them before: an operator with older programs, or who sealed before
// a rollback, does not bring them back.
func (w *sealing) promoteAgent(ctx context.Context) (promoted bool, err error) {
	dir, err := w.agentsDir()
	if err != nil {
		return false, err
	}
	list, err := findAgents(dir)
	if err != nil {
		if w.hasAgent(ctx) {
			// The channel has an agent already, so a volume can be made without this machine's.
			return false, nil
		}
		return false, err
	}
	ref := release.Ref{App: release.AgentApp, Version: agentVersion(list)}
	now, err := w.repo.Read(ctx)
	if err != nil {
		return false, err
	}
	past, err := ran(ctx, now, w.s.Channel, ref)
	if err != nil || past {
		return false, err
	}
	desc, err := writeAgent(ctx, w.depot, ref, list)
	if err != nil {
		return false, err
	}
	if err := release.Publish(ctx, w.repo, ref, desc); err != nil {
		return false, err
	}
	_, err = release.Promote(ctx, w.repo, ref, w.s.Channel)
	return err == nil, err
}

// hasAgent reports whether the channel runs an agent.
func (w *sealing) hasAgent(ctx context.Context) bool {
	_, list, err := w.signed(ctx)
	return err == nil && slices.ContainsFunc(list, func(e release.Entry) bool { return e.App == release.AgentApp })
}

// ran reports whether channel ch runs or has ever run ref.
func ran(ctx context.Context, now trust.Signed, ch release.Channel, ref release.Ref) (bool, error) {
	signed, err := release.Find(now, ref)
	if err != nil {
		// Never released, so never promoted.
		return false, ignoreNotFound(err)
	}
	history, err := now.History(ctx, ch.Role())
	if err != nil {
		return false, err
	}
	for _, v := range history {
		if t, ok := v.Targets[release.ChannelPath(ch, ref.App)]; ok && t.Digest == signed.Digest {
			return true, nil
		}
	}
	return false, nil
}

func ignoreNotFound(err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	return err
}

func writeAgent(ctx context.Context, depot store.Store, ref release.Ref, list []agentProgram) (ocispec.Descriptor, error) {
	r := release.Release{App: ref.App, Version: ref.Version}
	for _, a := range list {
		if err := putFile(ctx, depot, a.path, a.digest, a.size); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("store %s: %w", a.path, err)
		}
		if info, err := buildinfo.ReadFile(a.path); err == nil {
			r.Toolchain = info.GoVersion
		}
		r.Artifacts = append(r.Artifacts, release.Artifact{
			Name: release.AgentApp, Platform: a.platform, File: release.AgentApp, Kind: release.KindBinary,
			Blob: release.Blob{Digest: a.digest, Size: a.size},
		})
	}
	return release.Write(ctx, depot, r)
}

func putFile(ctx context.Context, depot store.Store, path string, want digest.Digest, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, _, err = depot.Put(ctx, f, want, size)
	return err
}
