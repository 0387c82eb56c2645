package holdings

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/cache"
	"overland/internal/db/sqlite"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/netcache/server"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/trust/repository"
)

// known are the claims that named asks.
var known = []string{store.ClaimLocks, store.ClaimCache, store.ClaimNetcache, store.ClaimRegistry}

// unsigned is how old the tag of a release that nobody signed must be before it names nothing: a
// release is tagged, then signed.
const unsigned = time.Hour

// Keeper is what keeps blobs in the depot.
type Keeper string

// The keepers, in the order in which they are asked: a blob is counted for the first.
const (
	KeptRelease  Keeper = "releases"
	KeptTag      Keeper = "tags"
	KeptLock     Keeper = "lock files"
	KeptCache    Keeper = "cache"
	KeptNetcache Keeper = "network cache"
	KeptRegistry Keeper = "registry"
	KeptRecent   Keeper = "recent"
)

// named is what names blobs.
type named struct {
	by    map[digest.Digest]Keeper
	stale []string // tags of releases that are not signed: removed first
	gone  []string // lock files that were noted and are not there
}

func (n *named) add(d digest.Digest, k Keeper) {
	if _, ok := n.by[d]; !ok {
		n.by[d] = k
	}
}

// named asks everybody which blobs have to stay. What cannot be read is an error: it may name
// anything. locks are further lock files.
func (h *Holdings) named(ctx context.Context, locks []string) (*named, error) {
	n := &named{by: map[digest.Digest]Keeper{}}
	if err := h.Depot.Unclaimed(known...); err != nil {
		return nil, err
	}
	now, err := h.signed(ctx)
	if err != nil {
		return nil, err
	}
	// Tags first: a release that is signed after this was tagged before.
	tags, err := h.Depot.Tags(ctx)
	if err != nil {
		return nil, err
	}
	if err := h.nameReleases(ctx, n, now, tags); err != nil {
		return nil, err
	}
	noted, err := Noted(h.Dir)
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Concat(noted, locks) {
		l, err := lockfile.Load(path)
		if errors.Is(err, fs.ErrNotExist) && !slices.Contains(locks, path) {
			n.gone = append(n.gone, path)
			continue
		}
		if err != nil {
			return nil, errs.Hint(fmt.Errorf("lock file %s: %w", path, err), "mend or restore it; or, when nobody needs it, remove its line from %s", home.Noted.In(h.Dir))
		}
		for _, e := range l.Entries {
			if e.Exists() {
				n.add(e.Blob, KeptLock)
			}
		}
	}
	err = cache.Blobs(ctx, home.Cache.In(h.Dir), func(d digest.Digest) { n.add(d, KeptCache) })
	if err != nil {
		return nil, err
	}
	if err := h.nameNetcache(ctx, n); err != nil {
		return nil, err
	}
	return n, h.nameRegistry(ctx, n)
}

// nameRegistry adds what repositories of images have.
func (h *Holdings) nameRegistry(ctx context.Context, n *named) (err error) {
	path := home.Database.In(h.Dir)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	facts, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, facts.Close()) }()
	return facts.RegistryBlobs(ctx, func(d digest.Digest) error { n.add(d, KeptRegistry); return nil })
}

func (h *Holdings) nameNetcache(ctx context.Context, n *named) error {
	dir := home.Netcache.In(h.Dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	shelf, err := server.Open(dir, h.Depot, h.FS)
	if err != nil {
		return err
	}
	return shelf.Blobs(ctx, func(_ string, d digest.Digest, _ int64) error { n.add(d, KeptNetcache); return nil })
}

// nameReleases adds what signed releases and tags reach.
func (h *Holdings) nameReleases(ctx context.Context, n *named, now *repository.State, tags []ocispec.Descriptor) error {
	signed := map[release.Ref]bool{} // and those that wait for signatures
	var roots []ocispec.Descriptor
	for ref, t := range releasesOf(now) {
		signed[ref] = true
		roots = append(roots, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: t.Digest, Size: t.Size})
	}
	staged, err := stagedRefs(now)
	if err != nil {
		return err
	}
	for _, ref := range staged {
		signed[ref] = true
	}
	var others []ocispec.Descriptor
	for _, tag := range tags {
		name := store.TagOf(tag)
		ref, of := release.TagRef(name)
		switch {
		case of && signed[ref]:
			roots = append(roots, tag)
		case of && h.older(tag.Digest, time.Now().Add(-unsigned)):
			n.stale = append(n.stale, name)
		default:
			others = append(others, tag)
		}
	}
	for _, group := range []struct {
		list []ocispec.Descriptor
		by   Keeper
	}{{roots, KeptRelease}, {others, KeptTag}} {
		marked, err := store.Marked(ctx, h.Depot, group.list)
		if err != nil {
			return err
		}
		for d := range marked {
			n.add(d, group.by)
		}
	}
	return nil
}

// older reports whether blob d was last wanted before since, or is not there.
func (h *Holdings) older(d digest.Digest, since time.Time) bool {
	at, err := h.Depot.Wanted(d)
	return errors.Is(err, store.ErrNotFound) || err == nil && !at.After(since)
}

// Noted returns the lock files whose blobs stay in the depot of site directory dir: those in its
// folder locks, and those that were noted.
func Noted(dir string) ([]string, error) {
	list, err := filepath.Glob(filepath.Join(home.Locks.In(dir), "*.lock"))
	if err != nil {
		return nil, err
	}
	b, err := fsx.ReadFile(home.Noted.In(dir), maxNoted)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		if path := strings.TrimSuffix(line, "\n"); filepath.IsAbs(path) && !slices.Contains(list, path) {
			list = append(list, path)
		}
	}
	slices.Sort(list)
	return list, nil
}

// maxNoted bounds the list of noted lock files, in bytes.
const maxNoted = 4 << 20

// Note notes, durably, that what the lock file path names stays in the depot of site directory dir
// for as long as that file is there. A path that is noted already changes nothing.
func Note(dir, path string, disk fsx.FS) error {
	return rewrite(dir, disk, func(list []string) []string {
		if strings.ContainsAny(path, "\n\x00") || slices.Contains(list, path) {
			return list
		}
		return append(list, path)
	})
}

// forget takes lock files that are gone off the list.
func (h *Holdings) forget(gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	return rewrite(h.Dir, h.FS, func(list []string) []string {
		return slices.DeleteFunc(list, func(path string) bool {
			_, err := os.Lstat(path)
			return slices.Contains(gone, path) && errors.Is(err, fs.ErrNotExist)
		})
	})
}

func rewrite(dir string, disk fsx.FS, change func([]string) []string) error {
	path := home.Noted.In(dir)
	lock, err := fsx.WaitLock(path + ".flock")
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }() // held by the open file alone
	b, err := fsx.ReadFile(path, maxNoted)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old := slices.DeleteFunc(strings.Split(string(b), "\n"), func(line string) bool { return line == "" })
	list := change(slices.Clone(old))
	if slices.Equal(old, list) {
		return nil
	}
	return disk.WriteFile(path, []byte(strings.Join(list, "\n")+"\n"), 0o600)
}

// Keepers returns what may keep blobs, in the order in which it is counted.
func Keepers() []Keeper {
	return []Keeper{KeptRelease, KeptTag, KeptLock, KeptCache, KeptNetcache, KeptRegistry, KeptRecent}
}
