package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/store"
)

// Verify reads every blob of r's lock and returns one error for each entry that fails. Then
// protocols compute each proof again from what the lock itself holds, and it must equal the locked
// one. So an entry whose blob and proof were changed together is found if something signed, or
// another entry, contradicts it.
//
// A protocol that needs a Getter must have been given r.
func Verify(ctx context.Context, r *Replayer, protocols ...Protocol) []error {
	v := &verifier{r: r, protocols: byName(protocols), bad: map[name]error{}}
	tell := r.Verified
	if tell == nil {
		tell = func(lockfile.Entry, bool) {}
	}
	for _, e := range r.lock.Entries {
		if err := v.bytes(ctx, e); err != nil {
			v.bad[entryName(e)] = err
		}
		tell(e, false)
	}
	for _, e := range r.lock.Entries {
		n := entryName(e)
		if ctx.Err() != nil {
			return []error{ctx.Err()}
		}
		if v.bad[n] == nil && e.Status == http.StatusOK {
			if err := v.proof(ctx, e); err != nil {
				v.bad[n] = err
			}
		}
		tell(e, true)
	}
	for n, err := range v.bad {
		v.bad[n] = fmt.Errorf("%s %s: %w", n.protocol, n.key, err)
	}
	return inOrder(v.bad)
}

type verifier struct {
	r         *Replayer
	protocols map[string]Protocol
	bad       map[name]error
}

// bytes checks the blob of e, without its proof.
func (v *verifier) bytes(ctx context.Context, e lockfile.Entry) error {
	if ctx.Err() != nil || !e.Exists() {
		return ctx.Err()
	}
	b, err := v.r.blobs.Open(ctx, e.Blob)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := whole(b, e.Blob); err != nil {
		return err
	}
	if b.Size() != e.Size {
		return errs.Errorf(errs.Untrusted, "it has %d bytes, the lock says %d", b.Size(), e.Size)
	}
	return nil
}

func (v *verifier) proof(ctx context.Context, e lockfile.Entry) error {
	p := v.protocols[e.Protocol]
	if p == nil {
		return errs.Hint(errs.Errorf(errs.Unavailable, "its proof cannot be computed here"), "install the tool that speaks %s on this machine", e.Protocol)
	}
	proof, err := prove(ctx, v.r.blobs, p, e, func(ctx context.Context, key string) (io.ReadCloser, error) {
		if v.bad[name{e.Protocol, key, ""}] != nil {
			return nil, errs.Errorf(errs.Untrusted, "%s, which would prove it, fails itself", key)
		}
		return v.r.open(ctx, e.Protocol, key)
	})
	if miss := (*MissError)(nil); errors.As(err, &miss) {
		return errs.E(errs.Untrusted, err)
	}
	if err == nil && proof != e.Proof {
		err = errs.Errorf(errs.Untrusted, "its proof is %q, the lock says %q", proof, e.Proof)
	}
	return err
}

// Prove marks whatever proves the entries that r has used as used too, so that Used includes it.
// What cannot be proved is left to Verify.
func Prove(ctx context.Context, r *Replayer, protocols ...Protocol) {
	by := byName(protocols)
	for done := map[name]bool{}; ; {
		before := len(done)
		for _, e := range r.Used().Entries {
			n := entryName(e)
			if p := by[e.Protocol]; p != nil && e.Status == http.StatusOK && !done[n] && ctx.Err() == nil {
				_, _ = prove(ctx, r.blobs, p, e, func(ctx context.Context, key string) (io.ReadCloser, error) { return r.open(ctx, e.Protocol, key) })
			}
			done[n] = true
		}
		if len(done) == before {
			r.Forget()
			return
		}
	}
}

// prove computes the proof of e in the same way as when e was recorded.
func prove(ctx context.Context, s store.Opener, p Protocol, e lockfile.Entry, have Lookup) (lockfile.Proof, error) {
	b, err := s.Open(ctx, e.Blob)
	if err != nil {
		return lockfile.Proof{}, err
	}
	defer b.Close()
	it := Item{Protocol: e.Protocol, Key: e.Key, Mutable: e.Mutable}
	proof, err := p.Check(ctx, it, b, have)
	if w, ok := p.(Witness); ok && err == nil {
		proof, err = w.Witness(ctx, it, proof)
	}
	return proof, err
}

func byName(protocols []Protocol) map[string]Protocol {
	m := map[string]Protocol{}
	for _, p := range protocols {
		m[p.Name()] = p
	}
	return m
}
