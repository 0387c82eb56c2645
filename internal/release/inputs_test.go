package release_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/volume"
)

// inputs returns n inputs, in the order of their digests.
func inputs(n int) release.Inputs {
	d := func(text string) ocispec.Descriptor {
		return ocispec.Descriptor{Digest: digest.Of([]byte(text)), Size: int64(len(text))}
	}
	in := release.Inputs{Lock: d("lock"), Source: d("source")}
	for i := range n {
		in.Blobs = append(in.Blobs, d(fmt.Sprint("input ", i)))
	}
	slices.SortFunc(in.Blobs, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	return in
}

var inputsRef = release.Ref{App: "wallet", Version: "r1.a"}

func TestWriteAndReadInputs(t *testing.T) {
	for _, n := range []int{0, 3, release.InputsLayers - 2, release.InputsLayers - 1, 2*release.InputsLayers + 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s, _ := depot(t)
			want := inputs(n)
			desc, err := release.WriteInputs(t.Context(), s, inputsRef, want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := release.ReadInputs(t.Context(), s, desc)
			if err != nil {
				t.Fatal(err)
			}
			manifests := (n + 2 + release.InputsLayers - 1) / release.InputsLayers
			if wantDocs := manifests + min(manifests-1, 1); len(got.Documents) != wantDocs {
				t.Errorf("%d documents, want %d", len(got.Documents), wantDocs)
			}
			if len(got.Blobs) != n || got.Size() != want.Size() {
				t.Fatalf("read %d inputs of %d bytes, wrote %d of %d", len(got.Blobs), got.Size(), n, want.Size())
			}
			for i, b := range got.Blobs {
				if b.Digest != want.Blobs[i].Digest {
					t.Fatalf("input %d is %s, want %s", i, b.Digest, want.Blobs[i].Digest)
				}
			}
			// What the depot keeps for the tag, a reader finds again.
			tags, err := s.Tags(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			kept, err := store.Reach(t.Context(), s, tags, nil)
			if err != nil {
				t.Fatal(err)
			}
			names := map[digest.Digest]bool{}
			for _, d := range kept {
				names[d.Digest] = true
			}
			for _, d := range got.All() {
				if !names[d.Digest] {
					t.Fatalf("%s is not kept", d.Digest)
				}
			}
		})
	}
}

// The bytes are a format: releases are signed over them.
func TestInputsAreOneForOneList(t *testing.T) {
	s, _ := depot(t)
	desc, err := release.WriteInputs(t.Context(), s, inputsRef, inputs(3))
	if err != nil {
		t.Fatal(err)
	}
	want := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Size: 1000,
		Digest: "sha256:231ff0f8de287083872bbeb01b2ad3cd2d64c15d8a0cdc0b9707dfe6d65a2e74",
	}
	if diff := gocmp.Diff(want, desc); diff != "" {
		t.Error(diff)
	}
}

func TestReadInputsRefuses(t *testing.T) {
	for name, change := range map[string]func(m *ocispec.Manifest){
		"another artifact type": func(m *ocispec.Manifest) { m.ArtifactType = release.TypeRelease },
		"no layers":             func(m *ocispec.Manifest) { m.Layers = nil },
		"the lock alone":        func(m *ocispec.Manifest) { m.Layers = m.Layers[:1] },
		"no source":             func(m *ocispec.Manifest) { m.Layers = slices.Delete(m.Layers, 1, 2) },
		"out of order":          func(m *ocispec.Manifest) { m.Layers[2], m.Layers[3] = m.Layers[3], m.Layers[2] },
		"twice":                 func(m *ocispec.Manifest) { m.Layers[3] = m.Layers[2] },
		"a program":             func(m *ocispec.Manifest) { m.Layers[2].MediaType = release.TypeBinary },
		"an annotation":         func(m *ocispec.Manifest) { m.Layers[2].Annotations = map[string]string{"a": "b"} },
		"a bad digest":          func(m *ocispec.Manifest) { m.Layers[2].Digest = "sha256:../../x" },
		"a negative size":       func(m *ocispec.Manifest) { m.Layers[2].Size = -1 },
		"another config":        func(m *ocispec.Manifest) { m.Config = m.Layers[0] },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := depot(t)
			in := inputs(3)
			list, err := release.Documents(&in)
			if err != nil {
				t.Fatal(err)
			}
			var m ocispec.Manifest
			if err := json.Unmarshal(list[0].Bytes(), &m); err != nil {
				t.Fatal(err)
			}
			change(&m)
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.PutBytes(t.Context(), s, b); err != nil {
				t.Fatal(err)
			}
			_, err = release.ReadInputs(t.Context(), s, release.Describe(ocispec.MediaTypeImageManifest, b))
			if errs.KindOf(err) != errs.Untrusted {
				t.Errorf("error = %v, want an untrusted one", err)
			}
		})
	}
}

