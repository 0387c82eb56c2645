package client

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
)

const (
	attempts = 5 // in a row that bring nothing
	pause    = 200 * time.Millisecond
	fileMode = 0o644
	reserve  = 16 << 20 // bytes that a download leaves free
)

// Result is how a download ended.
type Result struct {
	Outcome Outcome
	Found   Found // for a Hit
	Size    int64
}

// Download writes the blob of the first entry of key that is believed, meets filters and can be had to path. The file
// appears whole, verified and durable, or not at all. Of several entries a broken one does not hide the next. The error
// is nil exactly for a Hit.
func (n *Client) Download(ctx context.Context, key string, filters []netcache.Filter, path string) (Result, error) {
	list, err := n.Select(ctx, key, filters)
	if err != nil {
		return Result{Outcome: list.Outcome}, err
	}
	return n.Take(ctx, key, list.Found, path)
}

// Take is Download for a caller who has chosen among the entries that Select found: the first of list that can be had.
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

// Origin writes what a URL has to path; it judges the bytes itself.
type Origin func(ctx context.Context, url, path string) error

// DownloadURL is Download with the key of url, and with origin when the cache brought nothing. The outcome is the
// cache's in any case. A configuration that cannot be used is an error (errs.Invalid), and no reason to ask origin.
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

// transfer is one blob on its way into a temporary file.
type transfer struct {
	file *fsx.Pending
	h512 hash.Hash
	h256 digest.Hasher
	off  int64
	size int64  // -1 while it is not known
	etag string // of the answer that the bytes came from
}

func (n *Client) fetch(ctx context.Context, f Found, path string) (int64, error) {
	file, err := n.o.FS.Create(path, fileMode)
	if err != nil {
		return 0, err
	}
	defer file.Discard()
	t := &transfer{file: file, h512: sha512.New(), h256: digest.Hasher{Hash: sha256.New()}, size: -1}
	if f.Statement != nil {
		t.size = f.Statement.Size
	}
	for failed := 0; ; {
		before := t.off
		done, err := n.part(ctx, t, f.Name())
		if done {
			break
		}
		if ctx.Err() != nil || errs.KindOf(err) != errs.Unavailable || errors.Is(err, fsx.ErrNoRoom) {
			return 0, err
		}
		if t.off > before {
			failed = 0
		}
		if failed++; failed == attempts {
			return 0, err
		}
		wait := time.NewTimer(pause << failed)
		select {
		case <-ctx.Done():
			wait.Stop()
			return 0, ctx.Err()
		case <-wait.C:
		}
	}
	if err := t.verify(f); err != nil {
		return 0, err
	}
	return t.off, file.Commit()
}

func (t *transfer) verify(f Found) error {
	if name := hex.EncodeToString(t.h512.Sum(nil)); name != f.Name() {
		return errs.Errorf(errs.Untrusted, "the bytes have sha512 %.16s…, the entry says %.16s…: %w", name, f.Name(), digest.ErrMismatch)
	}
	if f.Statement != nil && (t.h256.Digest() != f.Statement.SHA256 || t.off != f.Statement.Size) {
		return errs.Errorf(errs.Untrusted, "the bytes are %s, the entry says %s: %w", t.h256.Digest(), f.Statement.SHA256, digest.ErrMismatch)
	}
	return nil
}

// part asks for what is missing. It returns true when all is there.
func (n *Client) part(ctx context.Context, t *transfer, name string) (done bool, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	body := watch(nil, n.o.Stall, stop)
	defer body.stop()
	header := http.Header{}
	if t.off > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", t.off))
		if t.etag != "" {
			header.Set("If-Range", t.etag)
		}
	}
	resp, err := n.get.do(ctx, http.MethodGet, name, nil, 0, header)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if err := t.accept(resp, n.o.MaxBlob); err != nil {
		return false, err
	}
	if err := room(t.file.Name(), t.size-t.off); err != nil {
		return false, err
	}
	body.r = resp.Body
	limit := n.o.MaxBlob
	if t.size >= 0 {
		limit = t.size
	}
	// One byte more than expected is enough to know that it is something else.
	got, err := io.Copy(io.MultiWriter(t.h512, t.h256, t.file), io.LimitReader(body, limit-t.off+1))
	t.off += got
	switch {
	case t.off > limit:
		return false, errs.Errorf(errs.Untrusted, "more than %d bytes: %w", limit, digest.ErrMismatch)
	case err == nil && t.size >= 0 && t.off < t.size:
		return false, errs.Errorf(errs.Unavailable, "the answer ended after %d of %d bytes", t.off, t.size)
	case err != nil && errors.Is(context.Cause(ctx), errStalled):
		return false, errStalled
	}
	return err == nil, err
}

// accept checks the head of an answer before its body may follow what is there: a 200 where a part was asked begins
// anew, a part of something else is refused, an error page is never appended.
func (t *transfer) accept(resp *http.Response, limit int64) error {
	switch {
	case resp.StatusCode == http.StatusPartialContent && t.off > 0:
		want, total := fmt.Sprintf("bytes %d-", t.off), int64(-1)
		rest, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), want)
		if _, text, cut := strings.Cut(rest, "/"); ok && cut && text != "*" {
			n, err := strconv.ParseInt(text, 10, 64)
			ok, total = err == nil, n
		}
		if !ok || (t.size >= 0 && total >= 0 && total != t.size) {
			return errors.Join(errs.Errorf(errs.Unavailable, "asked for bytes from %d, got %q", t.off, resp.Header.Get("Content-Range")), t.restart())
		}
		return nil
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && t.off > 0:
		return errors.Join(errs.Errorf(errs.Unavailable, "asked for bytes from %d: %s", t.off, resp.Status), t.restart())
	case resp.StatusCode != http.StatusOK:
		return refused(resp)
	}
	if err := t.restart(); err != nil {
		return err
	}
	if t.etag = resp.Header.Get("ETag"); strings.HasPrefix(t.etag, "W/") {
		t.etag = ""
	}
	switch n := resp.ContentLength; {
	case n > limit:
		return errs.Errorf(errs.Untrusted, "a blob of %d bytes, at most %d are taken", n, limit)
	case n >= 0 && t.size >= 0 && n != t.size:
		return errs.Errorf(errs.Untrusted, "a blob of %d bytes, the entry says %d: %w", n, t.size, digest.ErrMismatch)
	case n >= 0:
		t.size = n
	}
	return nil
}

// restart forgets the bytes that are there.
func (t *transfer) restart() error {
	if t.off == 0 {
		return nil
	}
	t.off = 0
	t.h512.Reset()
	t.h256.Reset()
	if err := t.file.Truncate(0); err != nil {
		return err
	}
	_, err := t.file.Seek(0, io.SeekStart)
	return err
}

// room returns an error (errs.Unavailable), which another attempt does not help, when the disk cannot take n more bytes.
func room(path string, n int64) error {
	if n <= 0 {
		return nil
	}
	return fsx.Room(filepath.Dir(path), n+reserve)
}
