package command

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"overland/internal/builder"
	"overland/internal/confine/cell"
	"overland/internal/digest"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/platform/sysinfo"
	"overland/internal/session"
	"overland/internal/store"
)

// Name is this builder and the version of how it builds. Whatever changes
// the bytes of a result changes it.
const Name = "command/2"

// toolchain is what a result of this builder says that it was made with.
const toolchain = "command"

// Options says where and with what commands run.
type Options struct {
	Store     store.Opener   // holds the inputs
	Sessions  string         // folder for what sessions need
	Caches    string         // folder of what commands may leave for the next build of the same repository: a Go compiler's cache
	Env       []string       // the caller's environment: its PATH, and the session that it is in; nil = environ.Child()
	MaxOutput int64          // bytes; 0 = 4 GiB
	MaxLog    int64          // bytes that a command may print; 0 = 1 GiB
	Isolation cell.Isolation // "" = cell.Full
}

// Builder runs commands. It is safe for concurrent use.
type Builder struct {
	o    Options
	kind string // of the session around; "" = none
	held bool   // that session is in a cell already, and all that it starts with it
}

// New returns a Builder.
func New(o Options) *Builder {
	if o.Env == nil {
		o.Env = environ.Child()
	}
	o.MaxOutput = cmp.Or(o.MaxOutput, 4<<30)
	o.MaxLog = cmp.Or(o.MaxLog, 1<<30)
	o.Isolation = cmp.Or(o.Isolation, cell.Full)
	b := &Builder{o: o, kind: session.Kind(o.Env), held: session.Confined(o.Env)}
	if b.held {
		b.o.Isolation = cell.Full
	}
	return b
}

// Confines returns what confines the commands that b runs, and which kind of session they are in; "" = none.
func (b *Builder) Confines() (i cell.Isolation, session string) { return b.o.Isolation, b.kind }

var _ builder.Builder = (*Builder)(nil)

// settings is the part of a recipe that is this builder's own.
type settings struct {
	Run     []string      `json:"run"`
	Output  string        `json:"output"`
	Lock    digest.Digest `json:"lock,omitempty"`    // of overland.lock in the commit
	Session string        `json:"session,omitempty"` // its inputs may differ from Lock's, so the result is not for other machines
	Version string        `json:"version"`           // OVERLAND_VERSION
	Time    int64         `json:"time"`              // SOURCE_DATE_EPOCH
}

// Recipe returns what decides the bytes of j. Without a session around, a commit
// that holds no lock is Invalid.
func (b *Builder) Recipe(ctx context.Context, j builder.Job) (builder.Recipe, error) {
	c, ok := j.Artifact.Settings.(*Command)
	if !ok {
		return builder.Recipe{}, errs.Errorf(errs.Invalid, "artifact %s has no key command", j.Name)
	}
	s := settings{
		Run: slices.Clone(c.Run), Output: c.Output, Session: b.kind, Version: j.Commit.Version, Time: j.Commit.Time.Unix(),
	}
	var err error
	switch s.Lock, err = j.LockDigest(ctx); {
	case err != nil:
		return builder.Recipe{}, err
	case s.Lock == "" && b.kind == "":
		return builder.Recipe{}, errs.Hint(errs.Errorf(errs.Invalid, "%s holds no %s, so nothing says what the command may fetch",
			j.Commit.Version, lockfile.Name), "overland record -- overland build, then commit %s", lockfile.Name)
	}
	// The command uses this machine's compilers and libraries.
	h, err := sysinfo.Read("")
	if err != nil {
		return builder.Recipe{}, err
	}
	return builder.Recipe{Builder: Name, Toolchain: toolchain, Settings: s, Isolation: b.o.Isolation, Host: &h}, nil
}

// Build runs the command of j in a copy of src. A command that fails, or leaves no usable
// file, is an Invalid error with its last lines; one that asked for something the lock or the
// depot does not have is Unavailable.
func (b *Builder) Build(ctx context.Context, j builder.Job, r builder.Recipe, src, scratch string) (builder.Output, error) {
	s, ok := r.Settings.(settings)
	if !ok {
		return builder.Output{}, fmt.Errorf("recipe of another builder: %s", r.Builder)
	}
	cache := filepath.Join(b.o.Caches, j.Folder, "go-build")
	if b.o.Isolation == cell.None {
		cache += "-none" // another user's, and not to be believed by those who are confined
	}
	if j.Fresh {
		cache = filepath.Join(scratch, "go-build")
	}
	t := Task{
		Name: filepath.Join(j.Commit.Tree, s.Version, j.Name, string(j.Platform)), // builder holds a flock
		Run:  s.Run, Src: src, Left: j.Left, Time: j.Commit.Time, Scratch: scratch, Cache: cache,
		Environ: environOf(j, s), Limits: limits(j), Lock: j.Lock, Verb: "overland build", More: more,
	}
	j.Progress(builder.StepCompile, t.what())
	w, err := b.do(ctx, t)
	if err != nil {
		return builder.Output{}, err
	}
	file, data, err := w.output(s.Output, b.o.MaxOutput)
	if err == nil && !data {
		err = forPlatform(file, s.Output, j.Platform)
	}
	if err != nil {
		return builder.Output{}, t.failed(err, w)
	}
	return builder.Output{File: file, Data: data, Toolchain: toolchain}, nil
}
