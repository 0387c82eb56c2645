package builder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/progress"
	"overland/internal/source"
)

// run is one call of Run: what its jobs share.
type run struct {
	depot Depot
	req   Request
	cache cache

	reading sync.Mutex
	read    map[string]file

	working sync.Mutex
	work    *Workplace
	src     string
	left    []source.Left // what src lacks

	telling sync.Mutex
	noted   map[string]bool

	results map[target]func() (Built, error)
}

// file is one file of the commit, read once.
type file struct {
	b   []byte
	err error
}

func (r *run) one(ctx context.Context, j Job) (Built, error) {
	fail := func(err error) (Built, error) {
		return Built{}, fmt.Errorf("build %s for %s: %w", j.Name, j.Platform, err)
	}
	var under Step // what is under way; guarded by r.telling
	say := func(detail string, ended bool) {
		if r.req.Progress != nil {
			r.req.Progress(progress.Event{
				Step: "build", What: fmt.Sprintf("%s for %s", j.Name, j.Platform), Note: strings.TrimSpace(string(under)+" "+detail) + j.turn, End: ended,
			})
		}
	}
	tell := func(step Step, detail string, ended bool) {
		r.telling.Lock()
		defer r.telling.Unlock()
		under = step
		say(detail, ended)
	}
	j.ReadFile, j.Note = r.readFile, r.note
	j.Progress = func(step Step, detail string) { tell(step, detail, false) }

	b, err := builder(r.req, j.Artifact)
	if err != nil {
		return fail(err)
	}
	if j.Needs, err = r.needs(b, j); err != nil {
		return Built{}, err // it names what failed
	}
	for _, need := range j.Needs {
		if need.Digest == "" { // as is what is made of it
			return Built{Name: j.Name, Platform: j.Platform}, nil
		}
	}
	recipe, err := b.Recipe(ctx, j)
	if err != nil {
		return fail(err)
	}
	in := inputs{Version: recordVersion, Owner: j.Owner, Tree: r.req.Commit.Tree, Platform: j.Platform, Recipe: recipe}
	key, err := in.key()
	if err != nil {
		return fail(err)
	}
	cached := func() (Built, bool) {
		rec, ok := r.cache.get(key, r.size(ctx))
		if !ok || r.req.Rebuild {
			return Built{}, false
		}
		tell(StepCached, rec.Toolchain, true)
		return rec.built(j, true), true
	}
	if got, ok := cached(); ok {
		return got, nil
	}
	if r.req.Known {
		return Built{Name: j.Name, Platform: j.Platform}, nil
	}
	lock, err := r.cache.lock(ctx, key)
	if err != nil {
		return fail(err)
	}
	defer lock.Unlock()
	if got, ok := cached(); ok { // another process made it while this one waited
		return got, nil
	}
	step := StepShared
	rec, found, err := r.shared(ctx, j, in)
	if err == nil && !found {
		step = StepDone
		stop := r.still(func(took time.Duration) {
			r.telling.Lock() // the step must not change in between
			defer r.telling.Unlock()
			say(fmt.Sprintf("since %s", progress.Duration(took)), false)
		})
		rec, err = r.make(ctx, b, j, recipe)
		stop()
	}
	if err != nil {
		return fail(err)
	}
	if before, ok := r.cache.get(key, nil); r.req.Rebuild && ok && before.Digest != rec.Digest {
		return fail(errs.Hint(errs.Errorf(errs.Conflict, "not reproducible: built before %s, now %s: %s", before.Digest, rec.Digest,
			Difference(ctx, Side{r.depot, before.Digest, before.Image}, Side{r.depot, rec.Digest, rec.Image})),
			"look for times, paths, random numbers, the order of files, and a cache that was changed; both are in the depot, for diffoscope"))
	}
	rec.Inputs = in
	if err := r.cache.put(key, rec); err != nil {
		return fail(err)
	}
	if !found {
		r.share(ctx, j, rec)
	}
	tell(step, rec.Toolchain, true)
	made := rec.built(j, found)
	made.Shared = found
	return made, nil
}

// still calls say now and then, with the time since, until stop is called.
func (r *run) still(say func(time.Duration)) (stop func()) {
	const usual = 30 * time.Second
	begun, done, over := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		t := time.NewTicker(cmp.Or(r.req.Still, usual))
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				say(time.Since(begun))
			}
		}
	}()
	return func() { close(done); <-over }
}

