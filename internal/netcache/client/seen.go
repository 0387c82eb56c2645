package client

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"overland/internal/errs"
	"overland/internal/netcache"
)

// seenPath returns the file that remembers the greatest number seen for key and the platform that e
// is for: entries of one key for other platforms have numbers of their own.
func (n *Client) seenPath(key string, e netcache.Entry) string {
	sum := sha256.Sum256([]byte(key + "\n" + netcache.Platform(e)))
	return filepath.Join(n.o.State, hex.EncodeToString(sum[:]))
}

func (n *Client) seen(key string, e netcache.Entry) (int64, error) {
	if n.o.State == "" {
		return 0, nil
	}
	b, err := os.ReadFile(n.seenPath(key, e))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	seq, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, nil //nolint:nilerr // written whole or not at all: damaged by the disk, and begun anew
	}
	return seq, nil
}

func (n *Client) notOlder(key string, e netcache.Entry, seq int64) error {
	newest, err := n.seen(key, e)
	if err == nil && seq < newest {
		err = errs.Errorf(errs.Untrusted, "entry number %d of key %q is older than number %d, which was used before", seq, key, newest)
	}
	return err
}

// remember notes that the entry f of key was used.
func (n *Client) remember(key string, f Found) error {
	if n.o.State == "" || f.Statement == nil {
		return nil
	}
	newest, err := n.seen(key, f.Entry)
	if err != nil || newest >= f.Statement.Seq {
		return err
	}
	if err := n.o.FS.Mkdir(n.o.State, 0o755); err != nil {
		return err
	}
	return n.o.FS.WriteFile(n.seenPath(key, f.Entry), []byte(strconv.FormatInt(f.Statement.Seq, 10)), 0o644)
}
