package volume_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
	"overland/internal/volume"
)

// golden is the sha256 of the volume of content: whoever changes one byte of the format makes every
// earlier volume unreadable, and needs a new version of it.
const golden = "sha256:cb321cb6a78fad4808f141b77a37eb5dbb3547309a31cb160b21d3987f53aa28"

// content is the same each time: an agent, a manifest, a piece of metadata.
func content(t *testing.T) volume.Content {
	t.Helper()
	agent, manifest := []byte("#!/bin/sh\necho agent\n"), []byte(`{"schemaVersion":2}`)
	blobs := map[digest.Digest][]byte{digest.Of(agent): agent, digest.Of(manifest): manifest}
	listed := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Of(manifest), Size: int64(len(manifest)),
		Annotations: map[string]string{ocispec.AnnotationRefName: "demo"},
	}
	index, err := store.MarshalIndex([]ocispec.Descriptor{listed})
	if err != nil {
		t.Fatal(err)
	}
	return volume.Content{
		Blobs:  []ocispec.Descriptor{listed, {Digest: digest.Of(agent), Size: int64(len(agent))}},
		Open:   func(d digest.Digest) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blobs[d])), nil },
		Index:  index,
		Trust:  map[string][]byte{"1.root.json": []byte(`{"signed":1}`)},
		Agents: []volume.Agent{{Platform: "linux/amd64", Digest: digest.Of(agent), Size: int64(len(agent))}},
	}
}

func TestAVolumeIsSealedOpenedVerifiedAndExtracted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "demo.volume")
	info, err := volume.Seal(t.Context(), path, content(t), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := digest.Of(b); got != golden || info.Size != int64(len(b)) {
		t.Errorf("%d bytes (%+v), sha256 %s, want %s", len(b), info, got, golden)
	}
	v, err := volume.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := v.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if v.Digest() != info.Digest || len(v.Entries()) != 6 || len(v.Agents()) != 1 {
		t.Errorf("%s, %d entries, agents %v", v.Digest(), len(v.Entries()), v.Agents())
	}
	if m, err := v.Metadata(t.Context(), "1.root.json", 100); err != nil || string(m) != `{"signed":1}` {
		t.Errorf("%q, %v", m, err)
	}
	out := filepath.Join(dir, "out")
	if err := v.Extract(t.Context(), out, fsx.FS{}); err != nil {
		t.Fatal(err)
	}
	for _, e := range v.Entries() {
		got, err := os.ReadFile(filepath.Join(out, e.Name))
		if err != nil || !bytes.Equal(got, b[e.Offset:e.Offset+e.Size]) {
			t.Errorf("%s: %q, %v", e.Name, got, err)
		}
	}
	if err := v.Extract(t.Context(), out, fsx.FS{}); errs.KindOf(err) != errs.Conflict {
		t.Errorf("into a folder that is not empty: %v", err)
	}

	parts, err := volume.Seal(t.Context(), filepath.Join(dir, "parts.volume"), content(t), volume.Options{Split: volume.MinPart})
	if err != nil || len(parts.Paths) != 2 || parts.Digest != info.Digest {
		t.Fatalf("%+v, %v", parts, err)
	}
	var joined []byte
	for _, p := range parts.Paths {
		part, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		joined = append(joined, part...)
	}
	if !bytes.Equal(joined, b) {
		t.Error("the parts are not the volume")
	}
	if err := os.Remove(parts.Paths[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := volume.Open(parts.Paths[0]); errs.KindOf(err) != errs.Untrusted || errs.HintOf(err) == "" {
		t.Errorf("without the second part: %v", err)
	}
}
