package agents

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/store"
)

// Set is the agent programs of one folder.
type Set struct {
	dir  string
	list []release.Artifact // in the order of a release
}

// Beside returns the folder of agent programs beside this program.
func Beside() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(self), "agents"), nil
}

// Find returns the agent programs dir/PLATFORM/overland-agent ("linux-arm-v6/overland-agent").
// Without any the error is of kind NotFound.
func Find(dir string) (*Set, error) {
	s := &Set{dir: dir}
	for _, plat := range platform.All() {
		a := release.Artifact{Name: release.AgentApp, Platform: plat, File: release.AgentApp, Kind: release.KindBinary}
		f, err := fsx.Open(s.path(a))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		h := digest.New()
		n, err := io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", s.path(a), err)
		}
		a.Blob = release.Blob{Digest: h.Digest(), Size: n}
		s.list = append(s.list, a)
	}
	if len(s.list) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "no agent programs in %s", dir),
			"make agents builds them; or name their folder with --agents DIR or OVERLAND_AGENTS")
	}
	return s, nil
}

func (s *Set) path(a release.Artifact) string {
	return filepath.Join(s.dir, a.Platform.Dashed(), release.AgentApp)
}

// Ref returns the name of s as a release: the same programs have the same version.
func (s *Set) Ref() release.Ref {
	return release.Ref{App: release.AgentApp, Version: release.AgentVersion(s.list)}
}

// Write puts s into depot as a release, which is not signed yet, and returns its OCI index.
func (s *Set) Write(ctx context.Context, depot store.Store) (ocispec.Descriptor, error) {
	r := release.Release{App: release.AgentApp, Version: s.Ref().Version, Artifacts: s.list}
	for _, a := range s.list {
		if err := putFile(ctx, depot, s.path(a), a.Blob); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("store %s: %w", s.path(a), err)
		}
		if info, err := buildinfo.ReadFile(s.path(a)); err == nil {
			r.Toolchain = info.GoVersion
		}
	}
	return release.Write(ctx, depot, r)
}

func putFile(ctx context.Context, depot store.Store, path string, want release.Blob) error {
	f, err := fsx.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, _, err = depot.Put(ctx, f, want.Digest, want.Size)
	return err
}
