package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/progress"
	storedir "overland/internal/store/dir"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// Options are the settings of a Pipeline; the zero value works.
type Options struct {
	FS         fsx.FS
	Clock      clock.Clock                          // nil: the machine's
	Passphrase func(keyName string) ([]byte, error) // asked for keys that have one; nil: such keys cannot be used
	Progress   func(progress.Event)                 // called from one goroutine at a time; nil: nobody looks
	Warn       func(string)                         // what a person should know though the work goes on; as Progress
	Agents     string                               // folder of agent programs; "" = "agents" beside this program
	Compiled   string                               // folder of the compilers' own caches; "" = cache/ in the site directory
	Make       bool                                 // a site directory that is missing is made
	Env        []string                             // environment that builders take network settings from; nil = os.Environ()
}

// Pipeline works in one site directory. It is safe for concurrent use.
type Pipeline struct {
	dir   string
	o     Options
	depot *storedir.Store
	keys  *keys.Dir
	made  bool
}

// ErrNoSite is wrapped by the error of Open that says that there is no site directory.
var ErrNoSite = errors.New("there is no site directory")

// Open returns the Pipeline of site directory dir. One that is missing is made with Options.Make, and is else ErrNoSite, of
// kind NotFound. Signed metadata is not made: see InitTrust.
func Open(dir string, o Options) (*Pipeline, error) {
	if o.Progress == nil {
		o.Progress = func(progress.Event) {}
	}
	_, err := os.Stat(home.Depot.In(dir))
	missing := errors.Is(err, fs.ErrNotExist)
	if missing && !o.Make {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "%w in %s", ErrNoSite, dir), "overland trust init makes one; --home DIR names another")
	}
	if err := o.FS.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open site directory %s: %w", dir, err)
	}
	depot, err := storedir.Open(home.Depot.In(dir), storedir.Options{FS: o.FS})
	if err != nil {
		return nil, fmt.Errorf("open site directory %s: %w", dir, err)
	}
	keys, err := keys.Open(home.Keys.In(dir), keys.Options{FS: o.FS, Passphrase: o.Passphrase})
	if err != nil {
		return nil, fmt.Errorf("open site directory %s: %w", dir, err)
	}
	return &Pipeline{dir: dir, o: o, depot: depot, keys: keys, made: missing}, nil
}

// New reports whether Open has made the site directory.
func (p *Pipeline) New() bool { return p.made }

// Depot returns the blobs.
func (p *Pipeline) Depot() *storedir.Store { return p.depot }

// Keys returns the key files.
func (p *Pipeline) Keys() *keys.Dir { return p.keys }

// Repository opens the signed metadata. Without any the error is of kind NotFound, with the command that makes it.
func (p *Pipeline) Repository() (*repository.Repository, error) {
	repo, err := repository.Open(p.trustDir(), p.keys, p.repositoryOptions())
	if errs.KindOf(err) == errs.NotFound {
		return nil, errs.Hint(err, "overland trust init")
	}
	return repo, err
}

// InitTrust makes the signed metadata and the keys that are missing: rootKeys (empty: one, "root") of which threshold
// must sign (0: 1). An error of kind Conflict says that it is there already.
func (p *Pipeline) InitTrust(ctx context.Context, rootKeys []string, threshold int) (*repository.Repository, error) {
	return repository.Init(ctx, p.trustDir(), p.keys, repository.InitOptions{
		Options: p.repositoryOptions(), RootKeys: rootKeys, Threshold: threshold,
	})
}

// ensureTrust opens the metadata or makes it; made says which.
func (p *Pipeline) ensureTrust(ctx context.Context) (repo *repository.Repository, made bool, err error) {
	repo, err = p.Repository()
	if errs.KindOf(err) != errs.NotFound {
		return repo, false, err
	}
	repo, err = p.InitTrust(ctx, nil, 0)
	if errs.KindOf(err) == errs.Conflict {
		// Another operator made it in the meantime.
		repo, err = p.Repository()
		return repo, false, err
	}
	return repo, true, err
}

func (p *Pipeline) trustDir() string { return home.Trust.In(p.dir) }

func (p *Pipeline) cacheDir() string { return home.Cache.In(p.dir) }

func (p *Pipeline) repositoryOptions() repository.Options {
	return repository.Options{FS: p.o.FS, Clock: p.o.Clock}
}

func (p *Pipeline) env() []string {
	if p.o.Env != nil {
		return p.o.Env
	}
	return os.Environ()
}