func TestReadInputsRefusesIndexes(t *testing.T) {
	in := inputs(3)
	list, err := release.Documents(&in)
	if err != nil {
		t.Fatal(err)
	}
	for name, manifests := range map[string][]ocispec.Descriptor{
		"one manifest":       {list[0].Desc()},
		"one, many times":    slices.Repeat([]ocispec.Descriptor{list[0].Desc()}, 10_000),
		"none":               {},
		"an index of itself": {release.Typed(ocispec.MediaTypeImageIndex, list[0].Desc())},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := depot(t)
			if _, err := store.PutBytes(t.Context(), s, list[0].Bytes()); err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(ocispec.Index{
				Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.PutBytes(t.Context(), s, b); err != nil {
				t.Fatal(err)
			}
			_, err = release.ReadInputs(t.Context(), s, release.Describe(ocispec.MediaTypeImageIndex, b))
			if errs.KindOf(err) != errs.Untrusted {
				t.Errorf("error = %v, want an untrusted one", err)
			}
		})
	}
}

func TestWriteInputsRefuses(t *testing.T) {
	s, _ := depot(t)
	twice := inputs(2)
	twice.Blobs[1].Digest = twice.Blobs[0].Digest
	bad := inputs(1)
	bad.Source.Digest = "sha256:x"
	for name, in := range map[string]release.Inputs{"twice": twice, "no source": {Lock: bad.Lock}, "a bad digest": bad} {
		if _, err := release.WriteInputs(t.Context(), s, inputsRef, in); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: error = %v, want an invalid one", name, err)
		}
	}
}

// Lists of several manifests are there as a whole, or the volume is refused.
func TestCheckVolumeWithManyInputs(t *testing.T) {
	s, _ := depot(t)
	in := inputs(release.InputsLayers)
	desc, err := release.WriteInputs(t.Context(), s, inputsRef, in)
	if err != nil {
		t.Fatal(err)
	}
	read, err := release.ReadInputs(t.Context(), s, desc)
	if err != nil {
		t.Fatal(err)
	}
	r := wallet(t, s)
	r.Inputs = &desc
	e := release.Entry{App: r.App, Version: r.Version, Digest: written(t, s, r).Digest}
	text := map[digest.Digest]string{in.Lock.Digest: "lock", in.Source.Digest: "source"}
	for i := range release.InputsLayers {
		text[digest.Of(fmt.Append(nil, "input ", i))] = fmt.Sprint("input ", i)
	}
	for name, test := range map[string]struct {
		leave int // of read.All(); -1 = none
		kind  errs.Kind
	}{
		"whole":              {-1, errs.Internal},
		"without a manifest": {2, errs.Untrusted},
		"without an input":   {100, errs.Untrusted},
		"without the index":  {0, errs.Untrusted},
	} {
		t.Run(name, func(t *testing.T) {
			blobs, err := release.Closure(t.Context(), s, e.Digest, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range read.All() {
				if i != test.leave {
					blobs = append(blobs, b)
				}
			}
			path := filepath.Join(t.TempDir(), "x.volume")
			index, err := store.MarshalIndex(blobs[:1])
			if err != nil {
				t.Fatal(err)
			}
			_, err = volume.Seal(t.Context(), path, volume.Content{Blobs: blobs, Index: index, Open: func(d digest.Digest) (io.ReadCloser, error) {
				if b, ok := text[d]; ok {
					return io.NopCloser(strings.NewReader(b)), nil
				}
				return s.Open(t.Context(), d)
			}}, volume.Options{})
			if err != nil {
				t.Fatal(err)
			}
			v, err := volume.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			if err := release.CheckVolume(t.Context(), v, []release.Entry{e}, nil); (err == nil) != (test.leave < 0) || errs.KindOf(err) != test.kind {
				t.Errorf("error = %v", err)
			}
		})
	}
}
