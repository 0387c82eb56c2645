package apt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"overland/internal/deb"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// Check implements record.Protocol. The chain is walked upwards: a package needs an index in the
// session, an index needs its InRelease, and that needs a good signature.
func (p *Protocol) Check(ctx context.Context, it record.Item, body io.ReadSeeker, have record.Lookup) (lockfile.Proof, error) {
	w, err := p.locate(it.Key)
	if err != nil {
		return lockfile.Proof{}, err
	}
	if w.suite != nil && w.rest == "InRelease" {
		return p.checkRelease(ctx, w, it.Key, body, have)
	}
	got, err := deb.Measure(body, w.suite != nil)
	if err != nil {
		return lockfile.Proof{}, err
	}
	if w.suite != nil {
		proof, listed, err := p.checkIndex(ctx, w, got, have)
		if listed || !w.suite.flat {
			return proof, err
		}
	}
	return p.checkPackage(ctx, w, got, have)
}

func (p *Protocol) checkRelease(ctx context.Context, w where, key string, body io.Reader, have record.Lookup) (lockfile.Proof, error) {
	b, err := fsx.Read(body, key, deb.ReleaseLimit)
	if err != nil {
		return lockfile.Proof{}, errs.E(errs.Untrusted, err)
	}
	// Read each time: a service outlives an upgrade of the keyrings.
	keys, err := deb.KeysFor(w.suite.signedBy, p.dir)
	if err != nil {
		return lockfile.Proof{}, fmt.Errorf("keys of %s: %w", w.suite.dir, err)
	}
	now := p.now()
	if p.locked {
		now = time.Time{}
	}
	text, signer, err := deb.VerifyInRelease(b, keys, now)
	if err != nil {
		return lockfile.Proof{}, errs.Hint(err, "a key that apt trusts for this source must have signed it: see Signed-By in apt's sources")
	}
	r, err := deb.ParseRelease(text)
	if err != nil {
		return lockfile.Proof{}, errs.E(errs.Untrusted, err)
	}
	if !w.suite.anyDate && !p.locked {
		if err := r.CheckDates(p.now()); err != nil {
			return lockfile.Proof{}, err
		}
	}
	if err := r.CheckSuite(w.suite.name); err != nil {
		return lockfile.Proof{}, err
	}
	// What is held may be older, but not newer.
	if old, _, err := p.heldRelease(ctx, key, have); err == nil && r.Date.Before(old.Date) {
		return lockfile.Proof{}, errs.Hint(errs.Errorf(errs.Untrusted, "made on %s, before the one held, of %s", r.Date, old.Date),
			"the mirror is behind, or somebody rolls it back: choose another one")
	}
	return lockfile.Proof{Kind: ProofKey, Value: signer}, nil
}

// heldRelease returns the InRelease that have opens under key, and its
// sha256. Each package asks for it.
func (p *Protocol) heldRelease(ctx context.Context, key string, have record.Lookup) (*deb.Release, string, error) {
	b, err := read(ctx, have, key, deb.ReleaseLimit)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(b)
	id := hex.EncodeToString(sum[:])
	p.releasesMu.Lock()
	defer p.releasesMu.Unlock()
	if r := p.releases[id]; r != nil {
		return r, id, nil
	}
	text, err := deb.SignedText(b)
	if err != nil {
		return nil, "", err
	}
	r, err := deb.ParseRelease(text)
	if err != nil {
		return nil, "", err
	}
	if len(p.releases) >= readLimit {
		clear(p.releases)
	}
	p.releases[id] = r
	return r, id, nil
}

// eachRelease calls try with the InRelease that have opens under key and its sha256, and then with
// those that a cache held before, the newest first, until it returns true. There must be one.
func (p *Protocol) eachRelease(ctx context.Context, key string, have record.Lookup, try func(r *deb.Release, sum string) bool) error {
	r, sum, err := p.heldRelease(ctx, key, have)
	if err != nil {
		return first(err, key)
	}
	for n := 0; err == nil && !try(r, sum) && p.history != nil && n < pastLimit; n++ {
		r, sum, err = p.heldRelease(ctx, key, func(ctx context.Context, key string) (io.ReadCloser, error) {
			return p.history.Past(ctx, p.Name(), key, n)
		})
	}
	if errs.KindOf(err) == errs.NotFound {
		return nil // there are no more
	}
	return err
}

