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

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/operator/sealing"
	"overland/internal/progress"
	"overland/internal/release"
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
	if b.Source.Commit.Tag.Name == "" { // else the source holds a tag, which the version may not name
		if old, ok := writtenInputs(ctx, p.depot, b.Ref, digest.Of(text)); ok {
			return &old, nil
		}
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
	missing, err := sealing.Missing(ctx, depot, []ocispec.Descriptor{in.Lock, in.Source})
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

// checkInputs refuses what could not be sealed with its inputs once src is
// built: before minutes go into that.
func (p *Operator) checkInputs(ctx context.Context, src *Source) error {
	text, found, err := src.lock(ctx)
	if err != nil {
		return err
	}
	if !found {
		return sealing.WithoutLock(src.App.Name)
	}
	ref := release.Ref{App: src.App.Name, Version: src.Commit.Version}
	lock, list, err := lockedBlobs(text, ref)
	if err != nil {
		return err
	}
	missing, err := sealing.Missing(ctx, p.depot, list)
	if err == nil && len(missing) > 0 {
		err = sealing.MissingInputs(ref, lock, missing, len(list))
	}
	return err
}
