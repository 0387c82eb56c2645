package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/source"
	"overland/internal/store"
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

// Opened is a release in a volume, with what it was built from, which stays in
// the volume until it is asked for.
type Opened struct {
	*release.Release
	Lock *lockfile.Lock

	in *release.Inputs
	v  *volume.Volume
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
	in, err := release.ReadInputs(ctx, v, *r.Inputs)
	if err != nil {
		return nil, err
	}
	lock, err := inspect.Lock(ctx, v, in)
	if err != nil {
		return nil, fmt.Errorf("lock of %s: %w", r.Ref(), err)
	}
	return &Opened{Release: r, Lock: lock, in: in, v: v}, nil
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
	pack, closer, err := o.v.Section(ctx, o.in.Source.Digest)
	if err != nil {
		return err
	}
	defer closer.Close()
	repo, err := source.Unpack(ctx, pack, o.Commit, dir)
	if err != nil {
		return err
	}
	c, err := repo.Resolve(ctx, "")
	if err != nil {
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

// Open returns the bytes of blob d, copied out of the volume and checked again
// on the way (errs.Untrusted): a medium may give other bytes the second time,
// and a build runs what it is given.
func (o *Opened) Open(ctx context.Context, d digest.Digest) (_ store.Blob, err error) {
	r, size, err := o.v.Open(ctx, d, 0)
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
		return nil, errs.Errorf(errs.Untrusted, "a blob of %s: %w", o.v.Name(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("copy a blob out of %s: %w", o.v.Name(), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return store.NewBlob(f, size), nil
}

// Close ends the reading of the volume.
func (o *Opened) Close() error { return o.v.Close() }
