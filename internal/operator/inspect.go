package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/trust/repository"
	"overland/internal/volume"
)

// Inspection is what is inside a release, a volume or a program.
type Inspection struct {
	Kind     string           `json:"kind"` // "release", "volume" or "file"
	Name     string           `json:"name"`
	Size     int64            `json:"size"` // bytes of the volume or file; of all programs of a release
	Channel  release.Channel  `json:"channel,omitempty"`
	Releases []ReleaseDetails `json:"releases,omitempty"`
	Program  *Program         `json:"program,omitempty"` // of a file
	Signed   *Signed          `json:"signed,omitempty"`
}

// ReleaseDetails are a release's.
type ReleaseDetails struct {
	App       string            `json:"app"`
	Version   string            `json:"version"`
	Digest    digest.Digest     `json:"digest"`
	Commit    string            `json:"commit,omitempty"`
	Committed time.Time         `json:"committed,omitzero"`
	Toolchain string            `json:"toolchain,omitempty"`
	Channels  []release.Channel `json:"channels,omitempty"` // that run it
	Services  []string          `json:"services,omitempty"`
	Artifacts []ArtifactDetails `json:"artifacts"`
	Inputs    *InputDetails     `json:"inputs,omitempty"`
}

// ArtifactDetails are an artifact's for one platform.
type ArtifactDetails struct {
	Name     string            `json:"name"`
	Platform platform.Platform `json:"platform"`
	Present  bool              `json:"present"` // false: left out of the volume
	Program
}

// Signed says what is signed, and whether that holds.
type Signed struct {
	Fingerprint trust.Fingerprint `json:"fingerprint"`
	SealedAt    time.Time         `json:"sealedAt,omitzero"`
	Expires     time.Time         `json:"expires,omitzero"`
	Roles       []Role            `json:"roles"`
	Problem     string            `json:"problem,omitempty"` // why the signatures do not hold; "" = they do
}

// blobs is where Inspect reads a release and its programs, in place.
type blobs interface {
	release.Getter
	section(d digest.Digest) (*io.SectionReader, io.Closer, error)
}

// Inspect looks at what, a release ("wallet@r412.…"), or a volume's or another file's path. It writes nothing.
func (p *Pipeline) Inspect(ctx context.Context, what string) (*Inspection, error) {
	if info, err := os.Stat(what); strings.Contains(what, "@") && (err != nil || !info.Mode().IsRegular()) {
		return p.inspectRelease(ctx, what)
	}
	return inspectPath(ctx, what, p.keyNames())
}

// InspectFile is Inspect for a machine without a site directory, which knows no releases.
func InspectFile(ctx context.Context, path string) (*Inspection, error) {
	return inspectPath(ctx, path, nil)
}

func inspectPath(ctx context.Context, path string, names map[string]string) (*Inspection, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return inspectFile(ctx, path, info.Size(), names)
	}
	// The first part of a split volume is named after it.
	if v, err := volume.Open(path); err == nil {
		return inspectVolume(ctx, v, names)
	}
	return nil, errs.Hint(errs.Errorf(errs.NotFound, "inspect %s: neither a file nor a release", path),
		"a release is written APP@VERSION")
}

func inspectFile(ctx context.Context, path string, size int64, names map[string]string) (*Inspection, error) {
	v, err := volume.Open(path)
	if err == nil {
		return inspectVolume(ctx, v, names)
	}
	f, openErr := os.Open(path)
	if openErr != nil {
		return nil, openErr
	}
	defer f.Close()
	program, readErr := readProgram(io.NewSectionReader(f, 0, size))
	if readErr != nil {
		return nil, errs.Hint(fmt.Errorf("inspect %s: neither a volume nor a Go program: %w", path, err),
			"if it should be a volume, it was damaged on the way: get it again")
	}
	h := digest.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	program.Digest = h.Digest()
	return &Inspection{Kind: "file", Name: path, Size: size, Program: &program}, nil
}

func (p *Pipeline) inspectRelease(ctx context.Context, what string) (*Inspection, error) {
	ref, err := release.ParseRef(what)
	if err != nil {
		return nil, err
	}
	repo, err := p.Repository()
	if err != nil {
		return nil, err
	}
	signed, err := release.Find(repo, ref)
	if err != nil {
		return nil, err
	}
	d, err := details(ctx, depotBlobs{p.depot}, signed.Digest)
	if err != nil {
		return nil, err
	}
	in := &Inspection{Kind: "release", Name: ref.String()}
	for _, a := range d.Artifacts {
		in.Size += a.Size
	}
	all, err := channels(ctx, repo)
	if err != nil {
		return nil, err
	}
	roles := []string{release.Role(ref.App)}
	for _, name := range all {
		list, err := release.Show(repo, release.Channel(name))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(e release.Entry) bool { return e.Digest == signed.Digest }) {
			d.Channels = append(d.Channels, release.Channel(name))
			roles = append(roles, release.Channel(name).Role())
		}
	}
	in.Releases = []ReleaseDetails{*d}
	in.Signed, err = p.signedBy(ctx, repo, roles)
	return in, err
}

// signedBy returns the roles of repo that speak of a release.
func (p *Pipeline) signedBy(ctx context.Context, repo *repository.Repository, roles []string) (*Signed, error) {
	info, err := repo.Show(ctx)
	if err != nil {
		return nil, err
	}
	names := p.keyNames()
	s := &Signed{Fingerprint: info.Fingerprint, SealedAt: info.SignedAt}
	for _, r := range info.Roles {
		if r.Role == "timestamp" {
			s.Expires = r.Expires
		}
		if slices.Contains(roles, r.Role) {
			s.Roles = append(s.Roles, Role{Name: r.Role, Version: r.Version, Expires: r.Expires, SignedBy: named(r.SignedBy, names)})
		}
	}
	return s, nil
}

// keyNames returns the names of this machine's keys by their ids.
func (p *Pipeline) keyNames() map[string]string {
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

func details(ctx context.Context, b blobs, d digest.Digest) (*ReleaseDetails, error) {
	r, err := release.Read(ctx, b, d)
	if err != nil {
		return nil, err
	}
	out := &ReleaseDetails{
		App: r.App, Version: r.Version, Digest: d, Commit: r.Commit, Committed: r.CommitTime, Toolchain: r.Toolchain,
	}
	for name := range r.Services {
		out.Services = append(out.Services, name)
	}
	slices.Sort(out.Services)
	for _, a := range r.Artifacts {
		detail := ArtifactDetails{Name: a.Name, Platform: a.Platform}
		section, closer, err := b.section(a.Blob.Digest)
		switch {
		case err == nil:
			detail.Present = true
			// A program that is not Go has no modules to show.
			detail.Program, _ = readProgram(section)
			if err := closer.Close(); err != nil {
				return nil, err
			}
		case !errors.Is(err, fs.ErrNotExist) && errs.KindOf(err) != errs.NotFound:
			return nil, err
		}
		detail.Digest, detail.Size = a.Blob.Digest, a.Blob.Size
		out.Artifacts = append(out.Artifacts, detail)
	}
	if r.Inputs != nil {
		out.Inputs, err = inputDetails(ctx, b, *r.Inputs)
	}
	return out, err
}
