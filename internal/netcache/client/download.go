package client

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/origin"
)

const (
	attempts = 5 // in a row that bring nothing
	pause    = 400 * time.Millisecond
	fileMode = 0o644
	reserve  = 16 << 20 // bytes that a download leaves free
)

// Result is how a download ended.
type Result struct {
	Outcome Outcome
	Found   Found // for a Hit
	Size    int64
}

// Download writes the blob of the first entry of key that is believed, meets filters and can be had
// to path. The file appears whole, verified and durable, or not at all. Of several entries a broken
// one does not hide the next. The error is nil exactly for a Hit.
func (n *Client) Download(ctx context.Context, key string, filters []netcache.Filter, path string) (Result, error) {
	list, err := n.Select(ctx, key, filters)
	if err != nil {
		return Result{Outcome: list.Outcome}, err
	}
	return n.Take(ctx, key, list.Found, path)
}

// Take is Download for a caller who has chosen among the entries that Select found: the
// first of list that can be had.
func (n *Client) Take(ctx context.Context, key string, list []Found, path string) (Result, error) {
	if err := n.configured(n.get, "download-cache-url"); err != nil {
		return Result{Outcome: Unavailable}, err
	}
	first := errs.Errorf(errs.NotFound, "no entry is wanted")
	for i, f := range list {
		size, err := n.fetch(ctx, f, path)
		if err == nil {
			return Result{Hit, f, size}, n.remember(key, f)
		}
		if ctx.Err() != nil {
			return Result{Outcome: Unavailable}, err
		}
		// A blob that is not what was signed says more than one that is missing.
		if i == 0 || errs.KindOf(err) == errs.Untrusted {
			first = err
		}
	}
	outcome := outcomeOf(first)
	if outcome == Untrusted {
		outcome = Corrupt
	}
	return Result{Outcome: outcome}, fmt.Errorf("key %q: %w", key, first)
}

// Origin writes what a URL has to path; it verifies the bytes itself.
type Origin func(ctx context.Context, url, path string) error

// DownloadURL is Download with the key of url, and with origin when the cache brought nothing. The
// outcome is the cache's in any case. A configuration that cannot be used is an error
// (errs.Invalid), and no reason to ask origin.
func (n *Client) DownloadURL(ctx context.Context, url, path string, origin Origin) (Result, error) {
	filter := netcache.Filter{Field: "url", Op: "==", Value: url}
	r, err := n.Download(ctx, netcache.URLKey(url), []netcache.Filter{filter}, path)
	if err == nil || ctx.Err() != nil || errs.KindOf(err) == errs.Invalid {
		return r, err
	}
	if oerr := origin(ctx, url, path); oerr != nil {
		return r, fmt.Errorf("%w; and the cache: %w", oerr, err)
	}
	return r, nil
}

// download is a blob on its way into a file, as an origin.Sink.
type download struct {
	file *fsx.Pending
	h512 hash.Hash
	h256 digest.Hasher
	size int64 // bytes written
}

func (n *Client) fetch(ctx context.Context, f Found, path string) (int64, error) {
	file, err := n.o.FS.Create(path, fileMode)
	if err != nil {
		return 0, err
	}
	defer file.Discard()
	d := &download{file: file, h512: sha512.New(), h256: digest.New()}
	// The name of a blob is its digest: it may be a web page, and it never
	// changes, so it can always be resumed.
	r := origin.Request{URL: n.get.target(f.Name()), Limit: n.o.MaxBlob, Page: true, Fixed: true}
	if f.Statement != nil {
		r.Size = f.Statement.Size
	}
	up := &origin.Client{Transport: n.get.http.Transport, Stall: n.o.Stall, Tries: attempts, Wait: pause}
	if _, err := up.GetInto(ctx, r, d); err != nil {
		return 0, explain(err)
	}
	if err := d.verify(f); err != nil {
		return 0, err
	}
	return d.size, file.Commit()
}

func (d *download) verify(f Found) error {
	if name := hex.EncodeToString(d.h512.Sum(nil)); name != f.Name() {
		return errs.Errorf(errs.Untrusted, "the bytes have sha512 %.16s…, the entry says %.16s…: %w", name, f.Name(), digest.ErrMismatch)
	}
	if f.Statement != nil && (d.h256.Digest() != f.Statement.SHA256 || d.size != f.Statement.Size) {
		return errs.Errorf(errs.Untrusted, "the bytes are %s, the entry says %s: %w", d.h256.Digest(), f.Statement.SHA256, digest.ErrMismatch)
	}
	return nil
}

// Write implements origin.Sink.
func (d *download) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	d.h512.Write(p[:n])
	d.h256.Write(p[:n])
	d.size += int64(n)
	return n, fsx.Full(err)
}

// Restart implements origin.Sink.
func (d *download) Restart() error {
	d.size = 0
	d.h512.Reset()
	d.h256.Reset()
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

// Expect implements origin.Sink: it returns an error (errs.Unavailable) when the
// disk cannot hold n more bytes.
func (d *download) Expect(n int64) error {
	return fsx.Room(filepath.Dir(d.file.Name()), n, reserve)
}
