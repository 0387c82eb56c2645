package golang

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"overland/internal/builder"
	"overland/internal/confine/cell"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/session"
)

// Name is this builder and the version of how it builds. Whatever changes
// the bytes of a result changes it.
const Name = "go/1"

// Options says where and with what Go runs. All but Cache may be zero.
type Options struct {
	Go       string   // the machine's Go command; "" = go on the PATH
	Cache    string   // folder of the compilers' caches, one for each application: the site's cache/go-build
	ModCache string   // folder of downloaded modules; "" = the caller's own GOMODCACHE
	Env      []string // the caller's environment, for its network settings; nil = environ.Child()
	// Isolation is how the compiler is kept from this machine: it reads what strangers wrote. "" = cell.Full.
	Isolation cell.Isolation
}

// Builder builds Go programs. It is safe for concurrent use.
type Builder struct {
	o    Options
	held bool // this process is in a cell already, and all that it starts with it

	mu         sync.Mutex
	host       *host
	toolchains map[string]string // version → GOROOT, of toolchains that this Builder fetched
}

// New returns a Builder. Nothing is run before the first build.
func New(o Options) *Builder {
	if o.Env == nil {
		o.Env = environ.Child()
	}
	o.Isolation = cmp.Or(o.Isolation, cell.Full)
	b := &Builder{o: o, held: session.Confined(o.Env), toolchains: map[string]string{}}
	if b.held {
		b.o.Isolation = cell.Full
	}
	return b
}

var _ builder.Builder = (*Builder)(nil)

// settings is the part of a recipe that is Go's own.
type settings struct {
	Package   string   `json:"package"`
	Dir       string   `json:"dir"`
	Tags      []string `json:"tags,omitempty"`
	Vars      []string `json:"vars,omitempty"`      // "importpath.Name=value", sorted, variables expanded
	Workspace string   `json:"workspace,omitempty"` // path of the go.work that holds the module
}

// Recipe returns what decides the bytes of j. It runs the machine's Go only for a
// module that names no version of Go.
func (b *Builder) Recipe(ctx context.Context, j builder.Job) (builder.Recipe, error) {
	g, ok := j.Artifact.Settings.(*Program)
	if !ok {
		return builder.Recipe{}, errs.Errorf(errs.Invalid, "artifact %s has no key go", j.Name)
	}
	s := settings{Package: g.Package, Dir: g.Dir, Tags: slices.Clone(g.Tags)}
	s.Dir = cmp.Or(s.Dir, ".")
	if s.Dir = path.Clean(s.Dir); !localPath(s.Dir) || (s.Package != "." && !strings.HasPrefix(s.Package, "./")) || !localPath(s.Package) {
		return builder.Recipe{}, errs.Hint(errs.Errorf(errs.Invalid, "go: %q in %q is not a folder of the repository", g.Package, s.Dir),
			"write it like ./cmd/server")
	}
	for name, value := range g.Vars {
		value, err := j.Expand(value, nil)
		if err != nil {
			return builder.Recipe{}, errs.Hint(fmt.Errorf("vars: %s: %w", name, err), "known: {{.%s}}", strings.Join(builder.Variables(), "}}, {{."))
		}
		s.Vars = append(s.Vars, name+"="+value)
	}
	slices.Sort(s.Vars)
	toolchain, workspace, err := b.wanted(ctx, j, g, s.Dir)
	if err != nil {
		return builder.Recipe{}, err
	}
	s.Workspace = workspace
	if err := checkPaths(ctx, j, s); err != nil {
		return builder.Recipe{}, err
	}
	return builder.Recipe{Builder: Name, Toolchain: toolchain, Settings: s, Isolation: b.o.Isolation}, nil
}

// localPath reports whether p, slash-separated, stays inside the folder
// it is in and names one package.
func localPath(p string) bool {
	return p != "" && !path.IsAbs(p) && !strings.Contains(p, "...") && !strings.ContainsAny(p, "\\\x00\n@") &&
		!slices.Contains(strings.Split(p, "/"), "..")
}

// Build compiles j. A source that does not compile is an Invalid error with the compiler's first
// lines: the commit is the caller's input, and no other machine would do better.
func (b *Builder) Build(ctx context.Context, j builder.Job, r builder.Recipe, src, scratch string) (builder.Output, error) {
	s, ok := r.Settings.(settings)
	if !ok {
		return builder.Output{}, fmt.Errorf("recipe of another builder: %s", r.Builder)
	}
	h, err := b.machine(ctx)
	if err != nil {
		return builder.Output{}, err
	}
	root, err := b.toolchain(ctx, h, r.Toolchain, scratch, j.Progress)
	if err != nil {
		return builder.Output{}, err
	}
	c := compile{host: h, root: root, release: r.Toolchain, job: j, settings: s, src: src, scratch: scratch, confined: b.o.Isolation == cell.Full && !b.held}
	caches := filepath.Join(b.o.Cache, j.Owner)
	if j.Fresh {
		caches = filepath.Join(scratch, "caches")
	}
	c.cache = filepath.Join(caches, "compiled")
	if b.o.Isolation == cell.None {
		c.cache += "-none"
	}
	if err := c.prepare(); err != nil {
		return builder.Output{}, err
	}
	j.Progress(builder.StepFetch, "modules")
	std, err := c.fetch(ctx)
	if err != nil {
		return builder.Output{}, err
	}
	j.Progress(builder.StepCompile, r.Toolchain)
	if err := c.seed(ctx, b.o.Cache, std); err != nil {
		return builder.Output{}, err
	}
	file, err := c.build(ctx)
	if err != nil {
		return builder.Output{}, err
	}
	return builder.Output{File: file, Toolchain: r.Toolchain}, nil
}
