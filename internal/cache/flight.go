package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/record"
	"overland/internal/store"
)

// errPatience means that upstream takes longer than a client with a stale answer waits.
var errPatience = errors.New("upstream is slow")

// flight names a call: what was asked for, and with which freeze in sight.
type flight struct {
	id
	freeze string
}

// call is one request to upstream, for all who wait for it. It is cancelled when nobody does any more.
type call struct {
	done    chan struct{}
	cancel  context.CancelFunc
	came    atomic.Int64 // rises while something comes
	waiters int
	answer  answer
	err     error
}

// once returns what upstream has for it: one request for all who ask at the same time. With a patience it returns
// errPatience after so long, and the request goes on for those who ask later.
func (k *Keeper) once(ctx context.Context, p record.Protocol, it record.Item, seen sight, old version, patience time.Duration) (answer, error) {
	c := k.join(ctx, p, it, seen, old)
	if f, ok := ctx.Value(followKey{}).(*follower); ok {
		f.call.Store(c)
	}
	var late <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-c.done:
		return c.answer, c.err
	case <-late: // it stays a waiter: the request goes on, until Close
		return answer{}, errPatience
	case <-ctx.Done():
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.waiters--; c.waiters == 0 {
		c.cancel()
		if i := (flight{id{it.Protocol, it.Key}, seen.freeze}); k.calls[i] == c {
			delete(k.calls, i) // who asks next starts anew
		}
	}
	return answer{}, ctx.Err()
}

func (k *Keeper) join(ctx context.Context, p record.Protocol, it record.Item, seen sight, old version) *call {
	i := flight{id{it.Protocol, it.Key}, seen.freeze}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.calls[i]; c != nil {
		c.waiters++
		return c
	}
	c := &call{done: make(chan struct{}), waiters: 1}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	k.calls[i] = c
	k.wg.Go(func() {
		defer cancel()
		c.answer, c.err = k.fetch(own, p, it, seen, old, func() { c.came.Add(1) })
		k.end(c, i)
		if c.err == nil && c.answer.entry.Exists() {
			record.ReadAhead(own, p, it, seen.have)
		}
	})
	return c
}

// end lets those who wait for c have it.
func (k *Keeper) end(c *call, i flight) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.calls[i] == c {
		delete(k.calls, i)
	}
	close(c.done)
}

// fetch asks upstream for it and stores what comes, once the protocol has proved it. old is the newest version known.
func (k *Keeper) fetch(ctx context.Context, p record.Protocol, it record.Item, seen sight, old version, heard func()) (answer, error) {
	// Another request may have ended between the caller's look and this one's start.
	if v, ok, err := k.index.newest(ctx, id{it.Protocol, it.Key}, forever); err == nil && ok && v.held && v.checked.After(old.checked) &&
		fresh(v.checked, k.now(), k.o.Fresh) {
		if there, err := store.Has(ctx, k.store, v.blob); err != nil {
			return answer{}, err
		} else if there {
			return k.hit(v), nil
		}
	}
	if a, ok := k.near(ctx, p, it, seen, old, heard); ok || ctx.Err() != nil {
		return a, ctx.Err()
	}
	it, err := record.Locate(ctx, p, it, k.lookup(it.Protocol))
	if err != nil {
		return answer{}, err
	}
	defer record.Prepare(ctx, p, it)()
	req := conditional(it, old).Request()
	req.Heard = heard
	a, err := k.o.Upstream.Get(ctx, req)
	now := k.now()
	if status := (*record.StatusError)(nil); errors.As(err, &status) {
		switch {
		case status.Status == http.StatusNotModified && old.held:
			if err := k.index.confirm(ctx, old, now); err != nil {
				return answer{}, err
			}
			return k.hit(old), nil
		case status.Status == http.StatusNotFound, status.Status == http.StatusGone:
			return gone(it, status.Status), k.index.setAbsent(ctx, id{it.Protocol, it.Key}, status.Status, now.Add(k.o.Absent))
		}
	}
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", it.Protocol, it.Key, err)
	}
	defer a.Close()
	proof, err := p.Check(ctx, it, a.Body, seen.have)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s from %s: %w", it.Protocol, it.Key, a.URL, err)
	}
	v := version{
		id: id{it.Protocol, it.Key}, fetched: now, checked: now, used: now, mutable: it.Mutable, size: a.Size, media: a.MediaType,
		proof: proof, etag: a.Header.Get("Etag"), modified: a.Header.Get("Last-Modified"),
	}
	if v, err = k.keep(ctx, it, old, v, a.Body); err != nil {
		return answer{}, fmt.Errorf("%s %s from %s: %w", it.Protocol, it.Key, a.URL, err)
	}
	return k.hit(v), nil
}

// keep stores body as version v.
func (k *Keeper) keep(ctx context.Context, it record.Item, old, v version, body *os.File) (version, error) {
	blob, err := k.store.Stage(ctx, body)
	if err != nil {
		return v, err
	}
	v.blob = blob.Digest()
	if err := v.follows(old, it, httpx.Redacted(it.Upstream)); err != nil {
		return v, err
	}
	k.gate.RLock()
	defer k.gate.RUnlock()
	there, err := store.Has(ctx, k.store, v.blob)
	if err != nil {
		return v, err
	}
	v.own = !there
	if err := blob.Commit(ctx); err != nil {
		return v, err
	}
	return k.index.add(ctx, v)
}

// follows returns an error when v, from a source, may not be what follows old: what never changes has other bytes.
func (v version) follows(old version, it record.Item, source string) error {
	if old.blob == "" || old.blob == v.blob || it.Mutable {
		return nil
	}
	err := &record.ChangedError{Protocol: it.Protocol, Key: it.Key, Upstream: source, Locked: old.blob, Got: v.blob}
	return errs.Hint(errs.E(errs.Conflict, err), "what never changes has changed: somebody replaced it; nothing was stored")
}

// conditional returns it as it is asked for when old is held: unchanged bytes do not travel again.
func conditional(it record.Item, old version) record.Item {
	if !it.Mutable || !old.held || old.etag == "" || len(it.Fallback) > 0 || it.Method != "" {
		return it
	}
	h := it.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("If-None-Match", old.etag)
	it.Header = h
	return it
}
