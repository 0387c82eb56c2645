package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// seen is what a node must not forget even when its metadata files are torn: what was
// pinned, and the newest of everything that it verified. It is kept in two files, so
// that one torn file costs nothing.
type seen struct {
	Seq        int64             `json:"seq"`        // of the copies that can be read, the one with the higher number holds
	Pin        trust.Fingerprint `json:"pin"`        // of the root version that was pinned
	PinVersion int64             `json:"pinVersion"` //
	Root       int64             `json:"root"`       // newest verified version
	Timestamp  int64             `json:"timestamp"`  // newest verified version, 0: none
	// Versions of snapshot, targets and every delegated role that snapshot speaks of, by role.
	Versions map[string]int64 `json:"versions,omitempty"`
	// The keys of the two roles when Timestamp and Versions were verified. When one of them
	// is revoked, a thief may have signed versions and times far ahead: what was verified
	// under it is forgotten (TUF 5.3.11).
	TimestampKeys []string `json:"timestampKeys,omitempty"`
	SnapshotKeys  []string `json:"snapshotKeys,omitempty"`
	// Signed is the newest signing time of a verified timestamp; Clock is the machine's time at the
	// last check that succeeded online, so it is never later than the expiry of metadata that was
	// valid then: a clock that was wrong for a day cannot stop the node for good.
	Signed time.Time `json:"signed"`
	Clock  time.Time `json:"clock"`

	lone bool // the other copy is missing, torn or older
}

const (
	seenMagic = "overland-trust-seen 1 "
	maxSeen   = 4 << 20
)

var seenFiles = [2]string{"seen.a", "seen.b"}

// encode returns the file: one line of magic, version and digest, then JSON.
func (s *seen) encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return append([]byte(seenMagic+string(digest.Of(body))+"\n"), body...), nil
}

func parseSeen(b []byte) (*seen, error) {
	line, body, ok := bytes.Cut(b, []byte("\n"))
	sum, magic := strings.CutPrefix(string(line), seenMagic)
	if !ok || !magic || digest.Of(body) != digest.Digest(sum) {
		return nil, errors.New("torn, or of an unknown format")
	}
	s := &seen{}
	if err := json.Unmarshal(body, s); err != nil {
		return nil, err
	}
	if _, err := trust.ParseFingerprint(string(s.Pin)); err != nil || s.PinVersion < 1 || s.Root < s.PinVersion {
		return nil, errors.New("pins no root")
	}
	return s, nil
}

// loadSeen returns what the node in dir has verified; nil when nothing is pinned. The error wraps
// ErrDamaged when files are there and none can be read.
func loadSeen(dir string) (*seen, error) {
	var best *seen
	var bad []error
	same := 0
	for _, name := range seenFiles {
		b, err := fsx.ReadFile(filepath.Join(dir, name), maxSeen)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var s *seen
		if err == nil {
			s, err = parseSeen(b)
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", filepath.Join(dir, name), err))
			continue
		}
		switch {
		case best == nil || s.Seq > best.Seq:
			best, same = s, 1
		case s.Seq == best.Seq:
			same++
		}
	}
	if best == nil && len(bad) > 0 {
		return nil, fmt.Errorf("%w: %w", trust.ErrDamaged, errors.Join(bad...))
	}
	if best != nil {
		best.lone = same < len(seenFiles)
	}
	return best, nil
}

// save writes both copies, one after the other: at any moment one of them is whole.
func (s *seen) save(f fsx.FS, dir string) error {
	s.Seq++
	b, err := s.encode()
	if err != nil {
		return err
	}
	for _, name := range seenFiles {
		if err := f.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return fmt.Errorf("remember what was verified: %w", err)
		}
	}
	return nil
}

// forget drops everything that a revoked online key may have said.
func (s *seen) forget() {
	s.Timestamp, s.Versions, s.Signed = 0, nil, time.Time{}
}