// make builds j and puts the result into the depot.
func (r *run) make(ctx context.Context, b Builder, j Job, recipe Recipe) (record, error) {
	src, scratch, err := r.checkout(ctx, j)
	if err != nil {
		return record{}, err
	}
	defer func() { _ = fsx.RemoveTree(scratch) }()
	j.Left = r.left
	out, err := b.Build(ctx, j, recipe, src, scratch)
	if err != nil {
		return record{}, err
	}
	f, err := fsx.OpenUnlinked(out.File)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	d, size, err := r.depot.Put(ctx, f, "", -1)
	if err != nil {
		return record{}, fmt.Errorf("store the result: %w", err)
	}
	rec := record{Digest: d, Size: size, Toolchain: out.Toolchain, Data: out.Data, Called: out.Called, Image: out.Image, Parts: out.Parts}
	return rec, rec.weigh(r.size(ctx))
}

// size returns how the sizes of blobs in the depot are asked for.
func (r *run) size(ctx context.Context) func(digest.Digest) (int64, error) {
	return func(d digest.Digest) (int64, error) { return r.depot.Stat(ctx, d) }
}

func (r *run) readFile(ctx context.Context, path string) ([]byte, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	got, ok := r.read[path]
	if !ok {
		got.b, got.err = r.req.Repo.ReadFile(ctx, r.req.Commit, path)
		if got.err == nil || errors.Is(got.err, fs.ErrNotExist) {
			r.read[path] = got
		}
	}
	return got.b, got.err
}

// checkout returns the folder with the commit's files, which all jobs share,
// and an empty one for this job.
func (r *run) checkout(ctx context.Context, j Job) (src, scratch string, err error) {
	r.working.Lock()
	defer r.working.Unlock()
	if r.work == nil {
		if r.work, err = NewWorkplace(filepath.Join(r.req.Cache, "work"), r.req.FS); err != nil {
			return "", "", err
		}
	}
	if r.src == "" {
		j.Progress(StepCheckout, r.req.Commit.Version)
		dir := filepath.Join(r.work.dir, "src")
		if err := fsx.RemoveTree(dir); err != nil { // left by a checkout that failed
			return "", "", err
		}
		if r.left, err = r.req.Repo.Checkout(ctx, r.req.Commit, dir); err != nil {
			return "", "", err
		}
		r.src = dir
		r.noteLeft()
	}
	scratch, err = os.MkdirTemp(r.work.dir, "job-")
	return r.src, scratch, err
}

// noteLeft tells what the checkout lacks, in one line. A builder that needs some of it fails.
func (r *run) noteLeft() {
	if len(r.left) == 0 {
		return
	}
	list := make([]string, len(r.left))
	for i, l := range r.left {
		list[i] = l.String()
	}
	r.note(fmt.Sprintf("left out of the build: %s (%d in all)", progress.Some(list), len(list)))
}

// note tells text, once in a run: the jobs of all platforms may find the same.
func (r *run) note(text string) {
	r.telling.Lock()
	defer r.telling.Unlock()
	if r.req.Note == nil || r.noted[text] {
		return
	}
	r.noted[text] = true
	r.req.Note(text)
}

func (r *run) close() {
	if r.work != nil {
		r.work.Close()
	}
}

// Workplace is a folder for one call of Run, or one of a pipeline. Its flock says that its owner is alive: the next one
// removes what a killed build left behind.
type Workplace struct {
	dir  string
	lock *fsx.Lock
}

// NewWorkplace makes a folder in parent, and removes those whose owners are dead.
func NewWorkplace(parent string, disk fsx.FS) (*Workplace, error) {
	if err := disk.Mkdir(parent, 0o755); err != nil {
		return nil, err
	}
	// One at a time: a folder that is not locked yet looks to a sweep like one whose owner is dead.
	door, err := fsx.WaitLock(filepath.Join(parent, "lock"))
	if err != nil {
		return nil, err
	}
	defer door.Unlock()
	sweep(parent)
	dir, err := os.MkdirTemp(parent, "build-")
	if err != nil {
		return nil, err
	}
	lock, err := fsx.TryLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Workplace{dir: dir, lock: lock}, nil
}

func sweep(parent string) {
	old, _ := filepath.Glob(filepath.Join(parent, "build-*"))
	for _, dir := range old {
		if lock, err := fsx.TryLock(filepath.Join(dir, "lock")); err == nil {
			_ = fsx.RemoveTree(dir) // leftovers cost space, not correctness
			_ = lock.Unlock()
		}
	}
}

// Dir returns the folder.
func (w *Workplace) Dir() string { return w.dir }

// Close removes it.
func (w *Workplace) Close() {
	_ = fsx.RemoveTree(w.dir)
	_ = w.lock.Unlock()
}
