package shared

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/netcache"
	"overland/internal/netcache/client"
	"overland/internal/store"
)

// ResultsOptions says what is shared and how.
type ResultsOptions struct {
	// Source returns where the commit comes from, asked once: the URL of its origin, or its folder.
	// With "@" and the commit it is what the lists of URL prefixes are compared with.
	Source   func(ctx context.Context) (string, error)
	Temp     string            // folder for downloads; made when it is missing. One result is downloaded once at a time
	Download netcache.Prefixes // never taken from the cache
	Upload   netcache.Prefixes // never uploaded
	Force    netcache.Prefixes // never built: an error when the cache does not have it
	// ReadOnly uploads nothing; WriteOnly downloads nothing.
	ReadOnly, WriteOnly bool
	// Say is called with what a person should know: an entry that is not believed, an upload that
	// failed. It is called from one goroutine at a time; nil = not called.
	Say func(string)
}

// Results shares results of builds over a network cache. It is a builder.Shared.
type Results struct {
	client *client.Client
	depot  store.Store
	o      ResultsOptions

	mu     sync.Mutex
	source string
	down   error // the cache could not be reached: it is not asked again in this run
}

var _ builder.Shared = (*Results)(nil)

// NewResults returns the Results over c, which must believe statements only (no
// SHA1), on the depot of the builds.
func NewResults(c *client.Client, depot store.Store, o ResultsOptions) *Results {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	return &Results{client: c, depot: depot, o: o}
}

// Key returns the key of a result in the cache.
func Key(w builder.Wanted) string { return "overland-build:" + w.Recipe.Encoded() }

// from returns what the lists of URL prefixes are compared with for w:
// "https://host/group/app.git@0123…".
func (r *Results) from(ctx context.Context, w builder.Wanted) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.source == "" {
		s, err := r.o.Source(ctx)
		if err != nil {
			return "", err
		}
		// It becomes public, and a URL that does not parse may hold a password.
		s = netcache.SourceURL(s)
		if u, err := url.Parse(s); !filepath.IsAbs(s) && (err != nil || u.User != nil) {
			return "", errs.Errorf(errs.Invalid, "the repository's origin is neither a URL nor a path")
		}
		r.source = s
	}
	return r.source + "@" + w.Source.Hash, nil
}

func (r *Results) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.o.Say(fmt.Sprintf(format, args...))
}

// Get copies the result that w names from the cache into the depot. An error means that it must not
// be built here: it is on the list Force, and the cache does not have it.
func (r *Results) Get(ctx context.Context, w builder.Wanted) (s builder.Sharable, found bool, err error) {
	source, err := r.from(ctx, w)
	if err != nil {
		if ctx.Err() == nil && len(r.o.Force) == 0 {
			r.say("%s is not taken from the network cache: %v", w.Name, err)
			err = nil
		}
		return s, false, err
	}
	_, forced := r.o.Force.Match(source)
	prefix, blocked := r.o.Download.Match(source)
	switch {
	case blocked || w.Source.Working():
		if blocked {
			err = errs.Errorf(errs.Denied, "%s is on the list download-from-binary-cache-url-blacklist (%s)", httpx.RedactedText(source), prefix)
		} else {
			err = errs.Errorf(errs.Denied, "a folder as it is, without a commit, is never in the cache")
		}
	default:
		if s, err = r.get(ctx, w); err == nil {
			return s, true, nil
		}
		if ctx.Err() != nil {
			return s, false, err
		}
	}
	if forced {
		return s, false, errs.Hint(fmt.Errorf("%s is never built (download-from-binary-cache-force-url-list): %w", source, err),
			"upload it from a machine of this kind, or take it off that list")
	}
	if kind := errs.KindOf(err); kind != errs.NotFound && kind != errs.Denied {
		r.complain(w, err)
	}
	return s, false, nil
}

// complain says why the cache was of no use; that it cannot be reached, only once.
func (r *Results) complain(w builder.Wanted, err error) {
	if errs.KindOf(err) != errs.Unavailable {
		r.say("%s for %s from the network cache is refused and built here: %v", w.Name, w.Platform, err)
		return
	}
	r.mu.Lock()
	first := r.down == nil
	if first {
		r.down = err
	}
	r.mu.Unlock()
	if first {
		r.say("the network cache cannot be used, so everything is built here: %v", err)
	}
}

func (r *Results) get(ctx context.Context, w builder.Wanted) (s builder.Sharable, err error) {
	r.mu.Lock()
	down := r.down
	r.mu.Unlock()
	switch {
	case down != nil:
		return s, down
	case r.o.WriteOnly:
		return s, errs.Errorf(errs.NotFound, "no key is trusted, so nothing is taken from the cache: set overland-key-list")
	}
	key := Key(w)
	list, err := r.client.Select(ctx, key, nil)
	if err != nil {
		return s, err
	}
	if len(list.Rejected) > 0 {
		r.say("%d entries for %s are not to be believed: %v", len(list.Rejected), w.Name, list.Rejected[0])
	}
	fit := list.Found
	if w.Host != nil {
		if fit, err = fitting(*w.Host, offers(*w.Host, list.Found, false)); err != nil {
			return s, err
		}
	}
	// One folder for one recipe, so that the next attempt removes what a killed process left.
	dir := filepath.Join(r.o.Temp, "result-"+w.Recipe.Encoded())
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "blob")
	got, err := r.client.Take(ctx, key, fit, path)
	if err != nil {
		return s, err
	}
	return r.keep(ctx, got.Found, path)
}

// keep stores a downloaded result in the depot.
func (r *Results) keep(ctx context.Context, f client.Found, path string) (s builder.Sharable, err error) {
	s.Toolchain = f.Text("toolchain")
	s.Data, _ = f.Fields["data"].(bool)
	if f.Statement == nil || s.Toolchain == "" || len(s.Toolchain) > maxToolchain {
		return s, errs.Errorf(errs.Untrusted, "the entry is not one of a build")
	}
	blob, err := fsx.Open(path)
	if err != nil {
		return s, err
	}
	defer blob.Close()
	s.Digest, s.Size, err = r.depot.Put(ctx, blob, f.Statement.SHA256, f.Statement.Size)
	return s, err
}

// Put uploads s with a signed entry, unless the lists or the folder's state forbid it.
func (r *Results) Put(ctx context.Context, w builder.Wanted, s builder.Sharable) {
	if r.o.ReadOnly || w.Source.Working() {
		return
	}
	source, err := r.from(ctx, w)
	if err != nil {
		r.say("%s is not shared: %v", w.Name, err)
		return
	}
	if _, blocked := r.o.Upload.Match(source); blocked {
		return
	}
	blob, err := r.depot.Open(ctx, s.Digest)
	if err == nil {
		_, err = r.client.Upload(ctx, blob, Key(w), describe(w, s, source))
		err = errors.Join(err, blob.Close())
	}
	if err != nil {
		r.say("%s for %s is built, and not shared: %v", w.Name, w.Platform, err)
	}
}
