package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/operator/sealing"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/source"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/trust"
	"overland/internal/volume"
)

// OpenOptions say which release of a volume is opened, and by whom it must be signed.
type OpenOptions struct {
	Path     string
	Root     trust.Fingerprint // the chain of signatures must begin here
	App      string            // "" = the only application with inputs
	Progress func(progress.Event)
}

// Opened is a release in a volume or a depot, with what it was built from, which stays
// there until it is asked for.
type Opened struct {
	*release.Release
	Lock *lockfile.Lock

	in     *release.Inputs
	v      *volume.Volume // or
	d      *storedir.Store
	unlike []string
}

// Holder returns what holds o, for people.
func (o *Opened) Holder() string {
	if o.v == nil {
		return "the depot"
	}
	return o.v.Name()
}

// OpenVolume checks every byte of a volume and its signatures, and returns the release of o.App in
// it. The caller closes that. A volume without inputs is an error of kind NotFound.
func OpenVolume(ctx context.Context, o OpenOptions) (_ *Opened, err error) {
	v, err := openWhole(ctx, o.Path, o.Progress)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	signed, err := inspect.Verify(ctx, v, o.Root, time.Time{})
	if err != nil {
		return nil, err
	}
	r, err := withInputs(ctx, v, signed.Entries, o.App)
	if err != nil {
		return nil, err
	}
	opened := &Opened{Release: r, v: v}
	if err := opened.readInputs(ctx, v); err != nil {
		return nil, err
	}
	return opened, nil
}

// OpenRelease returns a signed release of the site, with what it was built from in its depot. The caller closes it. One
// whose inputs are not all there is an error of kind NotFound.
func (p *Operator) OpenRelease(ctx context.Context, ref release.Ref) (*Opened, error) {
	_, d, err := p.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	r, err := release.Read(ctx, p.depot, d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	if r.Inputs == nil {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "%s was released without %s, so nobody knows all of what it was built from", ref, lockfile.Name),
			"overland record -- overland build, commit %s, and release again", lockfile.Name)
	}
	o := &Opened{Release: r, d: p.depot}
	if err := o.readInputs(ctx, p.depot); err != nil {
		return nil, err
	}
	missing, err := sealing.Missing(ctx, p.depot, append([]ocispec.Descriptor{o.in.Lock, o.in.Source}, o.in.Blobs...))
	if err == nil && len(missing) > 0 {
		err = sealing.MissingInputs(ref, o.Lock, missing, len(o.in.Blobs))
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// readInputs reads what o was built from.
func (o *Opened) readInputs(ctx context.Context, g release.Getter) (err error) {
	if o.in, err = release.ReadInputs(ctx, g, *o.Inputs); err != nil {
		return err
	}
	if o.Lock, err = inspect.Lock(ctx, g, o.in); err != nil {
		return fmt.Errorf("lock of %s: %w", o.Ref(), err)
	}
	return nil
}

// withInputs returns the release of app, or the only one whose inputs are in v.
func withInputs(ctx context.Context, v *volume.Volume, entries []release.Entry, app string) (*release.Release, error) {
	var found []*release.Release
	var names, without []string
	for _, e := range entries {
		if e.App == release.AgentApp || (app != "" && e.App != app) {
			continue
		}
		r, err := release.Read(ctx, v, e.Digest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Ref(), err)
		}
		if r.Inputs == nil || !v.Has(r.Inputs.Digest) {
			without = append(without, e.Ref().String())
			continue
		}
		found = append(found, r)
		names = append(names, e.App)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s holds the inputs of %d applications: which one?", v.Name(), len(found)),
			"--app %s", strings.Join(names, ", --app "))
	case len(without) == 0:
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "%s holds no application %q", v.Name(), app), "overland inspect %s", v.Name())
	}
	return nil, errs.Hint(errs.Errorf(errs.NotFound, "%s was sealed without what %s was built from", v.Name(), strings.Join(without, ", ")),
		"where the depot is: overland seal --with-inputs")
}

// Unpack makes a git repository in dir, which must be empty or absent, with the
// release's commit in its folder.
func (o *Opened) Unpack(ctx context.Context, dir string) error {
	pack, err := o.Open(ctx, o.in.Source.Digest)
	if err != nil {
		return err
	}
	defer pack.Close()
	repo, err := source.Unpack(ctx, pack, o.Commit, dir)
	if err != nil {
		return err
	}
	c, err := repo.Resolve(ctx, "")
	if err != nil {
		return err
	}
	if o.unlike, err = unlike(ctx, o.Release, repo, c); err != nil {
		return err
	}
	version, _, _ := strings.Cut(o.Version, lacking)
	if c.Version == version {
		return nil
	}
	if tagged, err := repo.Describe(ctx, c); err == nil && tagged.Tagged().Version == version {
		return nil
	}
	return errs.Errorf(errs.Untrusted, "the source of %s is that of %s", o.Ref(), c.Version)
}

// Open returns the bytes of blob d, copied out of what holds it and checked again
// on the way (errs.Untrusted): a medium may give other bytes the second time,
// and a build runs what it is given.
func (o *Opened) Open(ctx context.Context, d digest.Digest) (_ store.Blob, err error) {
	r, size, err := o.read(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	const mode = 0o600
	f, err := fsx.FS{}.Nameless("", mode)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	_, err = io.Copy(f, digest.Reader(r, d, size))
	if errors.Is(err, digest.ErrMismatch) {
		return nil, errs.Errorf(errs.Untrusted, "a blob of %s: %w", o.Holder(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("copy a blob out of %s: %w", o.Holder(), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return store.NewBlob(f, size), nil
}

// read returns blob d as it is held, and its length in bytes.
func (o *Opened) read(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	if o.v != nil {
		return o.v.Open(ctx, d, 0)
	}
	b, err := o.d.Open(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	return b, b.Size(), nil
}

// Close ends the reading of the volume.
func (o *Opened) Close() error {
	if o.v == nil {
		return nil
	}
	return o.v.Close()
}
