package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"overland/internal/digest"
	"overland/internal/fsx"
)

// maxRecord bounds a record, in bytes.
const maxRecord = 16 << 20

// Result is what a step ended with that passed.
type Result struct {
	Inputs Inputs    `json:"inputs"`
	Tries  int       `json:"tries"` // more than one: it is flaky
	Took   float64   `json:"took"`  // seconds, of the last try
	Ended  time.Time `json:"ended"`
	Tests  *Tests    `json:"tests,omitempty"`
	Kept   []Kept    `json:"kept,omitempty"`
}

// Kept is a file that a step keeps. It is in the depot.
type Kept struct {
	Path    string        `json:"path"` // slash-separated, below the copy
	Digest  digest.Digest `json:"digest"`
	Size    int64         `json:"size"` // bytes
	Program bool          `json:"program,omitempty"`
}

// digest is what other steps see of r: that it passed, and its files.
func (r Result) digest() digest.Digest {
	b, err := json.Marshal(r.Kept)
	if err != nil {
		panic("pipeline: result: " + err.Error()) // texts and numbers alone
	}
	return digest.Of(b)
}

// Last is how a step ended the last time.
type Last struct {
	Inputs Inputs    `json:"inputs"`
	Ended  time.Time `json:"ended"`
	Failed bool      `json:"failed,omitempty"`
	Runs   int       `json:"runs"`            // so far
	Flaky  int       `json:"flaky,omitempty"` // how many of them passed at a later try alone
}

// disk is a Memory in a folder: AB/<64 hex of the key>.json, with the log beside it, and
// last/<64 hex>.json for each step. A record is whole or not there, whatever ends the process.
type disk struct {
	dir   string
	owner string
	fs    fsx.FS
	size  func(digest.Digest) (int64, error) // of a blob in the depot
}

func (m *disk) path(key digest.Digest, ending string) string {
	return filepath.Join(m.dir, key.Encoded()[:2], key.Encoded()+ending)
}

func (m *disk) last(pipeline, id string) string {
	return filepath.Join(m.dir, "last", digest.Of([]byte(m.owner+"\x00"+pipeline+"\x00"+id)).Encoded()+".json")
}

// Passed implements Memory. A record that cannot be read, or one of whose files is gone, counts as none.
func (m *disk) Passed(key digest.Digest) (Result, bool) {
	var r Result
	if !read(m.path(key, ".json"), &r) || r.Ended.IsZero() || r.Inputs.key() != key {
		return Result{}, false
	}
	for _, k := range r.Kept {
		if n, err := m.size(k.Digest); err != nil || n != k.Size {
			return Result{}, false
		}
	}
	return r, true
}

// Last implements Memory.
func (m *disk) Last(pipeline, id string) (l Last, ok bool) {
	ok = read(m.last(pipeline, id), &l)
	return l, ok
}

// passed remembers r, durably.
func (m *disk) passed(key digest.Digest, r Result) error { return m.write(m.path(key, ".json"), r) }

// ended notes how a step ended, for people: that it is lost costs a reason, not a result.
func (m *disk) ended(pipeline, id string, in Inputs, failed, flaky bool) {
	l, _ := m.Last(pipeline, id)
	l.Inputs, l.Failed, l.Ended = in, failed, time.Now().UTC()
	l.Runs++
	if flaky {
		l.Flaky++
	}
	_ = m.write(m.last(pipeline, id), l)
}

// snapshot is a Memory that does not change: each question is asked once.
type snapshot struct {
	Memory
	passed map[digest.Digest]found
}

type found struct {
	result Result
	ok     bool
}

// Passed implements Memory.
func (s *snapshot) Passed(key digest.Digest) (Result, bool) {
	f, asked := s.passed[key]
	if !asked {
		f.result, f.ok = s.Memory.Passed(key)
		s.passed[key] = f
	}
	return f.result, f.ok
}

func (m *disk) write(path string, v any) error {
	const mode, folder = 0o600, 0o700
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = m.fs.Mkdir(filepath.Dir(path), folder)
	}
	if err == nil {
		err = m.fs.WriteFile(path, append(b, '\n'), mode)
	}
	if err != nil {
		return fmt.Errorf("remember a step: %w", err)
	}
	return nil
}

func read(path string, v any) bool {
	b, err := fsx.ReadFile(path, maxRecord)
	return err == nil && json.Unmarshal(b, v) == nil
}

// lock waits until no other process runs the step with this key.
func (m *disk) lock(ctx context.Context, key digest.Digest) (*fsx.Lock, error) {
	const folder = 0o700
	path := m.path(key, ".lock")
	if err := m.fs.Mkdir(filepath.Dir(path), folder); err != nil {
		return nil, err
	}
	l, err := fsx.AwaitLock(ctx, path)
	if errors.Is(err, fsx.ErrLocked) {
		return nil, fmt.Errorf("wait for the same step elsewhere: %w", ctx.Err())
	}
	return l, err
}
