package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/store"
)

// writeInputs puts what b was built from into the depot, but for what the lock names, and returns
// the list of it; nil when the commit has no overland.lock.
func (p *Operator) writeInputs(ctx context.Context, b *Built) (*ocispec.Descriptor, error) {
	text, found, err := b.Source.lock(ctx)
	if err != nil || !found {
		return nil, err
	}
	_, list, err := lockedBlobs(text, b.Ref)
	if err != nil {
		return nil, err
	}
	if old, ok := writtenInputs(ctx, p.depot, b.Ref, digest.Of(text)); ok {
		return &old, nil
	}
	in := release.Inputs{Blobs: list}
	in.Lock.Size = int64(len(text))
	if in.Lock.Digest, err = store.PutBytes(ctx, p.depot, text); err != nil {
		return nil, err
	}
	if in.Source.Digest, in.Source.Size, err = p.packSource(ctx, b); err != nil {
		return nil, err
	}
	desc, err := release.WriteInputs(ctx, p.depot, b.Ref, in)
	return &desc, err
}

// lock returns the bytes of the overland.lock in s's commit. found is false when there
// is none, or no commit is built.
func (s *Source) lock(ctx context.Context) (text []byte, found bool, err error) {
	if s.Commit.Working() || s.newSpec {
		return nil, false, nil
	}
	text, err = s.Repo.ReadFileUpTo(ctx, s.Commit, lockfile.Name, lockfile.Limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return text, err == nil, err
}

// writtenInputs returns the inputs of ref that an earlier release wrote. The version names
// the commit, so they are the same.
func writtenInputs(ctx context.Context, depot store.Store, ref release.Ref, lock digest.Digest) (ocispec.Descriptor, bool) {
	desc, err := depot.Resolve(ctx, release.InputsTag(ref))
	if err != nil {
		return desc, false
	}
	in, err := release.ReadInputs(ctx, depot, desc)
	if err != nil || in.Lock.Digest != lock {
		return desc, false
	}
	missing, err := missing(ctx, depot, []ocispec.Descriptor{in.Lock, in.Source})
	return desc, err == nil && len(missing) == 0
}

// lockedBlobs reads the lock of ref's commit, and returns it with the blobs that it names.
func lockedBlobs(text []byte, ref release.Ref) (*lockfile.Lock, []ocispec.Descriptor, error) {
	lock, err := lockfile.Parse(bytes.NewReader(text), 0)
	if err != nil {
		return nil, nil, errs.Hint(fmt.Errorf("%s of %s: %w", lockfile.Name, ref, err), "mend the line, or record again into another file, and commit it")
	}
	list, err := blobsOf(lock)
	return lock, list, err
}

// blobsOf returns the blobs that l names, each once, sorted by digest.
func blobsOf(l *lockfile.Lock) ([]ocispec.Descriptor, error) {
	sizes := map[digest.Digest]int64{}
	for _, e := range l.Entries {
		if !e.Exists() {
			continue
		}
		if n, ok := sizes[e.Blob]; ok && n != e.Size {
			return nil, errs.Errorf(errs.Invalid, "%s: %s %s: blob %s of %d and of %d bytes", lockfile.Name, e.Protocol, e.Key, e.Blob, n, e.Size)
		}
		sizes[e.Blob] = e.Size
	}
	list := make([]ocispec.Descriptor, 0, len(sizes))
	for _, d := range slices.Sorted(maps.Keys(sizes)) {
		list = append(list, ocispec.Descriptor{Digest: d, Size: sizes[d]})
	}
	return list, nil
}

// packSource puts the commit that b was built from into the depot.
func (p *Operator) packSource(ctx context.Context, b *Built) (digest.Digest, int64, error) {
	p.say.Progress(progress.Event{Step: "source of", What: b.Ref.String(), Note: "pack"})
	from, to := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		to.CloseWithError(b.Source.Repo.Pack(ctx, b.Source.Commit, to))
	}()
	d, size, err := p.depot.Put(ctx, from, "", -1)
	from.CloseWithError(err) // what is still being written has no reader
	<-done
	if err != nil {
		return "", 0, err
	}
	p.say.Progress(progress.Event{Step: "source of", What: b.Ref.String(), Done: size, Total: size, End: true})
	return d, size, nil
}

