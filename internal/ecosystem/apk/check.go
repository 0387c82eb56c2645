package apk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"strings"
	"time"

	"overland/internal/alpine"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// Check implements record.Protocol. A package needs an index that is
// held, an index a good signature.
func (p *Protocol) Check(ctx context.Context, it record.Item, body io.ReadSeeker, have record.Lookup) (lockfile.Proof, error) {
	b, rel, err := p.locate(it.Key)
	if err != nil {
		return lockfile.Proof{}, err
	}
	if path.Base(rel) == alpine.IndexName {
		return p.checkIndex(ctx, b, it.Key, body, have)
	}
	got, err := alpine.ReadPackage(body)
	if err != nil {
		return lockfile.Proof{}, err
	}
	return p.checkPackage(ctx, it.Key, got, have)
}

func (p *Protocol) checkIndex(ctx context.Context, b *base, key string, body io.ReadSeeker, have record.Lookup) (lockfile.Proof, error) {
	// Before anything is unpacked.
	signer, err := alpine.Verify(body, b.keys)
	if err != nil {
		return lockfile.Proof{}, err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return lockfile.Proof{}, err
	}
	x, err := alpine.ReadIndex(body)
	if err != nil {
		return lockfile.Proof{}, err
	}
	// What is held may be older, but not newer.
	if old, _, err := p.held(ctx, key, have); err == nil && x.Made.Before(old.Made) {
		return lockfile.Proof{}, errs.Hint(errs.Errorf(errs.Untrusted, "made on %s, before the one held, of %s", stamp(x.Made), stamp(old.Made)),
			"the mirror is behind, or somebody rolls it back: choose another one")
	}
	return lockfile.Proof{Kind: ProofKey, Value: signer}, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// held returns what the index says that have opens under key, and the sha256 of its file.
func (p *Protocol) held(ctx context.Context, key string, have record.Lookup) (*alpine.Index, string, error) {
	f, err := have(ctx, key)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	b, err := fsx.Read(f, key, alpine.IndexLimit)
	if err != nil {
		return nil, "", err
	}
	hash := sha256.Sum256(b)
	sum := hex.EncodeToString(hash[:])
	p.tablesMu.Lock()
	defer p.tablesMu.Unlock()
	if x := p.tables[sum]; x != nil {
		return x, sum, nil
	}
	x, err := alpine.ReadIndex(bytes.NewReader(b))
	if err != nil {
		return nil, "", err
	}
	if len(p.tables) >= tablesLimit {
		clear(p.tables)
	}
	p.tables[sum] = x
	return x, sum, nil
}

// architectures are the folders whose index may list what lies in the folder noarch.
var architectures = []string{"x86_64", "aarch64", "armv7", "armhf", "x86", "riscv64", "ppc64le", "s390x", "loongarch64"}

// checkPackage proves what is got by an index that is held: that of its folder.
func (p *Protocol) checkPackage(ctx context.Context, key string, got alpine.Package, have record.Lookup) (lockfile.Proof, error) {
	dir, file := path.Split(key)
	folders := []string{dir}
	if above, ok := strings.CutSuffix(dir, "/noarch/"); ok {
		for _, a := range architectures {
			folders = append(folders, above+"/"+a)
		}
	}
	seen := false
	for _, folder := range folders {
		proof, err := p.byIndex(ctx, path.Join(folder, alpine.IndexName), file, got, have)
		if err == nil || errs.KindOf(err) != errs.NotFound {
			return proof, err
		}
		seen = seen || errors.Is(err, errNotListed)
	}
	if seen {
		return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "its index does not list it")
	}
	return lockfile.Proof{}, errs.Hint(errs.Errorf(errs.Untrusted, "its index was not recorded, and only that proves it"),
		"run apk update through the recorder first")
}

var errNotListed = errors.New("not listed")

// byIndex proves file by the index under key, or an earlier one that a cache held:
// errs.NotFound when none lists it.
func (p *Protocol) byIndex(ctx context.Context, key, file string, got alpine.Package, have record.Lookup) (lockfile.Proof, error) {
	x, sum, err := p.held(ctx, key, have)
	if err != nil {
		return lockfile.Proof{}, err
	}
	for n := 0; err == nil; n++ {
		if want, ok := x.Packages[file]; ok {
			return lockfile.Proof{Kind: ProofIndex, Value: key + " sha256:" + sum}, p.same(ctx, key, got, want)
		}
		if p.history == nil || n == pastLimit {
			break
		}
		x, sum, err = p.held(ctx, key, func(ctx context.Context, key string) (io.ReadCloser, error) {
			return p.history.Past(ctx, Name, key, n)
		})
	}
	if err == nil || errs.KindOf(err) == errs.NotFound {
		err = errs.E(errs.NotFound, errNotListed)
	}
	return lockfile.Proof{}, err
}

// same returns errs.Untrusted when got is not what the index under key wants.
func (p *Protocol) same(ctx context.Context, key string, got, want alpine.Package) error {
	err := want.Check(got)
	if err != nil && p.history != nil {
		// It may have been rebuilt: do not wait for the next index.
		err = errors.Join(err, p.history.Recheck(ctx, Name, key))
	}
	return err
}
