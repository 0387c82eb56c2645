package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
)

// Limits of index.json and of one tag's name.
const (
	IndexLimit   = 16 << 20 // bytes
	indexEntries = 1 << 16
	tagLimit     = 255 // bytes
)

// TagOf returns the name that index.json gives desc, or "".
func TagOf(desc ocispec.Descriptor) string { return desc.Annotations[ocispec.AnnotationRefName] }

// WithTag returns list with name standing for desc, in place of what it stood for. A bad name or
// descriptor is errs.Invalid.
func WithTag(list []ocispec.Descriptor, name string, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if err := checkTag(name); err != nil {
		return nil, err
	}
	if err := checkDescriptor(desc); err != nil {
		return nil, fmt.Errorf("tag %s: %w", name, err)
	}
	annotations := map[string]string{}
	maps.Copy(annotations, desc.Annotations)
	annotations[ocispec.AnnotationRefName] = name
	desc.Annotations = annotations
	return append(WithoutTag(list, name), desc), nil
}

// WithoutTag returns list without name.
func WithoutTag(list []ocispec.Descriptor, name string) []ocispec.Descriptor {
	return slices.DeleteFunc(slices.Clone(list), func(d ocispec.Descriptor) bool { return TagOf(d) == name })
}

// FindTag returns what name stands for in list, or an error that wraps ErrNotFound (errs.NotFound).
func FindTag(list []ocispec.Descriptor, name string) (ocispec.Descriptor, error) {
	for _, d := range list {
		if TagOf(d) == name {
			return d, nil
		}
	}
	return ocispec.Descriptor{}, errs.Errorf(errs.NotFound, "tag %q: %w", name, ErrNotFound)
}

// MarshalIndex returns the index.json of a depot or a volume that lists list: the same bytes for
// the same descriptors in any order.
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

// ParseIndex returns what the index.json b lists. It refuses (errs.Invalid) what is not an OCI
// index, exceeds the limits, or gives one name twice.
func ParseIndex(b []byte) ([]ocispec.Descriptor, error) {
	list, err := parseIndex(b)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "not an OCI index: %w", err)
	}
	return list, nil
}

func parseIndex(b []byte) ([]ocispec.Descriptor, error) {
	if len(b) > IndexLimit || Dense(b) {
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