// checkIndex proves the content with size and digests got by an InRelease of w. It
// reports whether one lists it at all.
func (p *Protocol) checkIndex(ctx context.Context, w where, got deb.File, have record.Lookup) (proof lockfile.Proof, found bool, err error) {
	key := path.Join(w.archive.name, w.suite.dir, "InRelease")
	none := p.eachRelease(ctx, key, have, func(r *deb.Release, sum string) bool {
		f, ok := r.Find(w.rest)
		if ok {
			found, err, proof = true, f.Check(got), lockfile.Proof{Kind: ProofRelease, Value: key + " sha256:" + sum}
		}
		return ok
	})
	switch {
	case none != nil:
		return lockfile.Proof{}, false, none
	case !found:
		return lockfile.Proof{}, false, errs.Errorf(errs.Untrusted, "%s does not list it", key)
	case err != nil && p.history != nil:
		// The archive may have changed between the two requests: do not wait for its next
		// InRelease.
		err = errors.Join(err, p.history.Recheck(ctx, p.Name(), key))
	}
	return proof, true, err
}

// checkPackage proves the content with size and digest got by an index that is held.
func (p *Protocol) checkPackage(ctx context.Context, w where, got deb.File, have record.Lookup) (lockfile.Proof, error) {
	var held error
	for _, s := range w.archive.all() {
		var proof lockfile.Proof
		var err error
		none := p.eachRelease(ctx, path.Join(w.archive.name, s.dir, "InRelease"), have, func(r *deb.Release, _ string) bool {
			proof, err = p.inIndexes(ctx, w, s, r, got, have)
			return proof != lockfile.Proof{} || err != nil
		})
		if proof != (lockfile.Proof{}) || err != nil {
			return proof, err
		}
		held = cmp.Or(held, none)
	}
	if held != nil {
		return lockfile.Proof{}, held
	}
	return lockfile.Proof{}, errs.Hint(errs.Errorf(errs.Untrusted, "no index of %s that was recorded lists it", w.archive.name),
		"run apt-get update through the recorder first")
}

// inIndexes proves the content with size and digest got by an index of s that is held and that r
// lists. It returns neither a proof nor an error when no index lists it.
func (p *Protocol) inIndexes(ctx context.Context, w where, s *suite, r *deb.Release, got deb.File, have record.Lookup) (lockfile.Proof, error) {
	dir := path.Join(w.archive.name, s.dir)
	names := s.indexes(r)
	p.readFirst(names, r)
	for _, name := range names {
		t, err := p.table(ctx, dir, name, r.Files[name], have)
		if err != nil {
			return lockfile.Proof{}, errs.E(errs.Untrusted, fmt.Errorf("%s/%s: %w", s.dir, name, err))
		}
		if want, ok := t.Find(w.rel); ok {
			proof := lockfile.Proof{Kind: ProofIndex, Value: path.Join(dir, name) + " sha256:" + r.Files[name].SHA256}
			return proof, want.Check(got)
		}
	}
	return lockfile.Proof{}, nil
}

// Identify implements record.Lister: apt requests a package that two archives have from the first
// one in its sources, and a replay may have other sources.
func (p *Protocol) Identify(ctx context.Context, it record.Item, have record.Lookup) (digest.Digest, error) {
	w, err := p.locate(it.Key)
	if err != nil {
		return "", err
	}
	for _, s := range w.archive.all() {
		dir := path.Join(w.archive.name, s.dir)
		r, _, err := p.heldRelease(ctx, path.Join(dir, "InRelease"), have)
		if err != nil {
			continue // nothing of it is held
		}
		for _, name := range s.indexes(r) {
			t, err := p.table(ctx, dir, name, r.Files[name], have)
			if err != nil {
				return "", err
			}
			if f, ok := t.Find(w.rel); ok {
				return digest.FromHex(f.SHA256)
			}
		}
	}
	return "", errs.Errorf(errs.NotFound, "no index of %s that is held lists %s", w.archive.name, it.Key)
}

