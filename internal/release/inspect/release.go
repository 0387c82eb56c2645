package inspect

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/release"
)

// Blobs is where a release and its programs are read in place: a depot or a volume.
type Blobs interface {
	release.Getter
	// Section returns blob d; the caller closes it. A blob that is not there is
	// errs.NotFound or fs.ErrNotExist.
	Section(ctx context.Context, d digest.Digest) (*io.SectionReader, io.Closer, error)
}

// Release returns what is in the release d, and what b has of it.
func Release(ctx context.Context, b Blobs, d digest.Digest) (*nodeapi.Release, error) {
	r, err := release.Read(ctx, b, d)
	if err != nil {
		return nil, err
	}
	out := &nodeapi.Release{
		App: r.App, Version: r.Version, Digest: d, Commit: r.Commit, Dirty: strings.Contains(r.Version, release.OfFolder), Committed: r.CommitTime, Toolchain: r.Toolchain,
		Services: slices.Sorted(maps.Keys(r.Services)), Commands: slices.Sorted(maps.Keys(r.Commands)),
		Runs: runs(r), Asks: Asks(r),
	}
	for _, a := range r.Artifacts {
		detail := nodeapi.Artifact{Name: a.Name, Platform: a.Platform, Isolation: a.Isolation}
		section, closer, err := b.Section(ctx, a.Blob.Digest)
		switch {
		case err == nil:
			detail.Present = true
			// A program that is not Go has no modules to show.
			detail.Program, _ = ReadProgram(section, section.Size())
			if err := closer.Close(); err != nil {
				return nil, err
			}
			if detail.Size, err = a.Whole(ctx, b); err != nil {
				return nil, err
			}
		case !errors.Is(err, fs.ErrNotExist) && errs.KindOf(err) != errs.NotFound:
			return nil, err
		}
		detail.Digest = a.Blob.Digest
		if !detail.Present {
			detail.Size = a.Blob.Size
		}
		out.Artifacts = append(out.Artifacts, detail)
	}
	if r.Inputs != nil {
		out.Inputs, err = Inputs(ctx, b, *r.Inputs)
	}
	return out, err
}

// runs returns what the services of r do beyond staying up, one a line.
func runs(r *release.Release) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		s := r.Services[name]
		if words := s.Runs(); len(words) > 0 {
			list = append(list, name+": "+strings.Join(words, "; "))
		}
	}
	return list
}

// Asks returns what the services of r ask for beyond the least, one a line.
func Asks(r *release.Release) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		s := r.Services[name]
		words := s.Words()
		if s.User != "" {
			words = append([]string{"user " + s.User}, words...)
		}
		if len(words) > 0 {
			list = append(list, name+": "+strings.Join(words, "; "))
		}
	}
	return list
}
