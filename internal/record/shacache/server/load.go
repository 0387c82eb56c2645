package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"overland/internal/store"
)

// PolicyFile is the name of the policy in the directory of a network cache.
const PolicyFile = "policy.json"

// Load opens the network cache in dir, with its blobs in depot, and serves it by the policy in dir/policy.json; without
// that file nobody may write. A policy or a key in it that cannot be read is an error, not an open door. What is set in
// o stays, but for o.Policy, of which only Open counts: it opens the cache whatever the file says.
func Load(dir string, depot *store.Store, o Options) (*Server, *Shelf, error) {
	shelf, err := Open(dir, depot, o.FS)
	if err != nil {
		return nil, nil, err
	}
	p, err := loadPolicy(filepath.Join(dir, PolicyFile))
	if err != nil {
		return nil, nil, err
	}
	p.Open = p.Open || o.Policy.Open
	o.Policy = p
	s := New(shelf, o)
	for _, w := range p.Warnings {
		s.o.Log.Warn("network cache policy", "warning", w)
	}
	return s, shelf, nil
}

func loadPolicy(path string) (Policy, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Policy{}, nil
	}
	if err != nil {
		return Policy{}, fmt.Errorf("network cache policy: %w", err)
	}
	defer f.Close()
	p, err := ParsePolicy(f)
	if err != nil {
		return Policy{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}
