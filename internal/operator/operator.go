package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/operator/holdings"
	"overland/internal/progress"
	"overland/internal/release"
	storedir "overland/internal/store/dir"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// Options are the settings of an Operator; the zero value works.
type Options struct {
	FS       fsx.FS
	Clock    clock.Clock                     // nil: the machine's
	Agents   string                          // folder of agent programs; "" = "agents" beside this program
	Compiled string                          // folder of the compilers' own caches; "" = cache/ in the site directory
	Version  string                          // of this program, for provenance; "" = "devel"
	Make     bool                            // a site directory that is missing is made
	RootKeys string                          // folder of the private halves of root keys; "" = keys/root in the site directory
	Isolated func() (required bool, _ error) // whether a release needs isolated builds; nil = it does not
	Env      []string                        // environment that builders take network settings from; nil = environ.Child()
}

// Callbacks reach the person, or the job, that one call is made for. The zero value reaches nobody.
type Callbacks struct {
	keys.Asks                      // asked for the passphrases of keys
	Progress  func(progress.Event) // called from one goroutine at a time; nil: not shown
	Warn      func(string)         // told of problems that do not stop the work; as Progress
}

// Operator works in one site directory, whose depot, keys and signed metadata it opens once. It is
// safe for concurrent use; With gives each call its own Callbacks.
type Operator struct {
	dir  string
	o    Options
	say  Callbacks
	keys *keys.Dir
	*opened
}

// opened is what all calls share.
type opened struct {
	depot *storedir.Store
	files repository.Files
	made  bool

	mu   sync.Mutex
	repo *repository.Repository // nil until it is asked for and there
}

// ErrNoSite is wrapped by the error of Open that says that there is no site directory.
var ErrNoSite = errors.New("there is no site directory")

// Open returns the Operator of site directory dir. One that is missing is made with Options.Make;
// else the error wraps ErrNoSite, of kind NotFound. Signed metadata is not made: see InitTrust.
func Open(dir string, o Options) (*Operator, error) {
	_, err := os.Stat(home.Depot.In(dir))
	missing := errors.Is(err, fs.ErrNotExist)
	if missing && !o.Make {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "%w in %s", ErrNoSite, dir), "overland trust init makes one; --home DIR names another")
	}
	if missing {
		if err := home.Make(o.FS, dir); err != nil {
			return nil, fmt.Errorf("open site directory %s: %w", dir, err)
		}
	}
	depot, err := storedir.Open(home.Depot.In(dir), storedir.Options{FS: o.FS})
	if err != nil {
		return nil, fmt.Errorf("open site directory %s: %w", dir, err)
	}
	k, err := keys.Open(home.Keys.In(dir), keys.Options{FS: o.FS, Root: cmp.Or(o.RootKeys, home.RootKeys.In(dir))})
	if err != nil {
		return nil, fmt.Errorf("open site directory %s: %w", dir, err)
	}
	shared := &opened{depot: depot, files: repository.Dir(home.Trust.In(dir), o.FS), made: missing}
	return (&Operator{dir: dir, o: o, keys: k, opened: shared}).With(Callbacks{}), nil
}

// With returns p for one call, or the calls of one job: it asks, shows and warns through c. What is
// opened is shared, the keys that a passphrase has unlocked are not.
func (p *Operator) With(c Callbacks) *Operator {
	if c.Progress == nil {
		c.Progress = func(progress.Event) {}
	}
	if c.Warn == nil {
		c.Warn = func(string) {}
	}
	out := *p
	out.say, out.keys = c, p.keys.Asking(c.Asks)
	return &out
}

// New reports whether Open has made the site directory.
func (p *Operator) New() bool { return p.made }

// Depot returns the blobs.
func (p *Operator) Depot() *storedir.Store { return p.depot }

// Keys returns the key files.
func (p *Operator) Keys() *keys.Dir { return p.keys }

// Repository returns the signed metadata, to be signed with p's keys. Without any the error is of
// kind NotFound, with the command that makes it.
func (p *Operator) Repository(ctx context.Context) (*repository.Repository, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.repo == nil {
		repo, err := repository.Open(ctx, p.files, p.keys, repository.Options{Clock: p.o.Clock})
		if err != nil {
			return nil, err
		}
		p.repo = repo
	}
	return p.repo.With(p.keys), nil
}

// Signed returns what the signed metadata says now. Errors are those of Repository.
func (p *Operator) Signed(ctx context.Context) (*repository.State, error) {
	repo, err := p.Repository(ctx)
	if err != nil {
		return nil, err
	}
	return repo.Read(ctx)
}

// find returns the digest of the release ref, which the site has signed, and what is signed now.
func (p *Operator) find(ctx context.Context, ref release.Ref) (*repository.State, digest.Digest, error) {
	now, err := p.Signed(ctx)
	if err != nil {
		return nil, "", err
	}
	file, err := release.Find(now, ref)
	if err != nil {
		return nil, "", err
	}
	return now, file.Digest, nil
}

// Holdings returns the site directory as what it keeps, and for whom.
func (p *Operator) Holdings(ctx context.Context) (*holdings.Holdings, error) {
	h := &holdings.Holdings{Dir: p.dir, Depot: p.depot, FS: p.o.FS, Progress: p.say.Progress}
	repo, err := p.Repository(ctx)
	if errs.KindOf(err) == errs.NotFound {
		return h, nil // nothing is signed yet
	}
	h.Repo = repo
	return h, err
}

// InitTrust makes the signed metadata and the keys that are missing: rootKeys (empty: one, "root")
// of which threshold must sign (0: 1). An error of kind Conflict says that it is there already.
func (p *Operator) InitTrust(ctx context.Context, rootKeys []string, threshold int) (*repository.State, error) {
	if _, err := p.Repository(ctx); errs.KindOf(err) == errs.NotFound {
		for _, name := range rootKeys {
			if _, err := p.keys.NewRoot(name, nil); err != nil && errs.KindOf(err) != errs.Conflict {
				return nil, err
			}
		}
	}
	repo, err := repository.Init(ctx, p.files, p.keys, repository.InitOptions{
		Options: repository.Options{Clock: p.o.Clock}, RootKeys: rootKeys, Threshold: threshold,
	})
	if err != nil {
		return nil, err
	}
	return repo.Read(ctx)
}

// ensureTrust opens the metadata or makes it; made reports which.
func (p *Operator) ensureTrust(ctx context.Context) (repo *repository.Repository, made bool, err error) {
	repo, err = p.Repository(ctx)
	if errs.KindOf(err) != errs.NotFound {
		return repo, false, err
	}
	_, err = p.InitTrust(ctx, nil, 0)
	if err != nil && errs.KindOf(err) != errs.Conflict { // another operator may have made it in the meantime
		return nil, false, err
	}
	made = err == nil
	repo, err = p.Repository(ctx)
	return repo, made, err
}

func (p *Operator) cacheDir() string { return home.Cache.In(p.dir) }

func (p *Operator) env() []string {
	if p.o.Env != nil {
		return p.o.Env
	}
	return environ.Child()
}
