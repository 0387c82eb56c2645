package builder

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"overland/internal/appfile"
	"overland/internal/confine/cell"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/source"
	"overland/internal/store"
)

// Depot is where results are stored; a store.Blobs is one.
type Depot interface {
	store.Opener
	Put(ctx context.Context, r io.Reader, want digest.Digest, size int64) (digest.Digest, int64, error)
	Stat(ctx context.Context, d digest.Digest) (int64, error)
}

// Request says what to build. Repo, Commit, App, Builders and Cache are needed; the
// zero values of the others work.
type Request struct {
	Repo   *source.Repo
	Commit source.Commit
	App    *appfile.App

	Artifacts []string            // names; empty = all of App
	Platforms []platform.Platform // empty = all that each artifact names; else those that it names and that are here

	Builders map[string]Builder   // by builder key: {"go": golang.New(golang.Options{…}), …}
	Cache    string               // the site's cache directory; records go to Cache/builds, checkouts to Cache/work
	Parallel int                  // artifacts×platforms built at once; 0 = 1
	Known    bool                 // build nothing: what is not remembered has no Digest
	Rebuild  bool                 // also build what was built before, and fail when the bytes differ
	Fresh    bool                 // with no compiler's cache of an earlier build, and inputs that are verified again
	Shared   Shared               // asked before something is built, told afterwards; nil = results are not shared
	Progress func(progress.Event) // called from one goroutine at a time; nil = not called
	Note     func(string)         // as Progress, with what a person should know though it stops nothing; nil = not called
	Still    time.Duration        // how often Progress hears that something is still made; 0 = 30 s
	FS       fsx.FS
}

// Built is one artifact for one platform, in the depot.
type Built struct {
	Name      string // the artifact's
	Platform  platform.Platform
	File      string          // file name for it: the artifact's name, or what its builder called it
	Data      bool            // it is not a program
	Image     bool            // it is the manifest of an image
	Parts     []digest.Digest // of an image: its config and layers, in the depot too
	Digest    digest.Digest
	Size      int64          // bytes
	Beside    int64          // bytes, of its Parts
	Toolchain string         // "go1.26.8"
	Cached    bool           // nothing was built
	Shared    bool           // another machine built it
	Isolation cell.Isolation // as in the Recipe
}

// Whole returns the length in bytes of b with its Parts.
func (b Built) Whole() int64 { return b.Size + b.Beside }

// Step is the part of building one artifact that is under way. A
// progress event's note begins with it.
type Step string

// The steps of one artifact for one platform: cached, or shared, or
// checkout → fetch → compile → done.
const (
	StepCached   Step = "cached"
	StepShared   Step = "shared" // another machine built it
	StepCheckout Step = "checkout"
	StepFetch    Step = "fetch"
	StepCompile  Step = "compile"
	StepDone     Step = "done"
)

// Builder is one way to make an artifact. It must be safe for concurrent use.
type Builder interface {
	// Recipe returns everything that decides the bytes of j, without doing any work
	// beyond reading files of the commit.
	Recipe(ctx context.Context, j Job) (Recipe, error)
	// Build makes j from its recipe. The checkout in src must not be changed; scratch is an empty
	// folder of its own, removed afterwards.
	Build(ctx context.Context, j Job, r Recipe, src, scratch string) (Output, error)
}

// Composer is a Builder whose artifacts are made of others of the application, for the same platform.
type Composer interface {
	Builder
	// Needs returns the names of the artifacts that a is made of.
	Needs(a appfile.Artifact) []string
}

// Job is one artifact for one platform.
type Job struct {
	Name     string
	Artifact appfile.Artifact
	Platform platform.Platform
	Commit   source.Commit
	// Owner names the caches of this application: a hash of its name and of the first commit of its
	// repository, in hex. No application may read what another one has left in a cache.
	Owner string
	// Folder names the caches that the application itself writes: the hash includes the folder of the
	// repository too, because a fork has the name and the first commit of its original.
	Folder string
	Fresh  bool // as in the Request
	// Needs are the results that a Composer asked for, by the names of their artifacts. They are in the depot.
	Needs map[string]Built
	// Left is what the checkout lacks; known to Build only. A builder that needs one of these files
	// fails with its Err.
	Left     []source.Left
	ReadFile func(ctx context.Context, path string) ([]byte, error) // a file of the commit, read once; or fs.ErrNotExist
	Progress func(step Step, detail string)
	Note     func(string) // as in the Request, never nil

	turn string // which of how many it is, for people
}

