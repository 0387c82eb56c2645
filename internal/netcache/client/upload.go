package client

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/netcache"
)

// Uploaded says what an upload did.
type Uploaded struct {
	Name  string // sha512
	Size  int64
	Sent  bool // false: the cache had the bytes already
	Entry netcache.Entry
}

// Upload stores the bytes of file, from its start, and, unless key is "", an entry for them under
// key with the metadata fields, signed with every private key that is configured. An entry that
// does not belong to key is refused here (errs.Invalid), as is one without fields or a signer, and
// one with a URL that holds a secret.
func (n *Client) Upload(ctx context.Context, file io.ReadSeeker, key string, fields map[string]any) (Uploaded, error) {
	if err := n.uploadable(key, fields); err != nil {
		return Uploaded{}, err
	}
	up, sum, err := hashed(file)
	if err != nil {
		return up, err
	}
	if up.Sent, err = n.send(ctx, file, up, sum); err != nil || key == "" {
		return up, err
	}
	if up.Entry, err = n.entry(up, sum, key, fields); err != nil {
		return up, err
	}
	w := httpx.NewWatchdog(ctx, 2*n.o.Stall)
	defer w.Stop()
	b := netcache.EncodeEntry(up.Entry)
	resp, err := n.putKey.do(w.Context(), http.MethodPut, key, bytes.NewReader(b), int64(len(b)), http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return up, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return up, refused(resp)
	}
	return up, nil
}

func (n *Client) uploadable(key string, fields map[string]any) error {
	if err := n.configured(n.put, "upload-cache-url"); err != nil || key == "" {
		return err
	}
	if err := n.configured(n.putKey, "upload-dir-url"); err != nil {
		return err
	}
	if err := netcache.CheckKey(key); err != nil {
		return err
	}
	if len(fields) == 0 {
		return errs.Errorf(errs.Invalid, "an entry without metadata says nothing")
	}
	if err := netcache.CheckFields(fields); err != nil {
		return err
	}
	if n.rsa == nil && n.ed25519 == nil {
		return errs.Hint(errs.Errorf(errs.Invalid, "nothing to sign with: nobody would believe the entry"),
			"set overland-private-key-file or signature-private-key-file; overland netcache generate-signature-key makes one")
	}
	return nil
}

func hashed(file io.ReadSeeker) (up Uploaded, sum digest.Digest, err error) {
	if _, err = file.Seek(0, io.SeekStart); err != nil {
		return up, "", err
	}
	h512, h256 := sha512.New(), digest.New()
	if up.Size, err = io.Copy(io.MultiWriter(h512, h256), file); err != nil {
		return up, "", err
	}
	up.Name = hex.EncodeToString(h512.Sum(nil))
	_, err = file.Seek(0, io.SeekStart)
	return up, h256.Digest(), err
}

// there reports whether the cache has the bytes.
func (n *Client) there(ctx context.Context, up Uploaded) (bool, error) {
	w := httpx.NewWatchdog(ctx, 2*n.o.Stall)
	defer w.Stop()
	resp, err := n.put.do(w.Context(), http.MethodGet, up.Name, nil, 0, nil)
	if err != nil {
		return false, err
	}
	resp.Body.Close() // the bytes themselves are not wanted
	return resp.StatusCode == http.StatusOK && (resp.ContentLength < 0 || resp.ContentLength == up.Size), nil
}

// send sends the bytes unless the cache has them: a large blob in a way that goes on after a
// break, where the server knows that.
func (n *Client) send(ctx context.Context, file io.ReadSeeker, up Uploaded, sum digest.Digest) (sent bool, err error) {
	if there, err := n.there(ctx, up); there || err != nil {
		return false, err
	}
	if up.Size >= resumable {
		if done, err := n.sendParts(ctx, file, up, sum); done || err != nil {
			return done, err
		}
	}
	// The size is fixed here: a file that grows meanwhile is not sent longer than it was hashed.
	resp, err := n.sendBody(ctx, http.MethodPost, "", io.LimitReader(file, up.Size), up.Size, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if err := up.taken(resp); err != nil {
		return false, err
	}
	return true, nil
}

// sendBody sends one request with size bytes of body. The caller closes the answer's body.
func (n *Client) sendBody(ctx context.Context, method, name string, body io.Reader, size int64, header http.Header) (*http.Response, error) {
	w := httpx.NewWatchdog(ctx, n.o.Stall)
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/octet-stream")
	resp, err := n.put.do(w.Context(), method, name, io.NopCloser(&sent{w.Over(body), w}), size, header)
	w.Rest()
	if err != nil {
		w.Stop()
		return nil, err
	}
	resp.Body = &ended{resp.Body, w.Stop}
	return resp, nil
}

// sent is the body of an upload. When all of it is sent the server hashes it, for as long as
// answerTime: nobody watches then.
type sent struct {
	io.Reader
	w *httpx.Watchdog
}

func (s *sent) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		s.w.Rest()
	}
	return n, err
}

// ended is the body of an answer whose request ends with it.
type ended struct {
	io.ReadCloser
	stop func()
}

func (e *ended) Close() error {
	err := e.ReadCloser.Close()
	e.stop()
	return err
}

// taken returns nil when the answer says that the blob is stored.
func (up Uploaded) taken(resp *http.Response) error {
	if resp.StatusCode != http.StatusCreated {
		return refused(resp)
	}
	b, err := fsx.Read(resp.Body, "the answer", int64(len(up.Name))+2)
	if err != nil {
		return errs.E(errs.Unavailable, err)
	}
	if got := strings.TrimSpace(string(b)); got != up.Name {
		return errs.Errorf(errs.Unavailable, "the cache stored %.20q, sent was %.16s…", got, up.Name)
	}
	return nil
}

// entry returns the signed entry of what was uploaded.
func (n *Client) entry(up Uploaded, sum digest.Digest, key string, fields map[string]any) (netcache.Entry, error) {
	all := maps.Clone(fields)
	all["sha512"] = up.Name
	if n.ed25519 != nil {
		now := n.o.Clock()
		err := netcache.AddStatement(all, netcache.Statement{
			Key: key, Size: up.Size, SHA256: sum, Created: now, Expires: now.Add(n.o.Lifetime), Seq: now.UnixMilli(),
		}, n.ed25519)
		if err != nil {
			return netcache.Entry{}, err
		}
	}
	metadata, signature := netcache.EncodeMetadata(all), ""
	if n.rsa != nil {
		var err error
		if signature, err = netcache.Sign(n.rsa, metadata); err != nil {
			return netcache.Entry{}, err
		}
	}
	e, err := netcache.NewEntry(metadata, signature)
	if err == nil && netcache.Binding(key, e) == netcache.Mismatch {
		err = errs.Errorf(errs.Invalid, "the metadata belong to another key than %q", key)
	}
	return e, err
}
