package rootfs

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"overland/internal/builder"
	"overland/internal/digest"
	"overland/internal/ecosystem/apt"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/session"
	"overland/internal/store"
)

// Name is this builder and the version of how it builds. Whatever changes the bytes of a result
// changes it.
const Name = "rootfs/3"

// toolchain is what a result of this builder says that it was made with.
const toolchain = "rootfs"

// Options says where packages come from.
type Options struct {
	Store  store.Opener   // holds the inputs
	Env    []string       // the session that this process is in; nil = environ.Child()
	Client *origin.Client // asks the archives in a recording; nil = one that heeds the proxy of this process
	Etc    string         // apt's configuration; "" = /etc/apt
	Apk    string         // apk's repositories and keys; "" = /etc/apk
}

// Builder makes root file systems. It is safe for concurrent use.
type Builder struct {
	o       Options
	kind    string        // of the session around
	readers chan struct{} // room for the packages, of all root file systems, that are read at once
}

// New returns a Builder.
func New(o Options) *Builder {
	if o.Env == nil {
		o.Env = environ.Child()
	}
	if o.Client == nil {
		o.Client = &origin.Client{}
	}
	if o.Etc == "" {
		o.Etc = "/etc/apt"
	}
	const most = 4 // each takes up to 11 MiB for xz
	return &Builder{o: o, kind: session.Kind(o.Env), readers: make(chan struct{}, min(runtime.GOMAXPROCS(0), most))}
}

var _ builder.Builder = (*Builder)(nil)

// settings is the part of a recipe that is this builder's own.
type settings struct {
	Root         Root          `json:"root"`
	Architecture string        `json:"architecture"`
	Lock         digest.Digest `json:"lock,omitempty"`    // of overland.lock in the commit
	Session      string        `json:"session,omitempty"` // its inputs may differ from Lock's
}

// Recipe returns what decides the bytes of j. Outside of a recording, a commit that holds no lock is
// Invalid.
func (b *Builder) Recipe(ctx context.Context, j builder.Job) (builder.Recipe, error) {
	root, ok := j.Artifact.Settings.(*Root)
	if !ok {
		return builder.Recipe{}, errs.Errorf(errs.Invalid, "artifact %s has no key rootfs", j.Name)
	}
	arch, err := root.architecture(j.Platform)
	if err == nil {
		err = root.check()
	}
	if err != nil {
		return builder.Recipe{}, err
	}
	s := settings{Root: *root, Architecture: arch}
	if b.kind == session.Recording {
		s.Session = b.kind
	}
	switch s.Lock, err = j.LockDigest(ctx); {
	case err != nil:
		return builder.Recipe{}, err
	case s.Lock == "" && s.Session == "":
		return builder.Recipe{}, noLock(j)
	}
	return builder.Recipe{Builder: Name, Toolchain: toolchain, Settings: s}, nil
}

func noLock(j builder.Job) error {
	return errs.Hint(errs.Errorf(errs.Invalid, "%s holds no %s, so nothing says which packages %s is made of", j.Commit.Version, lockfile.Name, j.Name),
		"overland record -- overland build, then commit %s", lockfile.Name)
}

// Build makes the root file system of j below scratch. A set that does not go together, or a package whose script is
// not known, is errs.Invalid; one that is not what lock or index says is errs.Untrusted.
func (b *Builder) Build(ctx context.Context, j builder.Job, r builder.Recipe, _, scratch string) (builder.Output, error) {
	s, ok := r.Settings.(settings)
	if !ok {
		return builder.Output{}, fmt.Errorf("recipe of another builder: %s", r.Builder)
	}
	file := filepath.Join(scratch, j.Name+".tar")
	made := b.debian
	if s.Root.alpine() {
		made = b.alpine
	}
	if err := made(ctx, j, s, file, scratch); err != nil {
		return builder.Output{}, err
	}
	return builder.Output{File: file, Data: true, Toolchain: toolchain}, nil
}

// debian writes the root file system of Debian's packages that s asks for to file.
func (b *Builder) debian(ctx context.Context, j builder.Job, s settings, file, scratch string) error {
	all, err := b.candidates(ctx, j, s, scratch)
	if err != nil {
		return err
	}
	list, missed, err := choose(&s.Root, s.Architecture, all)
	if err != nil {
		return s.again(err)
	}
	for _, c := range missed {
		cut(j, c.Package, c.Depends)
	}
	j.Progress(builder.StepCompile, fmt.Sprintf("%d packages", len(list)))
	return b.assemble(ctx, &s.Root, list, file, scratch)
}

// again returns err, and without a recording how to get a lock that has what is missing.
func (s *settings) again(err error) error {
	if s.Session != "" {
		return err
	}
	return errs.Hint(fmt.Errorf("%s: %w", lockfile.Name, err), "with a network: overland record -- overland build, then commit %s", lockfile.Name)
}

// cut tells the person that a dependency was not followed.
func cut(j builder.Job, name, depends string) {
	j.Note(fmt.Sprintf("%s: %s is left without %s, which only its scripts need", j.Name, name, depends))
}

// candidates returns what may be chosen from.
func (b *Builder) candidates(ctx context.Context, j builder.Job, s settings, scratch string) ([]*candidate, error) {
	if s.Session != "" {
		sources, err := apt.ReadSources(b.o.Etc)
		if err != nil {
			return nil, err
		}
		l := live{client: b.o.Client, sources: sources, etc: b.o.Etc, dir: scratch}
		return l.fetch(ctx, &s.Root, s.Architecture, func(what string) { j.Progress(builder.StepFetch, what) })
	}
	l, err := j.Lock(ctx)
	if err != nil {
		return nil, err
	}
	return locked(ctx, l, b.o.Store, &s.Root, s.Architecture)
}

// assemble writes the root file system of the packages in list to file.
func (b *Builder) assemble(ctx context.Context, root *Root, list []*candidate, file, scratch string) error {
	t, err := newTree(scratch, merged, root.data())
	if err != nil {
		return err
	}
	defer t.close()
	done, err := b.unpack(ctx, t, list, scratch)
	defer done()
	if err != nil {
		return err
	}
	if err := install(ctx, t, root, list); err != nil {
		return err
	}
	return t.save(file)
}

// save writes the tree, which is whole, to file.
func (t *tree) save(file string) error {
	if err := t.complete(); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, bufferSize) // for heads and small files
	if err := cmp.Or(t.writeTo(w), w.Flush()); err != nil {
		return fsx.Full(err)
	}
	return f.Close()
}
