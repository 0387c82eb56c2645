package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Limits of index.json and of one tag's name.
const (
	IndexLimit   = 16 << 20 // bytes
	indexEntries = 1 << 16
	tagLimit     = 255 // bytes
	indexLock    = "index.lock"
)

// Tag makes name stand for desc, in place of what it stood for, and returns when that will survive a power cut.
// Processes that tag at the same time wait for each other; none loses its tag.
func (s *Store) Tag(ctx context.Context, name string, desc ocispec.Descriptor) error {
	if err := checkTag(name); err != nil {
		return err
	}
	if err := checkDescriptor(desc); err != nil {
		return fmt.Errorf("tag %s: %w", name, err)
	}
	desc.Annotations = withName(desc.Annotations, name)
	return s.changeIndex(ctx, func(list []ocispec.Descriptor) []ocispec.Descriptor {
		return append(without(list, name), desc)
	})
}

// Untag removes name; one that is not there is no error. The blobs stay until Collect.
func (s *Store) Untag(ctx context.Context, name string) error {
	return s.changeIndex(ctx, func(list []ocispec.Descriptor) []ocispec.Descriptor { return without(list, name) })
}

// Resolve returns what name stands for, or an error that wraps ErrNotFound (errs.NotFound).
func (s *Store) Resolve(name string) (ocispec.Descriptor, error) {
	list, err := s.Tags()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, d := range list {
		if TagOf(d) == name {
			return d, nil
		}
	}
	return ocispec.Descriptor{}, errs.Errorf(errs.NotFound, "tag %q: %w", name, ErrNotFound)
}

// Tags returns what index.json lists, sorted as MarshalIndex does: the named ones carry their name (see TagOf).
func (s *Store) Tags() ([]ocispec.Descriptor, error) {
	b, err := fsx.ReadFile(s.indexPath(), IndexLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := ParseIndex(b)
	if err != nil {
		return nil, errs.Hint(fmt.Errorf("%s: %w", s.indexPath(), err),
			"it only holds names, no blob is lost: move it away and tag (or release) again, or put back a copy")
	}
	return list, nil
}

func (s *Store) indexPath() string { return filepath.Join(s.dir, ocispec.ImageIndexFile) }

func (s *Store) changeIndex(ctx context.Context, change func([]ocispec.Descriptor) []ocispec.Descriptor) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.folder(ingestFolder); err != nil {
		return Full(err)
	}
	lock, err := fsx.WaitLock(s.ingest(indexLock))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	// Under the lock nobody else has a temporary index: what is there was left by a writer that died.
	stale, err := filepath.Glob(filepath.Join(s.dir, "."+ocispec.ImageIndexFile+".tmp-*"))
	if err != nil {
		return err
	}
	for _, path := range stale {
		if err := s.fs.Remove(path); err != nil {
			return err
		}
	}
	list, err := s.Tags()
	if err != nil {
		return err
	}
	b, err := MarshalIndex(change(list))
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(s.indexPath()); err == nil && string(old) == string(b) {
		return nil
	}
	return Full(s.fs.WriteFile(s.indexPath(), b, 0o644))
}

// TagOf returns the name that index.json gives desc, or "".
func TagOf(desc ocispec.Descriptor) string { return desc.Annotations[ocispec.AnnotationRefName] }

// MarshalIndex returns the index.json of a depot or a volume that lists list: the same bytes for the same descriptors
// in any order.
func MarshalIndex(list []ocispec.Descriptor) ([]byte, error) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b ocispec.Descriptor) int {
		if c := strings.Compare(TagOf(a), TagOf(b)); c != 0 {
			return c
		}
		return strings.Compare(string(a.Digest), string(b.Digest))
	})
	if list == nil {
		list = []ocispec.Descriptor{} // the OCI schema wants a list, not null
	}
	b, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: list,
	})
	if err == nil && len(b) > IndexLimit {
		err = fmt.Errorf("index.json of %d bytes: %w", len(b), ErrTooLarge)
	}
	return b, err
}

// ParseIndex returns what the index.json b lists. It refuses (errs.Invalid) what is not an OCI index, exceeds the
// limits, or gives one name twice.
func ParseIndex(b []byte) ([]ocispec.Descriptor, error) {
	list, err := parseIndex(b)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "not an OCI index: %w", err)
	}
	return list, nil
}

func parseIndex(b []byte) ([]ocispec.Descriptor, error) {
	if len(b) > IndexLimit {
		return nil, fmt.Errorf("%d bytes: %w", len(b), ErrTooLarge)
	}
	var index ocispec.Index
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, err
	}
	if index.SchemaVersion != 2 {
		return nil, fmt.Errorf("schema version %d, want 2", index.SchemaVersion)
	}
	if len(index.Manifests) > indexEntries {
		return nil, fmt.Errorf("%d entries: %w", len(index.Manifests), ErrTooLarge)
	}
	seen := make(map[string]bool, len(index.Manifests))
	for i, d := range index.Manifests {
		if err := checkDescriptor(d); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		if name := TagOf(d); name != "" {
			if seen[name] {
				return nil, fmt.Errorf("tag %q is there twice", name)
			}
			seen[name] = true
		}
	}
	return index.Manifests, nil
}

func checkDescriptor(d ocispec.Descriptor) error {
	if _, err := digest.Parse(string(d.Digest)); err != nil {
		return errs.E(errs.Invalid, err)
	}
	if d.Size < 0 {
		return errs.Errorf(errs.Invalid, "%s: size %d", d.Digest, d.Size)
	}
	return nil
}

func checkTag(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@:/+"
	if name == "" || len(name) > tagLimit || strings.Trim(name, letters) != "" {
		return errs.Errorf(errs.Invalid, "tag %.100q: 1 to %d letters, digits and ._-@:/+", name, tagLimit)
	}
	return nil
}

func withName(annotations map[string]string, name string) map[string]string {
	m := map[string]string{ocispec.AnnotationRefName: name}
	for k, v := range annotations {
		if k != ocispec.AnnotationRefName {
			m[k] = v
		}
	}
	return m
}

func without(list []ocispec.Descriptor, name string) []ocispec.Descriptor {
	return slices.DeleteFunc(list, func(d ocispec.Descriptor) bool { return TagOf(d) == name })
}