// indexes returns the paths of the Packages and Sources indexes that r
// lists for the components of s.
func (s *suite) indexes(r *deb.Release) []string {
	var names []string
	for name, f := range r.Files {
		base, _, _ := strings.Cut(path.Base(name), ".")
		if f.SHA256 == "" || base != "Packages" && base != "Sources" || strings.Contains(name, ".diff/") {
			continue
		}
		of := func(c string) bool {
			// Of "updates/main", as security archives say, apt asks for "main".
			return strings.HasPrefix(name, c+"/") || strings.HasPrefix(name, path.Base(c)+"/")
		}
		if s.flat || slices.ContainsFunc(s.components, of) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// table returns what the index called name below dir lists; nil when the session does not hold it.
func (p *Protocol) table(ctx context.Context, dir, name string, want deb.File, have record.Lookup) (deb.Index, error) {
	p.tablesMu.Lock()
	defer p.tablesMu.Unlock()
	if len(p.places) < placesLimit {
		p.places[want.SHA256] = place{dir, path.Join(dir, name) + " sha256:" + want.SHA256}
	}
	if t, ok := p.tables[want.SHA256]; ok {
		return t, nil
	}
	hash := path.Join(dir, path.Dir(name), "by-hash")
	keys := []string{path.Join(hash, "SHA256", want.SHA256), path.Join(dir, name)}
	if want.SHA512 != "" {
		keys = append(keys, path.Join(hash, "SHA512", want.SHA512))
	}
	for _, key := range keys {
		t, err := readTable(ctx, key, want, have)
		if errs.KindOf(err) == errs.NotFound || errors.Is(err, errOther) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.keep(want.SHA256, t)
		return t, nil
	}
	return nil, nil
}

// ReadAhead implements record.Lister: otherwise the first package would wait until its index is
// unpacked.
func (p *Protocol) ReadAhead(ctx context.Context, it record.Item, have record.Lookup) {
	w, err := p.locate(it.Key)
	if err != nil || w.suite == nil || w.rest == "InRelease" || it.Unpacked { // it is read as it is served
		return
	}
	dir := path.Join(w.archive.name, w.suite.dir)
	r, _, err := p.heldRelease(ctx, path.Join(dir, "InRelease"), have)
	if err != nil {
		return
	}
	f, ok := r.Find(w.rest)
	for _, name := range w.suite.indexes(r) {
		if ok && r.Files[name].SHA256 == f.SHA256 {
			_, _ = p.table(ctx, dir, name, f, have) // the next reader tries again, and reports the error
			return
		}
	}
}

// place is where an index is listed: the directory of a suite, and the proof of what the index lists.
type place struct{ dir, proof string }

// Choose implements record.Chooser. A package for all architectures is listed in the index of each, and clients that ask for
// several at once ask in any order: of the suites the one with the shortest name is taken, which others update, then the first index.
func (p *Protocol) Choose(e lockfile.Entry) lockfile.Proof {
	w, err := p.locate(e.Key)
	if err != nil || e.Proof.Kind != ProofIndex {
		return e.Proof
	}
	p.tablesMu.Lock()
	defer p.tablesMu.Unlock()
	var best place
	for sum, at := range p.places {
		f, ok := p.tables[sum].Find(w.rel)
		if !ok || f.SHA256 != e.Blob.Encoded() || !strings.HasPrefix(at.dir+"/", w.archive.name+"/") {
			continue
		}
		if best == (place{}) || cmp.Or(cmp.Compare(len(at.dir), len(best.dir)), cmp.Compare(at.proof, best.proof)) < 0 {
			best = at
		}
	}
	if best == (place{}) {
		return e.Proof
	}
	return lockfile.Proof{Kind: ProofIndex, Value: best.proof}
}

// errOther is returned for an index that is held, but of another day than the InRelease.
var errOther = errors.New("another index")

func readTable(ctx context.Context, key string, want deb.File, have record.Lookup) (deb.Index, error) {
	f, err := have(ctx, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	tee := io.TeeReader(f, h)
	t, perr := deb.ReadIndex(tee)
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return nil, err
	}
	if hex.EncodeToString(h.Sum(nil)) != want.SHA256 {
		return nil, errOther
	}
	return t, perr
}

// first returns err for a thing that comes before its InRelease.
func first(err error, key string) error {
	if errs.KindOf(err) != errs.NotFound {
		return err
	}
	return errs.Hint(errs.Errorf(errs.Untrusted, "%s was not recorded, and only that proves it", key),
		"run apt-get update through the recorder first")
}
