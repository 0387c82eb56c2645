package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store"
)

// View is the cache as of a freeze. What it gave once it gives for as long as the freeze is there, and eviction keeps it.
type View struct {
	k    *Cache
	name string
}

// View returns the cache as of the freeze name, which need not be there yet.
func (k *Cache) View(name string) *View { return &View{k, name} }

// Get implements record.Getter. Of what can change it gives the version that the cache had at the freeze's moment. What
// the cache did not have then is taken from upstream when first asked for, provided that the freeze was made for the
// moment of its making, and that it fits what is frozen already; else it is errs.NotFound.
func (w *View) Get(ctx context.Context, p record.Protocol, it record.Item) (lockfile.Entry, store.Blob, error) {
	f, err := w.k.freeze(ctx, w.name)
	if err != nil {
		return lockfile.Entry{}, nil, err
	}
	seen := sight{w.name, w.lookup(f, it.Protocol)}
	if it, err = seen.resolve(ctx, p, it); err != nil {
		return lockfile.Entry{}, nil, err
	}
	if it.Mutable {
		v, ok, err := w.k.index.frozen(ctx, f, id{it.Protocol, it.Key})
		if err != nil {
			return lockfile.Entry{}, nil, err
		}
		if ok {
			return w.frozen(ctx, f, v)
		}
		if w.k.Emptied(f) {
			return lockfile.Entry{}, nil, errs.Errorf(errs.NotFound, "%s %s: freeze %s: the cache was removed after the freeze was made, "+
				"and with it what the freeze held", it.Protocol, it.Key, f.Name)
		}
		if f.At.Before(f.Made) {
			return lockfile.Entry{}, nil, errs.Errorf(errs.NotFound, "%s %s: freeze %s: nothing was known of it at %s",
				it.Protocol, it.Key, f.Name, f.At.UTC().Format(time.RFC3339))
		}
	}
	if it.Mutable {
		seen = sight{have: w.k.lookup(it.Protocol)} // it becomes the newest for all, and is judged as that first
	}
	a, b, err := w.k.get(ctx, p, it, seen)
	if err != nil || !a.entry.Exists() {
		return a.entry, b, err
	}
	if it.Mutable {
		// It is younger than what is frozen already: together they must still hold.
		if _, err := p.Check(ctx, it, b, w.lookup(f, it.Protocol)); err != nil {
			return lockfile.Entry{}, nil, errors.Join(fmt.Errorf("%s %s: does not fit freeze %s: %w", it.Protocol, it.Key, f.Name, err), b.Close())
		}
	}
	b.Close()
	return w.frozen(ctx, f, a.version)
}

// frozen returns v, or what its answer is in f already, and sees to it that it stays.
func (w *View) frozen(ctx context.Context, f Freeze, v version) (lockfile.Entry, store.Blob, error) {
	v, err := w.k.index.pin(ctx, f, v)
	if err != nil {
		return lockfile.Entry{}, nil, err
	}
	b, err := w.k.store.Open(ctx, v.blob)
	if err != nil {
		return lockfile.Entry{}, nil, errs.E(errs.Unavailable, fmt.Errorf("%s %s: freeze %s: %w", v.protocol, v.key, f.Name, err))
	}
	return w.k.hit(v).entry, b, nil
}

func (w *View) lookup(f Freeze, protocol string) record.Lookup {
	return func(ctx context.Context, key string) (io.ReadCloser, error) {
		v, ok, err := w.k.index.frozen(ctx, f, id{protocol, key})
		if err == nil && !ok {
			return w.k.lookup(protocol)(ctx, key)
		}
		return w.k.openVersion(ctx, v, ok, protocol, key, err)
	}
}

// Handler returns the HTTP face of the cache: each protocol below /NAME/, and below /at/FREEZE/NAME/ as of a freeze.
func (k *Cache) Handler(protocols ...record.Protocol) http.Handler {
	k.speak(protocols)
	by := map[string]record.Protocol{}
	for _, p := range protocols {
		by[p.Name()] = p
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var keeper record.Getter = k
		prefix, rest := "", r.URL.Path
		if s, ok := strings.CutPrefix(rest, "/at/"); ok {
			name, _, _ := strings.Cut(s, "/")
			prefix, keeper = "/at/"+name, k.View(name)
			rest = strings.TrimPrefix(rest, prefix)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		p, ok := by[name]
		if !ok {
			http.Error(w, "overland: no protocol is served here: "+r.URL.Path, http.StatusNotFound)
			return
		}
		prefix += "/" + name
		http.StripPrefix(prefix, serve(keeper, p, prefix)).ServeHTTP(w, r)
	})
}

// serve answers requests of one protocol, whose mount is at prefix.
func serve(k record.Getter, p record.Protocol, prefix string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost:
		default:
			http.Error(w, "overland: the cache is read with GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		it, err := p.Item(r)
		if err != nil {
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "overland: "+errs.Explain(err), errs.KindOf(err).Status())
			return
		}
		base := url.URL{Scheme: "http", Host: r.Host, Path: prefix}
		if r.TLS != nil {
			base.Scheme = "https"
		}
		record.Answer(w, r, k, p, it, base.String())
	})
}
