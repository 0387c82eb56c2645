package dir

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/errs"
)

const claimsFolder = "claims"

// Claim notes, durably, that something else than tags names blobs of this depot: store.ClaimLocks
// and the like. From then on a Collect that does not know the claim is refused. Claiming again
// changes nothing.
func (s *Store) Claim(name string) error {
	path := filepath.Join(s.dir, claimsFolder, name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := s.folder(claimsFolder); err != nil {
		return fmt.Errorf("claim in depot %s: %w", s.dir, err)
	}
	if err := s.fs.WriteFile(path, nil, 0o644); err != nil {
		return fmt.Errorf("claim in depot %s: %w", s.dir, err)
	}
	return nil
}

// Unclaimed returns an error (errs.Conflict) unless every claim is among those that are known.
func (s *Store) Unclaimed(known ...string) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, claimsFolder))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return strings.HasPrefix(e.Name(), ".") || slices.Contains(known, e.Name())
	})
	if len(entries) == 0 {
		return nil
	}
	return errs.Errorf(errs.Conflict, "its blobs are named by %s too, and the roots that were given know nothing of it", entries[0].Name())
}
