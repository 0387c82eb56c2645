package session

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"overland/internal/ecosystem/plain"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
)

// Again asks for what origins refused or failed to give when o.Lock was made, without a command, and
// returns the lock with what they say now. Redirects are followed. Problems are the requests that
// only the command can ask: their entries stay as they are.
func Again(ctx context.Context, o Options) (*Result, error) {
	if o.Upstream == nil {
		o.Upstream = &origin.Client{Dir: o.Dir}
	}
	if err := o.Store.Claim(store.ClaimLocks); err != nil {
		return nil, err
	}
	old := o.Lock
	failed := slices.DeleteFunc(slices.Clone(old.Entries), func(e lockfile.Entry) bool { return !e.Failed() })
	o.Lock = lockfile.New(slices.DeleteFunc(slices.Clone(old.Entries), lockfile.Entry.Failed))
	r := record.NewRecorder(o.Store, record.Options{Upstream: o.Upstream, Lock: o.Lock})
	defer r.Close()
	s := &session{o: o, getter: r, recording: true}
	if err := s.openTools(ctx); err != nil {
		return nil, err
	}
	r.Forget()
	protocols := append(s.protocols(), plain.Protocol{Pins: o.Pins})
	res := &Result{}
	for _, e := range failed {
		if err := s.again(ctx, protocols, e); err != nil {
			res.Problems = append(res.Problems, fmt.Errorf("%s %s: %w", e.Protocol, e.Key, err))
		}
	}
	if err := r.Settle(); err != nil {
		return nil, err
	}
	res.Problems = append(res.Problems, r.Problems()...)
	res.Lock = KeepFailed(old, withoutIdle(r.Lock()))
	return res, ctx.Err()
}

// KeepFailed returns l with the failures of old that were not asked for again.
func KeepFailed(old, l *lockfile.Lock) *lockfile.Lock {
	entries := slices.Clone(l.Entries)
	for _, e := range old.Entries {
		if e.Failed() && len(l.Variants(e.Protocol, e.Key)) == 0 {
			entries = append(entries, e)
		}
	}
	return lockfile.New(entries)
}

// again asks for e as it was asked for.
func (s *session) again(ctx context.Context, protocols []record.Protocol, e lockfile.Entry) error {
	at := slices.IndexFunc(protocols, func(p record.Protocol) bool { return p.Name() == e.Protocol })
	if at < 0 {
		return errs.Errorf(errs.Unavailable, "its tool is not on this machine")
	}
	p := protocols[at]
	if e.Protocol != plain.Name {
		it, err := record.ItemOf(p, e.Key)
		if err == nil {
			s.ask(ctx, p, it)
		}
		return err
	}
	u, err := url.Parse(e.Key)
	if err != nil || strings.Contains(e.Key, " ") {
		return errs.Errorf(errs.Invalid, "only the command knows what it sent")
	}
	h := http.Header{}
	for _, line := range e.Asked.Lines() {
		name, value, _ := strings.Cut(line, ": ")
		if lockfile.Secret(name) {
			return errs.Errorf(errs.Invalid, "only the command knows its %s", name)
		}
		h.Set(name, value)
	}
	if strings.Contains(e.Key, "="+httpx.Mask) {
		from, ok := leading(s.o.Lock, e.Key)
		if !ok {
			return errs.Errorf(errs.Invalid, "only the command knows what is masked in it")
		}
		u = from // whose answer, today's, names it
	}
	const redirects = 10
	for range redirects {
		it, err := p.Item(&http.Request{Method: http.MethodGet, URL: u, Header: h})
		if err != nil {
			return err
		}
		got := s.ask(ctx, p, it)
		to, moved := got.Header.Get("location")
		if !moved || got.Status >= http.StatusBadRequest {
			return nil
		}
		if u, err = u.Parse(to); err != nil {
			return err
		}
	}
	return errs.Errorf(errs.Unavailable, "more than %d redirects", redirects)
}

// ask gets it. What fails is among the recorder's problems.
func (s *session) ask(ctx context.Context, p record.Protocol, it record.Item) lockfile.Entry {
	e, b, _ := s.getter.Get(ctx, p, it)
	if b != nil {
		_ = b.Close()
	}
	return e
}

// leading returns the address of an entry of l that redirects to key.
func leading(l *lockfile.Lock, key string) (*url.URL, bool) {
	for _, e := range l.Entries {
		to, ok := e.Header.Get("location")
		from, err := url.Parse(e.Key)
		if !ok || e.Protocol != plain.Name || err != nil || strings.Contains(e.Key, " ") {
			continue
		}
		if u, err := from.Parse(to); err == nil && u.String() == key {
			return from, true
		}
	}
	return nil, false
}
