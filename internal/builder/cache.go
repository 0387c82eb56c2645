package builder

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/platform"
)

// cache remembers what each recipe made: dir/AB/<64 hex of the recipe>.json.
type cache struct {
	dir string
	fs  fsx.FS
}

// recordVersion is part of every key: raise it when the meaning of a record changes, and
// all earlier ones are forgotten.
const recordVersion = 2

// maxRecord bounds a record, in bytes.
const maxRecord = 64 << 10

// inputs is everything that decides a result's bytes.
type inputs struct {
	Version  int               `json:"version"`
	Owner    string            `json:"owner"` // of the Job: no application takes the result of another one
	Tree     string            `json:"tree"`  // of the whole repository: a Go module may refer to another folder of it
	Platform platform.Platform `json:"platform"`
	Recipe   Recipe            `json:"recipe"`
}

// record is one remembered result.
type record struct {
	Digest    digest.Digest   `json:"digest"`
	Size      int64           `json:"size"`
	Toolchain string          `json:"toolchain"`
	Data      bool            `json:"data,omitempty"`   // it is not a program
	Called    string          `json:"called,omitempty"` // as in the Output
	Image     bool            `json:"image,omitempty"`
	Parts     []digest.Digest `json:"parts,omitempty"` // as in the Output
	Inputs    inputs          `json:"inputs"`          // for people: why this is a result of its own

	Beside int64 `json:"-"` // bytes, of Parts; weigh fills it
}

// built returns what r remembers as the result of j.
func (r record) built(j Job, cached bool) Built {
	return Built{
		Name: j.Name, Platform: j.Platform, File: cmp.Or(r.Called, j.Name), Data: r.Data, Image: r.Image, Parts: r.Parts, Beside: r.Beside, Digest: r.Digest, Size: r.Size, Toolchain: r.Toolchain,
		Cached: cached, Isolation: r.Inputs.Recipe.Isolation,
	}
}

// key returns the name of a result. encoding/json writes fields in order and map keys sorted,
// so equal inputs have equal keys.
func (in inputs) key() (digest.Digest, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return "", fmt.Errorf("recipe: %w", err)
	}
	return digest.Of(b), nil
}

func (c cache) path(key digest.Digest) string {
	return filepath.Join(c.dir, key.Encoded()[:2], key.Encoded()+".json")
}

// get returns the record of key. A record that cannot be read, or whose blob does not have its
// size, or one of whose parts is gone, counts as none. With a nil size the blobs may be gone.
func (c cache) get(key digest.Digest, size func(digest.Digest) (int64, error)) (record, bool) {
	b, err := fsx.ReadFile(c.path(key), maxRecord)
	if err != nil {
		return record{}, false
	}
	return readRecord(b, size)
}

func readRecord(b []byte, size func(digest.Digest) (int64, error)) (record, bool) {
	var r record
	if json.Unmarshal(b, &r) != nil || r.Toolchain == "" {
		return record{}, false
	}
	for _, d := range append([]digest.Digest{r.Digest}, r.Parts...) {
		if _, err := digest.Parse(string(d)); err != nil {
			return record{}, false
		}
	}
	if size == nil {
		return r, true
	}
	n, err := size(r.Digest)
	if err != nil || n != r.Size {
		return record{}, false
	}
	return r, r.weigh(size) == nil
}

// weigh asks for the sizes of the parts of r.
func (r *record) weigh(size func(digest.Digest) (int64, error)) error {
	r.Beside = 0
	for _, d := range r.Parts {
		n, err := size(d)
		if err != nil {
			return err
		}
		r.Beside += n
	}
	return nil
}

// put remembers r, durably.
func (c cache) put(key digest.Digest, r record) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("remember a build: %w", err)
	}
	path := c.path(key)
	if err := c.fs.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("remember a build: %w", err)
	}
	if err := c.fs.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("remember a build: %w", err)
	}
	return nil
}

// lock returns the flock of key, so that only one process works on it; it waits until ctx ends.
// Keys that begin alike share one, so that there are few lock files; nobody holds two.
func (c cache) lock(ctx context.Context, key digest.Digest) (*fsx.Lock, error) {
	dir := filepath.Join(c.dir, key.Encoded()[:2])
	if err := c.fs.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("lock a build: %w", err)
	}
	l, err := fsx.AwaitLock(ctx, filepath.Join(dir, "lock"))
	if errors.Is(err, fsx.ErrLocked) {
		return nil, fmt.Errorf("wait for another build: %w", ctx.Err())
	}
	return l, err
}
