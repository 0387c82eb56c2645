package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/volume"
)

// CheckVolume refuses (errs.Untrusted) a volume with a blob that none of the releases which its
// channel names has, or whose agent in front is not the signed one. A volume's own digests prove
// nothing about such bytes: an attacker who adds them computes new digests. Inputs of a release
// are there as a whole or not at all. entries and refused are what Current returns: what is
// refused may lie in the volume, unused. Volume.Verify checks the bytes of the blobs.
func CheckVolume(ctx context.Context, v *volume.Volume, entries []Entry, refused []Refused) error {
	known := make(map[digest.Digest]bool)
	var agent *Release
	for _, e := range entries {
		r, err := know(ctx, v, e, known)
		if err != nil {
			return fmt.Errorf("release %s: %w", e.Ref(), Incomplete(v, err))
		}
		if e.App == AgentApp {
			agent = r
		}
	}
	for _, e := range refused {
		// The channel has signed its digest. What cannot be read makes nothing known.
		r, err := know(ctx, v, e.Entry, known)
		if err == nil && e.App == AgentApp {
			agent = r
		}
	}
	for _, e := range v.Entries() {
		if strings.HasPrefix(e.Name, "blobs/") && !known[e.Digest] {
			return errs.Errorf(errs.Untrusted, "volume %s: %s is in it, but nothing that was signed names it", v.Name(), e.Name)
		}
	}
	for _, a := range v.Agents() {
		signed := func(art Artifact) bool { return art.Name == AgentApp && art.Blob.Digest == a.Digest }
		if agent == nil || !slices.ContainsFunc(agent.For(a.Platform), signed) {
			return errs.Errorf(errs.Untrusted, "volume %s: its agent for %s is not the one that was signed", v.Name(), a.Platform)
		}
	}
	return nil
}

// Incomplete gives err its kind, Untrusted, when it says that v lacks what its signed metadata names: a
// volume holds all of it when it is sealed.
func Incomplete(v *volume.Volume, err error) error {
	if errs.KindOf(err) != errs.NotFound && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errs.Hint(errs.E(errs.Untrusted, fmt.Errorf("%s does not hold what its signed metadata names: it was changed, or a part is missing: %w", v.Name(), err)),
		"get the volume again from the one who sealed it")
}

// know adds the blobs of e's release that v has to known.
func know(ctx context.Context, v *volume.Volume, e Entry, known map[digest.Digest]bool) (*Release, error) {
	blobs, err := Closure(ctx, v, e.Digest, func(a Artifact) bool { return v.Has(a.Blob.Digest) })
	if err != nil {
		return nil, err
	}
	for _, b := range blobs {
		known[b.Digest] = true
	}
	r, err := Read(ctx, v, e.Digest)
	if err != nil {
		return nil, err
	}
	return r, knowInputs(ctx, v, r, known)
}

// knowInputs adds the inputs of r to known when v has them, and refuses v
// when it has some of them only.
func knowInputs(ctx context.Context, v *volume.Volume, r *Release, known map[digest.Digest]bool) error {
	if r.Inputs == nil || !v.Has(r.Inputs.Digest) {
		return nil
	}
	in, err := ReadInputs(ctx, v, *r.Inputs)
	if errs.KindOf(err) == errs.NotFound {
		return errs.E(errs.Untrusted, err) // a part of the list was taken out
	}
	if err != nil {
		return err
	}
	for _, b := range in.All() {
		size, err := v.Stat(b.Digest)
		if err != nil || size != b.Size {
			return errs.Errorf(errs.Untrusted, "volume %s: its input %s of %d bytes is missing", v.Name(), b.Digest, b.Size)
		}
		known[b.Digest] = true
	}
	return nil
}
