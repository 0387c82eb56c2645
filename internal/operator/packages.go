package operator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"overland/internal/deb"
	"overland/internal/errs"
	"overland/internal/release"
)

// PackagesKey is the name of the key that signs archives of packages, when nobody names another.
const PackagesKey = "packages"

// ArchiveOptions say which packages become an archive.
type ArchiveOptions struct {
	Channel release.Channel
	Key     string // name of the key that signs it; "" = PackagesKey
	Dir     string // where it is written
}

// Archived is an archive that was written.
type Archived struct {
	Suite       string   `json:"suite"`
	Packages    []string `json:"packages"`    // files of the pool, sorted
	Fingerprint string   `json:"fingerprint"` // of the key, in OpenPGP's way
	Key         string   `json:"key"`         // the file with its public half
}

// WriteArchive writes the packages of all releases that a channel runs as an archive for apt, whose suite is called as the
// channel. What lies in the folder stays until its place is taken: packages first, what is signed last. Errors: NotFound
// when the channel has no package, or there is no such key; Invalid when two releases have the same package.
func (p *Operator) WriteArchive(ctx context.Context, o ArchiveOptions) (*Archived, error) {
	if o.Key == "" {
		o.Key = PackagesKey
	}
	key, err := p.keys.Signer(o.Key)
	if errs.KindOf(err) == errs.NotFound {
		err = errs.Hint(err, "make one for archives alone: overland key new %s", o.Key)
	}
	if err != nil {
		return nil, err
	}
	running, err := p.Channel(ctx, o.Channel)
	if err != nil {
		return nil, err
	}
	suite := deb.Suite{Origin: "Overland", Name: string(o.Channel), Date: p.o.Clock.Or()()}
	files := map[string]release.Artifact{}
	for _, e := range running {
		if e.Problem != "" {
			return nil, errs.Errorf(errs.Invalid, "channel %s: %s: nodes keep what they run of it: %s", o.Channel, e.App, e.Problem)
		}
		r, err := release.Read(ctx, p.depot, e.Digest)
		if err != nil {
			return nil, fmt.Errorf("%s@%s: %w", e.App, e.Version, err)
		}
		for _, a := range r.Artifacts {
			if a.Kind != release.KindPackage || filepath.Ext(a.File) != ".deb" {
				continue
			}
			one, err := p.published(ctx, a)
			if err != nil {
				return nil, fmt.Errorf("%s@%s: %s: %w", e.App, e.Version, a.File, err)
			}
			suite.Packages = append(suite.Packages, one)
			files[one.Filename] = a
		}
	}
	if len(files) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "channel %s has no package", o.Channel), "overland channel list says what it runs; package in overland.yaml makes one")
	}
	by := deb.Signer{Key: key.Public().Key, Name: o.Key, Sign: key.Sign}
	written, err := suite.Write(by) // before anything is placed: it refuses one name for two packages
	if err != nil {
		return nil, err
	}
	done := &Archived{Suite: suite.Name, Fingerprint: by.Fingerprint(), Key: filepath.Join(o.Dir, "archive-key.asc")}
	if err := ownLayout(o.Dir); err != nil {
		return nil, err
	}
	for name, a := range files {
		done.Packages = append(done.Packages, name)
		if err := p.place(o.Dir, name, func(w io.Writer) error { return p.copyTo(ctx, a.Blob.Digest, w) }); err != nil {
			return nil, err
		}
	}
	slices.Sort(done.Packages)
	for _, f := range written {
		if err := p.place(o.Dir, f.Path, func(w io.Writer) error { _, err := io.Copy(w, bytes.NewReader(f.Data)); return err }); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// place writes the file name, a path with slashes, below dir.
func (p *Operator) place(dir, name string, write func(io.Writer) error) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := p.export(path, fs.FileMode(0o644), write); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// published returns what an index says of the package a.
func (p *Operator) published(ctx context.Context, a release.Artifact) (deb.Published, error) {
	one := deb.Published{Filename: "pool/" + a.File, File: deb.File{Size: a.Blob.Size, SHA256: a.Blob.Digest.Encoded()}}
	f, err := p.depot.Open(ctx, a.Blob.Digest)
	if err != nil {
		return one, err
	}
	defer f.Close()
	one.Control, err = deb.ReadControl(f)
	return one, err
}
