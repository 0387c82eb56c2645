package store

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"pgregory.net/rapid"

	"overland/internal/digest"
	"overland/internal/errs"
)

// tree puts documents into a depot.
type tree struct {
	t *testing.T
	s *Store
}

// blob writes the file itself: a hundred depots of Puts, each synced, would be minutes.
func (tr tree) blob(text string) ocispec.Descriptor {
	d := digest.Of([]byte(text))
	path, err := tr.s.path(d)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		tr.t.Fatal(err)
	}
	return ocispec.Descriptor{MediaType: "text/plain", Digest: d, Size: int64(len(text))}
}

func (tr tree) document(mediaType string, v any) ocispec.Descriptor {
	b, err := json.Marshal(v)
	if err != nil {
		tr.t.Fatal(err)
	}
	d := tr.blob(string(b))
	d.MediaType = mediaType
	return d
}

func (tr tree) manifest(config ocispec.Descriptor, layers ...ocispec.Descriptor) ocispec.Descriptor {
	return tr.document(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers,
	})
}

func (tr tree) index(list ...ocispec.Descriptor) ocispec.Descriptor {
	return tr.document(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list,
	})
}

func TestWalk(t *testing.T) {
	tr := tree{t, open(t)}
	config, a, b := tr.blob("{}"), tr.blob("a"), tr.blob("b")
	m1, m2 := tr.manifest(config, a), tr.manifest(config, a, b)
	root := tr.index(m1, m2)
	var got []digest.Digest
	visit := func(d ocispec.Descriptor) error { got = append(got, d.Digest); return nil }
	if err := Walk(t.Context(), tr.s, root, visit); err != nil {
		t.Fatal(err)
	}
	want := []digest.Digest{root.Digest, m1.Digest, config.Digest, a.Digest, m2.Digest, b.Digest}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	err := Walk(t.Context(), tr.s, root, func(d ocispec.Descriptor) error {
		if d.Digest == m1.Digest {
			return ErrSkip
		}
		return visit(d)
	})
	if diff := cmp.Diff([]digest.Digest{root.Digest, m2.Digest, config.Digest, a.Digest, b.Digest}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	stop := errors.New("stop")
	if err := Walk(t.Context(), tr.s, root, func(ocispec.Descriptor) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("visit's error: %v", err)
	}
	liar := root
	liar.Size++
	if err := Walk(t.Context(), tr.s, liar, visit); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("a descriptor with another size: %v", err)
	}
	if err := tr.s.Remove(m2.Digest); err != nil {
		t.Fatal(err)
	}
	if err := Walk(t.Context(), tr.s, root, visit); !errors.Is(err, ErrNotFound) {
		t.Errorf("a missing manifest: %v", err)
	}
}

func TestReach(t *testing.T) {
	tr := tree{t, open(t)}
	config, a, b := tr.blob("{}"), tr.blob("a"), tr.blob("b")
	m1, m2 := tr.manifest(config, a), tr.manifest(config, b)
	got, err := Reach(t.Context(), tr.s, []ocispec.Descriptor{m1, tr.index(m1, m2)}, func(d ocispec.Descriptor) bool {
		return d.Digest != m2.Digest
	})
	if err != nil || len(got) != 4 || got[0].Digest != m1.Digest || got[2].Digest != a.Digest {
		t.Errorf("%d descriptors, %v", len(got), err)
	}
}

