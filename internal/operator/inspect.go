package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/sbom"
	"overland/internal/trust"
	"overland/internal/trust/repository"
	"overland/internal/volume"
)

// Inspect looks at what, a release ("wallet@r412.…"), or a volume's or another
// file's path. It writes nothing. A nil p knows no releases.
func (p *Operator) Inspect(ctx context.Context, what string) (*nodeapi.Inspection, error) {
	ref, released, err := p.Which(ctx, what)
	switch {
	case err != nil:
		return nil, err
	case released:
		return p.inspectRelease(ctx, ref)
	}
	return inspectPath(ctx, what)
}

// Which returns the release that what, an argument, names; false when it is a file. The folder that an operator
// stands in may be somebody else's: no file there takes the name of a release that is signed here. A nil p knows
// no releases: then a name that is no file's is an error.
func (p *Operator) Which(ctx context.Context, what string) (ref release.Ref, released bool, err error) {
	if !strings.Contains(what, "@") {
		return ref, false, isFile(what)
	}
	ref, err = release.ParseRef(what)
	if err == nil && p != nil {
		if _, _, err := p.find(ctx, ref); errs.KindOf(err) != errs.NotFound {
			return ref, true, err
		}
	}
	switch _, statErr := os.Stat(what); {
	case statErr == nil:
		return release.Ref{}, false, nil
	case err != nil:
		return ref, false, err
	case p == nil:
		return ref, true, errs.Hint(errs.Errorf(errs.NotFound, "%s is a release, and there is no site directory", ref), "--home DIR names one")
	}
	return ref, true, nil
}

// isFile returns an error when nothing is called what, and no part of a split volume: then it may be the name of an
// application, and the answer is not that a file is missing.
func isFile(what string) error {
	if _, err := os.Stat(what); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if parts, _ := filepath.Glob(what + ".*"); len(parts) > 0 {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.NotFound, "%s is neither a file nor a release", what),
		"a release is written APP@VERSION: overland release list shows them")
}

func inspectPath(ctx context.Context, path string) (*nodeapi.Inspection, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return inspectFile(ctx, path, info.Size())
	}
	// The first part of a split volume is named after it.
	if v, err := volume.Open(path); err == nil {
		return inspectVolume(ctx, v)
	}
	return nil, errs.Hint(errs.Errorf(errs.NotFound, "inspect %s: neither a file nor a release", path),
		"a release is written APP@VERSION: overland release list shows them")
}

func inspectVolume(ctx context.Context, v *volume.Volume) (*nodeapi.Inspection, error) {
	in, err := inspect.Volume(ctx, v)
	if err == nil {
		for i := range in.Releases {
			addRoots(ctx, v, &in.Releases[i])
		}
		addProvenance(ctx, v, in)
	}
	return in, errors.Join(err, v.Close())
}

// addProvenance adds to in who has signed how the releases in v were built. What else does not hold is said already.
func addProvenance(ctx context.Context, v *volume.Volume, in *nodeapi.Inspection) {
	signed, err := inspect.Verify(ctx, v, trust.Fingerprint(in.Signed.Fingerprint), time.Time{})
	if err != nil {
		return
	}
	how, err := sealedProvenance(ctx, v, signed)
	for i := range in.Releases {
		r := &in.Releases[i]
		if err != nil {
			r.Unproved = err.Error()
		}
		r.Provenance = signersOf(how[release.Ref{App: r.App, Version: r.Version}])
	}
}

// signersOf returns the ids of the keys that have signed list.
func signersOf(list []Provenance) (ids []string) {
	for _, one := range list {
		if !slices.Contains(ids, one.Key.ID) {
			ids = append(ids, one.Key.ID)
		}
	}
	return ids
}

