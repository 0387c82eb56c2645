package origin

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	codingsMost = 3       // that are applied one after the other
	zstdWindow  = 8 << 20 // bytes; RFC 9659 allows no more in HTTP
)

// Codings returns what the body of a is encoded with (RFC 9110 §8.4), the first one applied first, in
// lower case. It was asked for as it is, but some origins always encode.
func (a *Answer) Codings() (list []string) {
	for part := range strings.SplitSeq(strings.ToLower(strings.Join(a.Header.Values("Content-Encoding"), ",")), ",") {
		if part = strings.TrimSpace(part); part != "" && part != "identity" {
			list = append(list, part)
		}
	}
	return list
}

// Decoded returns a without its Codings, in a temporary file of its own, which the caller closes too.
// errs.Untrusted when one of them is not known, or the body is not encoded so or has more than limit
// bytes. a is rewound.
func (a *Answer) Decoded(limit int64) (_ *Answer, err error) {
	in := io.Reader(a.Body)
	codings := a.Codings()
	if len(codings) > codingsMost {
		return nil, errs.Errorf(errs.Untrusted, "%d codings of a body", len(codings))
	}
	for i, name := range slices.Backward(codings) {
		if i < len(codings)-1 {
			// What lies between two codings is bounded too: it may be without end and come to nothing.
			in = io.LimitReader(in, limit)
		}
		var done func()
		if in, done, err = decoder(name, in); err != nil {
			return nil, errors.Join(errs.Errorf(errs.Untrusted, "Content-Encoding %.40q: %w", name, err), a.rewind())
		}
		defer done()
	}
	file, err := (fsx.FS{}).Nameless(a.dir, spoolMode)
	if err != nil {
		return nil, fsx.Full(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	h := digest.New()
	n, err := io.Copy(io.MultiWriter(file, h), io.LimitReader(in, limit+1))
	switch {
	case fsx.IsFull(err):
		return nil, fsx.Full(err)
	case err != nil:
		return nil, errs.Errorf(errs.Untrusted, "Content-Encoding %s: %w", strings.Join(codings, ", "), err)
	case n > limit:
		return nil, errs.Errorf(errs.Untrusted, "Content-Encoding %s: more than the limit of %d bytes", strings.Join(codings, ", "), limit)
	}
	if _, err = file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	plain := *a
	plain.Body, plain.Size, plain.Digest, plain.spool = file, n, h.Digest(), nil
	plain.Header = a.Header.Clone()
	plain.Header.Del("Content-Encoding")
	return &plain, a.rewind()
}

func (a *Answer) rewind() error {
	_, err := a.Body.Seek(0, io.SeekStart)
	return err
}

// decoder returns in without the coding name. done frees it.
func decoder(name string, in io.Reader) (_ io.Reader, done func(), err error) {
	nothing := func() {}
	switch name {
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(in)
		return z, nothing, err
	case "deflate":
		b := bufio.NewReader(in)
		if !isZlib(b) {
			return flate.NewReader(b), nothing, nil
		}
		z, err := zlib.NewReader(b)
		return z, nothing, err
	case "zstd":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	}
	return nil, nothing, errors.New("not one that can be decoded here")
}

// isZlib reports whether in begins as zlib's format does (RFC 1950 §2.2), which "deflate" means. Some
// origins send what is inside of it alone.
func isZlib(in *bufio.Reader) bool {
	const length, method, check = 2, 8, 31
	head, err := in.Peek(length)
	return err == nil && head[0]&0x0f == method && (int(head[0])<<8|int(head[1]))%check == 0
}
