package golang

import (
	"context"
	"errors"
	"io/fs"

	"overland/internal/build"
	"overland/internal/spec"
)

// Options is where and with what a Go is run. The zero value works but for Cache.
type Options struct {
	Go       string   // the machine's Go command; "" = go on the PATH
	Cache    string   // folder of the compiler's cache: the site's cache/go-build
	ModCache string   // folder of downloaded modules; "" = the caller's own GOMODCACHE
	Env      []string // the caller's environment, for its network settings; nil = os.Environ()
}

// Builder builds Go programs. It is safe for concurrent use.
type Builder struct{ o Options }

// New returns a Builder. Nothing is run before the first build.
func New(o Options) *Builder { return &Builder{o: o} }

var _ build.Builder = (*Builder)(nil)

// Recipe returns what decides the bytes of j.
func (b *Builder) Recipe(ctx context.Context, j build.Job) (build.Recipe, error) {
	return build.Recipe{}, errors.ErrUnsupported
}

// Build compiles j.
func (b *Builder) Build(ctx context.Context, j build.Job, r build.Recipe, src, scratch string) (build.Output, error) {
	return build.Output{}, errors.ErrUnsupported
}

// Propose returns an App for the Go commands found in dir, for overland init: every command is an artifact, the
// likeliest one is a service that must stay up for 10 s. NotFound with a hint when there is no command.
func Propose(dir fs.FS, name string) (*spec.App, error) { return nil, errors.ErrUnsupported }
