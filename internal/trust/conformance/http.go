package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"overland/internal/fsx"
	node "overland/internal/trust/client"
)

// source is metadata below a URL.
type source struct{ base string }

func (s source) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	return get(ctx, strings.TrimSuffix(s.base, "/")+"/"+name, limit)
}

// get returns the body of at most limit bytes, or an error that wraps fs.ErrNotExist for a 404.
func get(ctx context.Context, address string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", address, fs.ErrNotExist)
	default:
		return nil, fmt.Errorf("%s: %s", address, resp.Status)
	}
	return fsx.Read(resp.Body, address, limit)
}

// download fetches one target, unless it is there already with the right hashes.
func (o options) download(ctx context.Context, c *node.Client, name string) error {
	target, err := c.Target(ctx, name)
	if err != nil {
		return err
	}
	hashes := map[string]string{}
	for k, v := range target.Other {
		hashes[k] = v
	}
	if target.Digest != "" {
		hashes["sha256"] = target.Digest.Encoded()
	}
	file := filepath.Join(o.targetDir, url.PathEscape(name))
	if b, err := os.ReadFile(file); err == nil && verify(b, target.Size, hashes) == nil {
		return nil
	}
	consistent, err := o.consistent()
	if err != nil {
		return err
	}
	remote := name
	if consistent {
		prefix := hashes["sha256"]
		if prefix == "" {
			prefix = hashes["sha512"]
		}
		remote = path.Join(path.Dir(name), prefix+"."+path.Base(name))
	}
	b, err := get(ctx, strings.TrimSuffix(o.targetURL, "/")+"/"+remote, target.Size)
	if err != nil {
		return err
	}
	if err := verify(b, target.Size, hashes); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// consistent reports whether the verified root says that files have
// numbers and digests in their names.
func (o options) consistent() (bool, error) {
	copies(filepath.Join(o.metadataDir, "overland"), o.metadataDir)
	b, err := os.ReadFile(filepath.Join(o.metadataDir, "root.json"))
	if err != nil {
		return false, err
	}
	var root struct {
		Signed struct {
			Consistent bool `json:"consistent_snapshot"`
		} `json:"signed"`
	}
	err = json.Unmarshal(b, &root)
	return root.Signed.Consistent, err
}

func verify(b []byte, size int64, hashes map[string]string) error {
	if int64(len(b)) != size || len(hashes) == 0 {
		return fmt.Errorf("%d bytes where %d belong, %d hashes", len(b), size, len(hashes))
	}
	for name, want := range hashes {
		var sum []byte
		switch name {
		case "sha256":
			s := sha256.Sum256(b)
			sum = s[:]
		case "sha512":
			s := sha512.Sum512(b)
			sum = s[:]
		default:
			return fmt.Errorf("unknown hash %q", name)
		}
		raw, err := hex.DecodeString(want)
		if err != nil || !bytes.Equal(raw, sum) {
			return errors.New("other bytes than were signed")
		}
	}
	return nil
}