// sealInputs returns the blobs of what the releases were built from, and fills s. It
// is an error when none names any.
func sealInputs(ctx context.Context, depot store.Store, releases []*release.Release, s *Sealed) ([]ocispec.Descriptor, error) {
	var list []ocispec.Descriptor
	var without []string
	for _, r := range releases {
		if r.App == release.AgentApp {
			continue
		}
		if r.Inputs == nil {
			without = append(without, r.Ref().String())
			continue
		}
		in, err := completeInputs(ctx, depot, r)
		if err != nil {
			return nil, err
		}
		list = append(list, in.All()...)
		d, err := inspect.Inputs(ctx, depotBlobs{depot}, *r.Inputs)
		if err != nil {
			return nil, err
		}
		s.Inputs = append(s.Inputs, SealedInputs{r.Ref().String(), *d})
	}
	switch {
	case len(list) == 0:
		return nil, withoutLock(strings.Join(without, ", "))
	case len(without) > 0:
		s.Warnings = append(s.Warnings, fmt.Sprintf("no inputs of %s are sealed: there is no overland.lock in its commit", strings.Join(without, ", ")))
	}
	return list, nil
}

// withoutLock returns the error for a release without inputs to seal.
func withoutLock(what string) error {
	return errs.Hint(errs.Errorf(errs.NotFound, "%s: built from a commit without overland.lock, so there are no inputs to seal", what),
		"overland record -- overland build, commit overland.lock, and release that commit")
}

// checkInputs refuses what could not be sealed with its inputs once src is
// built: before minutes go into that.
func (p *Operator) checkInputs(ctx context.Context, src *Source, apps []string) error {
	text, found, err := src.lock(ctx)
	if err != nil {
		return err
	}
	if !found {
		return withoutLock(src.App.Name)
	}
	ref := release.Ref{App: src.App.Name, Version: src.Commit.Version}
	lock, list, err := lockedBlobs(text, ref)
	if err != nil {
		return err
	}
	missing, err := missing(ctx, p.depot, list)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return withoutInputs(ref, lock, missing, len(list))
	}
	now, err := p.Signed(ctx)
	if errs.KindOf(err) == errs.NotFound {
		return nil // nothing was released yet
	}
	if err != nil {
		return err
	}
	entries, err := release.Runs(now, release.Local)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return err
	}
	for _, e := range entries { // what else the channel runs
		if e.App == src.App.Name || e.App == release.AgentApp || len(apps) > 0 && !slices.Contains(apps, e.App) {
			continue
		}
		r, err := release.Read(ctx, p.depot, e.Digest)
		if err == nil && r.Inputs != nil {
			_, err = completeInputs(ctx, p.depot, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// completeInputs returns the inputs of r, all of which must be in the depot.
func completeInputs(ctx context.Context, depot store.Store, r *release.Release) (*release.Inputs, error) {
	in, err := release.ReadInputs(ctx, depot, *r.Inputs)
	if err != nil {
		return nil, errs.Hint(fmt.Errorf("inputs of %s: %w", r.Ref(), err), "release the same commit again where its repository is: overland release --rev %.12s", r.Commit)
	}
	missing, err := missing(ctx, depot, in.All())
	if err != nil {
		return nil, fmt.Errorf("inputs of %s: %w", r.Ref(), err)
	}
	if len(missing) == 0 {
		return in, nil
	}
	lock, err := inspect.Lock(ctx, depot, in)
	if err != nil {
		lock = &lockfile.Lock{} // the lock itself is missing
	}
	return nil, withoutInputs(r.Ref(), lock, missing, len(in.Blobs))
}

// missing returns those blobs of list that are not in the depot.
func missing(ctx context.Context, depot store.Store, list []ocispec.Descriptor) ([]digest.Digest, error) {
	var missing []digest.Digest
	for _, b := range list {
		there, err := store.HasSize(ctx, depot, b.Digest, b.Size)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, b.Digest)
		}
	}
	return missing, nil
}

// withoutInputs returns the error that some of ref's inputs are missing, by the
// names that the lock has for them.
func withoutInputs(ref release.Ref, lock *lockfile.Lock, missing []digest.Digest, inputs int) error {
	names := make([]string, len(missing))
	for i, d := range missing {
		names[i] = string(d)
		if at := slices.IndexFunc(lock.Entries, func(e lockfile.Entry) bool { return e.Blob == d }); at >= 0 {
			names[i] = lock.Entries[at].Protocol + " " + lock.Entries[at].Key
		}
	}
	return errs.Hint(errs.Errorf(errs.NotFound, "%d of %d inputs of %s are not in the depot: %s", len(missing), inputs, ref, some(names)),
		"with a network, in its repository: overland record -- COMMAND fetches what is locked; or use the depot where it was recorded")
}
