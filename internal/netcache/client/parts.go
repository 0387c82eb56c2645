package client

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
)

const (
	resumable  = 8 << 20 // bytes of a blob from which on an upload is worth going on with
	partTries  = 7       // attempts in a row that bring the server nothing
	statusMore = http.StatusPermanentRedirect
)

// sendParts uploads the blob of up so that a break costs only what was on the wire:
// docs/format/shacache.md. It returns false and no error when the server does not know
// how: then nothing of it is there.
func (n *Client) sendParts(ctx context.Context, file io.ReadSeeker, up Uploaded, sum digest.Digest) (bool, error) {
	raw, err := hex.DecodeString(sum.Encoded())
	if err != nil {
		return false, err
	}
	header := http.Header{
		"Repr-Digest": {"sha-256=:" + base64.StdEncoding.EncodeToString(raw) + ":"}, "Overland-Upload": {n.uploadID(up.Name)},
	}
	at, most, wait := int64(-1), int64(-1), n.o.Wait // most: what the server has said that it has
	for tries := 1; ; tries++ {
		there, err := n.sendPart(ctx, file, up, at, header)
		if err == nil && there == up.Size {
			return true, nil
		}
		switch kind := errs.KindOf(err); {
		case err == nil && there > most:
			at, most, tries, wait = there, there, 0, n.o.Wait
			continue
		case err == nil:
			at = there
		case most < 0 && ctx.Err() == nil && kind != errs.Denied:
			return false, nil
		case kind != errs.Unavailable && kind != errs.Conflict, tries == partTries:
			return false, err
		default:
			at = -1
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// sendPart sends the bytes from at on, or, with -1, asks how many are there; it
// returns how many are there then.
func (n *Client) sendPart(ctx context.Context, file io.ReadSeeker, up Uploaded, at int64, header http.Header) (there int64, err error) {
	h, size := header.Clone(), int64(0)
	if at < 0 {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", up.Size))
	} else {
		if _, err := file.Seek(at, io.SeekStart); err != nil {
			return 0, err
		}
		size = up.Size - at
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, up.Size-1, up.Size))
		h.Set("Expect", "100-continue") // the server may be elsewhere
	}
	resp, err := n.sendBody(ctx, http.MethodPut, up.Name, io.LimitReader(file, size), size, h)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != statusMore {
		return up.Size, up.taken(resp)
	}
	last, ok := strings.CutPrefix(resp.Header.Get("Range"), "bytes=0-")
	if !ok {
		return 0, nil
	}
	end, err := strconv.ParseInt(last, 10, 64)
	if err != nil || end < 0 || end >= up.Size {
		return 0, errs.Errorf(errs.Invalid, "the cache has bytes %q of %d", last, up.Size)
	}
	return end + 1, nil
}

// uploadID returns what the server knows our upload of the blob name by: another process with the same
// keys goes on with it, and nobody else can.
func (n *Client) uploadID(name string) string {
	h := hmac.New(sha256.New, n.secret)
	_, _ = io.WriteString(h, "overland upload "+name)
	const digits = 32
	return hex.EncodeToString(h.Sum(nil))[:digits]
}
