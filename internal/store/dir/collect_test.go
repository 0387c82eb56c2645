package dir_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"pgregory.net/rapid"

	"overland/internal/digest"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
)

// tree puts documents into a depot.
type tree struct {
	storetest.Documents
	s *storedir.Store
}

// plant returns a tree that writes the files itself: a hundred depots of Puts, each synced, would
// be minutes.
func plant(t *testing.T) tree {
	s := open(t)
	put := func(b []byte) digest.Digest {
		d := digest.Of(b)
		if err := os.WriteFile(blobPath(s, d), b, 0o644); err != nil {
			t.Fatal(err)
		}
		return d
	}
	return tree{storetest.Documents{T: t, Put: put}, s}
}

func TestCollect(t *testing.T) {
	tr := plant(t)
	config, a, b, orphan := tr.Blob("{}"), tr.Blob("a"), tr.Blob("b"), tr.Blob("orphan")
	root, tagged := tr.Index(tr.Manifest(config, a)), tr.Manifest(config, b)
	if err := tr.s.Tag(t.Context(), "kept", tagged); err != nil {
		t.Fatal(err)
	}
	partial := begin(t, tr.s, noise(100, 1))
	write(t, partial, noise(50, 1))
	if err := partial.Close(); err != nil {
		t.Fatal(err)
	}
	freed, err := tr.s.Collect(t.Context(), []ocispec.Descriptor{root})
	if err != nil || freed != orphan.Size || storetest.Has(t, tr.s, orphan.Digest) {
		t.Errorf("Collect: %d bytes, %v; the orphan is there: %v", freed, err, storetest.Has(t, tr.s, orphan.Digest))
	}
	for _, d := range []ocispec.Descriptor{config, a, b, root, tagged} {
		if !storetest.Has(t, tr.s, d.Digest) {
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
	tr := plant(t)
	orphan := tr.Blob("orphan")
	for name, root := range map[string]ocispec.Descriptor{
		"no JSON": {MediaType: ocispec.MediaTypeImageIndex, Digest: tr.Blob("garbage").Digest, Size: 7},
		"size":    {MediaType: ocispec.MediaTypeImageIndex, Digest: tr.Index().Digest, Size: 1},
	} {
		if freed, err := tr.s.Collect(t.Context(), []ocispec.Descriptor{root}); err == nil || freed != 0 || !storetest.Has(t, tr.s, orphan.Digest) {
			t.Errorf("%s: freed %d, %v", name, freed, err)
		}
	}
}

// Collect keeps exactly what roots reach, whatever the graph.
func TestCollectProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		tr := plant(t)
		all := []ocispec.Descriptor{tr.Blob("{}")}
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
			all = append(all, tr.Document(ocispec.MediaTypeImageIndex, ocispec.Index{
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