func inspectFile(ctx context.Context, path string, size int64) (*nodeapi.Inspection, error) {
	v, err := volume.Open(path)
	if err == nil {
		return inspectVolume(ctx, v)
	}
	f, openErr := fsx.Open(path)
	if openErr != nil {
		return nil, openErr
	}
	defer f.Close()
	program, readErr := inspect.ReadProgram(f, size)
	if readErr != nil {
		if a, rootErr := sbom.Packages(ctx, io.NewSectionReader(f, 0, size)); rootErr == nil {
			return &nodeapi.Inspection{Kind: "file", Name: filepath.Base(path), Size: size, Root: rootOf(a)}, nil
		}
		return nil, errs.Hint(fmt.Errorf("inspect %s: neither a volume, a Go program nor a root file system: %w", path, err),
			"if it should be a volume, it was damaged on the way: get it again")
	}
	h := digest.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	program.Digest = h.Digest()
	return &nodeapi.Inspection{Kind: "file", Name: filepath.Base(path), Size: size, Program: &program}, nil
}

func (p *Operator) inspectRelease(ctx context.Context, ref release.Ref) (*nodeapi.Inspection, error) {
	now, of, err := p.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	d, err := inspect.Release(ctx, inspect.Depot{Blobs: p.depot}, of)
	if err != nil {
		return nil, err
	}
	in := &nodeapi.Inspection{Kind: "release", Name: ref.String()}
	for _, a := range d.Artifacts {
		in.Size += a.Size
	}
	roles := []string{release.Role(ref.App)}
	for _, name := range channels(now) {
		list, err := release.Runs(now, release.Channel(name))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(e release.Entry) bool { return e.Digest == of }) {
			d.Channels = append(d.Channels, name)
			roles = append(roles, release.Channel(name).Role())
		}
	}
	addRoots(ctx, inspect.Depot{Blobs: p.depot}, d)
	switch list, err := p.signedProvenance(ctx, now, ref, of); {
	case errs.KindOf(err) == errs.NotFound: // not signed
	case err != nil:
		d.Unproved = err.Error()
	default:
		d.Provenance = signersOf(list)
	}
	in.Releases = []nodeapi.Release{*d}
	in.Signed, err = signedBy(now, roles)
	return in, err
}

// addRoots adds what the root file systems and images of r, in b, say of themselves. One that cannot be read says nothing.
func addRoots(ctx context.Context, b inspect.Blobs, r *nodeapi.Release) {
	for i := range r.Artifacts {
		a := &r.Artifacts[i]
		if !a.Present || a.Go != "" {
			continue
		}
		doc, err := sbom.Of(ctx, b, r.Digest, sbom.Options{Artifact: a.Name, Platforms: []platform.Platform{a.Platform}})
		if err != nil || doc.Artifacts[0].Kind == sbom.Program {
			continue
		}
		if one := doc.Artifacts[0]; one.Distribution != "" || len(one.Components) > 0 {
			a.Root = rootOf(&doc.Artifacts[0])
		}
	}
}

func rootOf(a *sbom.Artifact) *nodeapi.Root {
	r := &nodeapi.Root{Distribution: a.Distribution, Packages: []string{}}
	for _, c := range a.Components {
		r.Packages = append(r.Packages, c.URL())
	}
	return r
}

// signedBy returns what is signed of roles.
func signedBy(now *repository.State, roles []string) (*nodeapi.Signed, error) {
	info, err := now.Show(nil)
	if err != nil {
		return nil, err
	}
	s := &nodeapi.Signed{Fingerprint: string(info.Fingerprint), SealedAt: info.SignedAt}
	for _, r := range info.Roles {
		if r.Role == "timestamp" {
			s.Expires = r.Expires
		}
		if slices.Contains(roles, r.Role) {
			s.Roles = append(s.Roles, nodeapi.Role{Name: r.Role, Version: r.Version, Expires: r.Expires, SignedBy: r.SignedBy})
		}
	}
	return s, nil
}

// KeyNames returns the names of this machine's keys by their ids.
func (p *Operator) KeyNames() map[string]string {
	names := make(map[string]string)
	list, err := p.keys.List()
	if err != nil {
		// Ids alone are shown then.
		return names
	}
	for _, k := range list {
		names[k.ID] = k.Name
	}
	return names
}
