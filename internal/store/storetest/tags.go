package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/store"
)

func tag(t *testing.T, h Harness) {
	again := h.New(t)
	s := again()
	a, b := Describe([]byte("a")), Describe([]byte("b"))
	a.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v6"}
	a.Annotations = map[string]string{"note": "kept"}
	if _, err := s.Resolve(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("Resolve in an empty store: %v", err)
	}
	for _, name := range []string{"x", "wallet@r412.abcdef012345", "y"} {
		fatal(t, s.Tag(t.Context(), name, b))
	}
	fatal(t, s.Tag(t.Context(), "x", a))
	fatal(t, s.Untag(t.Context(), "y"))
	fatal(t, s.Untag(t.Context(), "z"))
	if len(a.Annotations) != 1 {
		t.Error("Tag changed its argument")
	}
	s = again()
	got, err := s.Resolve(t.Context(), "x")
	if err != nil || got.Digest != a.Digest || got.Platform == nil || got.Platform.Variant != "v6" || got.Annotations["note"] != "kept" {
		t.Errorf("Resolve: %v, %v", got, err)
	}
	tags, err := s.Tags(t.Context())
	if err != nil || len(tags) != 2 || store.TagOf(tags[0]) != "wallet@r412.abcdef012345" || store.TagOf(tags[1]) != "x" {
		t.Errorf("Tags: %v, %v", tags, err)
	}
	for _, bad := range []string{"", " ", "a b", "ü", "a\n", strings.Repeat("x", 256)} {
		if err := s.Tag(t.Context(), bad, a); errs.KindOf(err) != errs.Invalid {
			t.Errorf("Tag(%q): %v", bad, err)
		}
	}
	if err := s.Tag(t.Context(), "x", ocispec.Descriptor{Digest: "sha256:no"}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("Tag of a bad digest: %v", err)
	}
}

// tagsOfManyWriters tags at the same time: none loses a tag to another.
func tagsOfManyWriters(t *testing.T, h Harness) {
	again := h.New(t)
	const writers, each = 4, 8
	var wg sync.WaitGroup
	failed := make([]error, writers)
	for n := range writers {
		s := again()
		wg.Go(func() {
			for k := range each {
				name := fmt.Sprintf("n%d.%d", n, k)
				failed[n] = errors.Join(failed[n], s.Tag(t.Context(), name, Describe([]byte(name))))
			}
		})
	}
	wg.Wait()
	fatal(t, errors.Join(failed...))
	s := again()
	tags, err := s.Tags(t.Context())
	if err != nil || len(tags) != writers*each {
		t.Errorf("%d tags of %d, %v", len(tags), writers*each, err)
	}
	for _, d := range tags {
		if want := Describe([]byte(store.TagOf(d))).Digest; d.Digest != want {
			t.Errorf("%s is %s", store.TagOf(d), d.Digest)
		}
	}
}

// walk follows documents that the store holds, and stops at one that is missing.
func walk(t *testing.T, h Harness) {
	s := h.New(t)()
	document := func(mediaType string, v any) ocispec.Descriptor {
		b, err := json.Marshal(v)
		fatal(t, err)
		return ocispec.Descriptor{MediaType: mediaType, Digest: Put(t, s, b), Size: int64(len(b))}
	}
	config := Describe([]byte("{}"))
	Put(t, s, []byte("{}"))
	m := document(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config,
	})
	root := document(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{m},
	})
	got, err := store.Reach(t.Context(), s, []ocispec.Descriptor{root}, nil)
	if err != nil || len(got) != 3 || got[2].Digest != config.Digest {
		t.Errorf("Reach: %d, %v", len(got), err)
	}
	fatal(t, s.Remove(t.Context(), m.Digest))
	if _, err := store.Reach(t.Context(), s, []ocispec.Descriptor{root}, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Reach without a manifest: %v", err)
	}
	if marked, err := store.Marked(t.Context(), s, []ocispec.Descriptor{root}); err != nil || len(marked) != 2 {
		t.Errorf("Marked without a manifest: %d, %v", len(marked), err)
	}
}