func TestWalkDeep(t *testing.T) {
	tr := tree{t, open(t)}
	d := tr.blob("bottom")
	for range depthLimit + 2 {
		d = tr.index(d)
	}
	err := Walk(t.Context(), tr.s, d, func(ocispec.Descriptor) error { return nil })
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
		"too long":       {ocispec.MediaTypeImageIndex, strings.Repeat(" ", ManifestLimit+1)},
		"too many":       {ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[{` + good + strings.Repeat(`},{`+good, childLimit) + `}]}`},
		"deeply nested":  {ocispec.MediaTypeImageIndex, strings.Repeat(`[`, 1<<20)},
		"other encoding": {ocispec.MediaTypeImageIndex, "\xff\xfe{"},
	} {
		if list, err := Children(c[0], []byte(c[1])); errs.KindOf(err) != errs.Untrusted || list != nil {
			t.Errorf("%s: %d children, %v", name, len(list), err)
		}
	}
	if list, err := Children("application/octet-stream", []byte(`garbage`)); err != nil || list != nil {
		t.Errorf("a blob that is no document: %v, %v", list, err)
	}
}

func TestCollect(t *testing.T) {
	tr := tree{t, open(t)}
	config, a, b, orphan := tr.blob("{}"), tr.blob("a"), tr.blob("b"), tr.blob("orphan")
	root, tagged := tr.index(tr.manifest(config, a)), tr.manifest(config, b)
	if err := tr.s.Tag(t.Context(), "kept", tagged); err != nil {
		t.Fatal(err)
	}
	partial := begin(t, tr.s, noise(100, 1))
	write(t, partial, noise(50, 1))
	if err := partial.Close(); err != nil {
		t.Fatal(err)
	}
	freed, err := tr.s.Collect(t.Context(), []ocispec.Descriptor{root})
	if err != nil || freed != orphan.Size || tr.s.Has(orphan.Digest) {
		t.Errorf("Collect: %d bytes, %v; the orphan is there: %v", freed, err, tr.s.Has(orphan.Digest))
	}
	for _, d := range []ocispec.Descriptor{config, a, b, root, tagged} {
		if !tr.s.Has(d.Digest) {
			t.Errorf("%s is gone", d.Digest)
		}
	}
	if i := begin(t, tr.s, noise(100, 1)); i.Offset() != 50 {
		t.Error("the partial blob is gone")
	} else if err := i.Discard(); err != nil {
		t.Error(err)
	}
}

// A document that cannot be read may reach anything: nothing is removed.
func TestCollectStopsAtDamage(t *testing.T) {
	tr := tree{t, open(t)}
	orphan := tr.blob("orphan")
	for name, root := range map[string]ocispec.Descriptor{
		"no JSON": {MediaType: ocispec.MediaTypeImageIndex, Digest: tr.blob("garbage").Digest, Size: 7},
		"size":    {MediaType: ocispec.MediaTypeImageIndex, Digest: tr.index().Digest, Size: 1},
	} {
		if freed, err := tr.s.Collect(t.Context(), []ocispec.Descriptor{root}); err == nil || freed != 0 || !tr.s.Has(orphan.Digest) {
			t.Errorf("%s: freed %d, %v", name, freed, err)
		}
	}
}

// Collect keeps exactly what roots reach, whatever the graph.
func TestCollectProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		tr := tree{t, open(t)}
		all := []ocispec.Descriptor{tr.blob("{}")}
		reach := []map[int]bool{{0: true}}
		for n := rapid.IntRange(1, 12).Draw(r, "documents"); n > 0; n-- {
			picks := rapid.SliceOfN(rapid.IntRange(0, len(all)-1), 1, 3).Draw(r, "children")
			set := map[int]bool{len(all): true}
			var list []ocispec.Descriptor
			for _, p := range picks {
				list = append(list, all[p])
				for k := range reach[p] {
					set[k] = true
				}
			}
			// The annotation makes documents with the same children differ.
			all = append(all, tr.document(ocispec.MediaTypeImageIndex, ocispec.Index{
				Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list,
				Annotations: map[string]string{"n": strings.Repeat("x", len(all))},
			}))
			reach = append(reach, set)
		}
		want := map[digest.Digest]bool{}
		var roots []ocispec.Descriptor
		for _, k := range rapid.SliceOfN(rapid.IntRange(0, len(all)-1), 0, 3).Draw(r, "roots") {
			roots = append(roots, all[k])
			for j := range reach[k] {
				want[all[j].Digest] = true
			}
		}
		if _, err := tr.s.Collect(t.Context(), roots); err != nil {
			r.Fatal(err)
		}
		got := map[digest.Digest]bool{}
		if err := tr.s.List(t.Context(), func(d digest.Digest, _ int64) error { got[d] = true; return nil }); err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatal(diff)
		}
	})
}

func FuzzChildren(f *testing.F) {
	f.Add(true, []byte(`{"schemaVersion":2,"manifests":[{"digest":"`+string(digest.Of(nil))+`","size":0}]}`))
	f.Add(false, []byte(`{"schemaVersion":2,"config":{"digest":"`+string(digest.Of(nil))+`","size":0},"layers":[]}`))
	f.Fuzz(func(t *testing.T, index bool, b []byte) {
		mediaType := ocispec.MediaTypeImageManifest
		if index {
			mediaType = ocispec.MediaTypeImageIndex
		}
		list, err := Children(mediaType, b)
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
	b, err := MarshalIndex([]ocispec.Descriptor{{MediaType: "x", Digest: digest.Of(nil), Annotations: withName(nil, "a")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"schemaVersion":2,"manifests":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := ParseIndex(b)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("%v: %v", errs.KindOf(err), err)
			}
			return
		}
		once, err := MarshalIndex(list)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseIndex(once)
		if err != nil {
			t.Fatalf("does not read what it wrote: %v", err)
		}
		twice, err := MarshalIndex(again)
		if err != nil || string(once) != string(twice) {
			t.Errorf("not stable: %v\n%s\n%s", err, once, twice)
		}
	})
}
