package store_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
	"overland/internal/store/mem"
	"overland/internal/store/storetest"
)

// documents returns an empty store with what fills it.
func documents(t *testing.T) (store.Store, storetest.Documents) {
	s := &mem.Store{}
	return s, storetest.Documents{T: t, Put: func(b []byte) digest.Digest { return storetest.Put(t, s, b) }}
}

// The limits of a walk, which are part of the format: see docs/format/depot.md.
const (
	depthLimit = 16
	childLimit = 1 << 14
)

func TestWalk(t *testing.T) {
	s, tr := documents(t)
	config, a, b := tr.Blob("{}"), tr.Blob("a"), tr.Blob("b")
	m1, m2 := tr.Manifest(config, a), tr.Manifest(config, a, b)
	root := tr.Index(m1, m2)
	var got []digest.Digest
	visit := func(d ocispec.Descriptor) error { got = append(got, d.Digest); return nil }
	if err := store.Walk(t.Context(), s, root, visit); err != nil {
		t.Fatal(err)
	}
	want := []digest.Digest{root.Digest, m1.Digest, config.Digest, a.Digest, m2.Digest, b.Digest}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	err := store.Walk(t.Context(), s, root, func(d ocispec.Descriptor) error {
		if d.Digest == m1.Digest {
			return store.ErrSkip
		}
		return visit(d)
	})
	if diff := cmp.Diff([]digest.Digest{root.Digest, m2.Digest, config.Digest, a.Digest, b.Digest}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	stop := errors.New("stop")
	if err := store.Walk(t.Context(), s, root, func(ocispec.Descriptor) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("visit's error: %v", err)
	}
	liar := root
	liar.Size++
	if err := store.Walk(t.Context(), s, liar, visit); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("a descriptor with another size: %v", err)
	}
	if err := s.Remove(t.Context(), m2.Digest); err != nil {
		t.Fatal(err)
	}
	if err := store.Walk(t.Context(), s, root, visit); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a missing manifest: %v", err)
	}
}

func TestReach(t *testing.T) {
	s, tr := documents(t)
	config, a, b := tr.Blob("{}"), tr.Blob("a"), tr.Blob("b")
	m1, m2 := tr.Manifest(config, a), tr.Manifest(config, b)
	got, err := store.Reach(t.Context(), s, []ocispec.Descriptor{m1, tr.Index(m1, m2)}, func(d ocispec.Descriptor) bool {
		return d.Digest != m2.Digest
	})
	if err != nil || len(got) != 4 || got[0].Digest != m1.Digest || got[2].Digest != a.Digest {
		t.Errorf("%d descriptors, %v", len(got), err)
	}
}

func TestWalkDeep(t *testing.T) {
	s, tr := documents(t)
	d := tr.Blob("bottom")
	for range depthLimit + 2 {
		d = tr.Index(d)
	}
	err := store.Walk(t.Context(), s, d, func(ocispec.Descriptor) error { return nil })
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("%v", err)
	}
}

func TestChildrenRefuses(t *testing.T) {
	good := `"digest":"` + string(digest.Of(nil)) + `","size":0`
	for name, c := range map[string][2]string{
		"garbage":        {ocispec.MediaTypeImageIndex, `{`},
		"version":        {ocispec.MediaTypeImageIndex, `{"manifests":[]}`},
		"another type":   {ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","manifests":[]}`},
		"two in one":     {ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"config":{` + good + `},"manifests":[{` + good + `}]}`},
		"no config":      {ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"layers":[]}`},
		"layers":         {ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[],"layers":[{` + good + `}]}`},
		"digest":         {ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[{"digest":"sha512:00","size":1}]}`},
		"size":           {ocispec.MediaTypeImageIndex, strings.Replace(`{"schemaVersion":2,"manifests":[{`+good+`}]}`, `:0}`, `:-1}`, 1)},
		"too long":       {ocispec.MediaTypeImageIndex, strings.Repeat(" ", store.ManifestLimit+1)},
		"too many":       {ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[{` + good + strings.Repeat(`},{`+good, childLimit) + `}]}`},
		"deeply nested":  {ocispec.MediaTypeImageIndex, strings.Repeat(`[`, 1<<20)},
		"other encoding": {ocispec.MediaTypeImageIndex, "\xff\xfe{"},
	} {
		if list, err := store.Children(c[0], []byte(c[1])); errs.KindOf(err) != errs.Untrusted || list != nil {
			t.Errorf("%s: %d children, %v", name, len(list), err)
		}
	}
	if list, err := store.Children("application/octet-stream", []byte(`garbage`)); err != nil || list != nil {
		t.Errorf("a blob that is no document: %v, %v", list, err)
	}
}

// A document of few bytes that becomes much memory is refused before it is decoded, also where it stands in a place that
// nobody looks at. What a long text says is not counted.
func TestADocumentThatIsABomb(t *testing.T) {
	const many = 1 << 20
	index := func(rest string) string {
		return `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",` + rest + `}`
	}
	for name, text := range map[string]string{
		"descriptors": index(`"manifests":[` + strings.Repeat("{},", many) + `{}]`),
		"addresses":   index(`"manifests":[{"urls":[` + strings.Repeat(`"",`, many) + `""]}]`),
		"annotations": index(`"manifests":[],"annotations":{` + strings.Repeat(`"\"":"",`, many/4) + `"":""}`),
		"anything":    index(`"manifests":[],"x":[` + strings.Repeat(`[{}],`, many/8) + `0]`),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := store.Children(ocispec.MediaTypeImageIndex, []byte(text))
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, store.ErrTooLarge) || n > 2*store.ManifestLimit {
			t.Errorf("%s: %v, %d MiB", name, err, n>>20)
		}
	}
	text := index(`"manifests":[],"annotations":{"org.example.text":"` + strings.Repeat(`{\",`, many/2) + `"}`)
	if _, err := store.Children(ocispec.MediaTypeImageIndex, []byte(text)); err != nil {
		t.Error(err)
	}
}

func FuzzChildren(f *testing.F) {
	f.Add(true, []byte(`{"schemaVersion":2,"manifests":[{"digest":"`+string(digest.Of(nil))+`","size":0}]}`))
	f.Add(false, []byte(`{"schemaVersion":2,"config":{"digest":"`+string(digest.Of(nil))+`","size":0},"layers":[]}`))
	f.Fuzz(func(t *testing.T, index bool, b []byte) {
		mediaType := ocispec.MediaTypeImageManifest
		if index {
			mediaType = ocispec.MediaTypeImageIndex
		}
		list, err := store.Children(mediaType, b)
		if err != nil && errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%v: %v", errs.KindOf(err), err)
		}
		for _, d := range list {
			if _, err := digest.Parse(string(d.Digest)); err != nil || d.Size < 0 {
				t.Errorf("accepts %s of %d bytes", d.Digest, d.Size)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	b, err := store.MarshalIndex([]ocispec.Descriptor{{MediaType: "x", Digest: digest.Of(nil), Annotations: map[string]string{ocispec.AnnotationRefName: "a"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"schemaVersion":2,"manifests":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := store.ParseIndex(b)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("%v: %v", errs.KindOf(err), err)
			}
			return
		}
		once, err := store.MarshalIndex(list)
		if err != nil {
			t.Fatal(err)
		}
		again, err := store.ParseIndex(once)
		if err != nil {
			t.Fatalf("does not read what it wrote: %v", err)
		}
		twice, err := store.MarshalIndex(again)
		if err != nil || string(once) != string(twice) {
			t.Errorf("not stable: %v\n%s\n%s", err, once, twice)
		}
	})
}