// Recipe is what decides the bytes of a Job, besides its tree and platform. Its JSON is hashed, so
// a field added later needs a new Builder name.
type Recipe struct {
	Builder   string `json:"builder"`   // name and version of the builder: "go/1"
	Toolchain string `json:"toolchain"` // "go1.26.8"
	Settings  any    `json:"settings"`  // the builder's own, with variables expanded
	// Isolation is how what decides the bytes is kept from this machine; "" = nothing of the repository runs.
	Isolation cell.Isolation `json:"isolation,omitempty"`
	// Host is the kind of this machine, when its compiler or libraries decide the bytes or whether
	// they run; nil when they do not, as for static Go programs.
	Host *platform.Host `json:"host,omitempty"`
}

// Output is what a Builder made.
type Output struct {
	File      string // path of the result, below scratch
	Data      bool   // it is not a program
	Called    string // file name for it; "" = the artifact's name
	Toolchain string // what made it; as in the Recipe
	// Image says that the result is the manifest of an image, and Parts are the blobs in the depot that it
	// names: its config and layers.
	Image bool
	Parts []digest.Digest
}

// Run builds what req asks for, or finds it built, and returns one Built for each artifact and
// platform: artifacts by name, platforms in the order of platform.All. It blocks while another
// process builds the same thing. The first failure stops the rest. Errors: Invalid for a wrong
// overland.yaml or source (with the compiler's words), Unavailable when an input cannot be reached,
// Untrusted when one is not what its checksum says, Conflict when a rebuild gives other bytes.
func Run(ctx context.Context, d Depot, req Request) ([]Built, error) {
	jobs, err := plan(req)
	if err == nil {
		err = checkNeeds(req, jobs)
	}
	if err != nil {
		return nil, err
	}
	owner, folder, err := Owner(ctx, req.Repo, req.Commit, req.App.Name)
	if err != nil {
		return nil, err
	}
	for i := range jobs {
		if len(jobs) > 1 {
			jobs[i].turn = fmt.Sprintf(" (%d of %d)", i+1, len(jobs))
		}
		jobs[i].Owner, jobs[i].Folder, jobs[i].Fresh = owner, folder, req.Fresh
	}
	r := &run{depot: d, req: req, cache: cache{dir: filepath.Join(req.Cache, "builds"), fs: req.FS}, read: map[string]file{}, noted: map[string]bool{}}
	defer r.close()
	built := make([]Built, len(jobs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, req.Parallel))
	r.begin(ctx, jobs)
	for i, j := range jobs {
		group.Go(func() (err error) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			built[i], err = r.result(j.Name, j.Platform)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return built, nil
}

// ownerDigits is how many hex digits an Owner has.
const ownerDigits = 32

// Owner returns the Owner and the Folder, as in the Job, of what the application app builds of c.
func Owner(ctx context.Context, repo *source.Repo, c source.Commit, app string) (owner, folder string, err error) {
	root, err := repo.Root(ctx, c)
	if err != nil {
		return "", "", err
	}
	owner = digest.Of([]byte(app + "\x00" + root)).Encoded()[:ownerDigits]
	return owner, digest.Of([]byte(owner + "\x00" + repo.Dir())).Encoded()[:ownerDigits], nil
}

// plan returns the jobs of req, in the order of Run.
func plan(req Request) ([]Job, error) {
	names := slices.Sorted(maps.Keys(req.App.Artifacts))
	for _, name := range req.Artifacts {
		if !slices.Contains(names, name) {
			return nil, errs.Hint(errs.Errorf(errs.NotFound, "artifact %q: %s has no such artifact", name, req.App.Name),
				"one of: %s", strings.Join(names, ", "))
		}
	}
	var jobs []Job
	for _, name := range names {
		if len(req.Artifacts) > 0 && !slices.Contains(req.Artifacts, name) {
			continue
		}
		a := req.App.Artifacts[name]
		for _, p := range platform.All() {
			wanted := len(req.Platforms) == 0 || slices.Contains(req.Platforms, p)
			if wanted && a.For(p) {
				jobs = append(jobs, Job{Name: name, Artifact: a, Platform: p, Commit: req.Commit})
			}
		}
	}
	if len(jobs) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "nothing to build: no artifact of %s is made for these platforms", req.App.Name),
			"see platforms in %s", appfile.FileName)
	}
	return jobs, nil
}

// builder returns the Builder for a, chosen by its builder key.
func builder(req Request, a appfile.Artifact) (Builder, error) {
	if b := req.Builders[a.Builder]; b != nil {
		return b, nil
	}
	return nil, errs.Errorf(errs.Invalid, "no builder for the key %q", a.Builder)
}
