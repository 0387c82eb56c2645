package release_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/image"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
)

// depot returns an empty depot and its directory.
func depot(t *testing.T) (*storedir.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "depot")
	s, err := storedir.Open(dir, storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// wallet returns a release of two programs for two platforms each, one of them over
// one chunk, with its blobs in s.
func wallet(t *testing.T, s *storedir.Store) release.Release {
	t.Helper()
	put := func(b []byte) release.Blob {
		d, err := store.PutBytes(t.Context(), s, b)
		if err != nil {
			t.Fatal(err)
		}
		return release.Blob{Digest: d, Size: int64(len(b))}
	}
	long := bytes.Repeat([]byte("0123456789abcdef"), store.ChunkSize/16+1)
	artifact := func(name string, p platform.Platform, b release.Blob) release.Artifact {
		return release.Artifact{Name: name, Platform: p, File: name, Kind: release.KindBinary, Blob: b}
	}
	return release.Release{
		App: "wallet", Version: "r412.abcdef012345",
		Commit:     "abcdef0123456789abcdef0123456789abcdef01",
		CommitTime: time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600)),
		Toolchain:  "go1.26.8",
		Spec:       digest.Of([]byte("overland: 1")),
		Artifacts: []release.Artifact{
			artifact("node", "linux/arm/v6", put([]byte("node for arm"))),
			artifact("node", "linux/amd64", put(long)),
			artifact("cli", "linux/amd64", put([]byte("cli for amd64"))),
			artifact("cli", "linux/arm/v6", put([]byte("cli for arm"))),
		},
		Services: map[string]appfile.Service{
			"node": {Artifact: "node", Runtime: "process", Args: []string{"--data", "{{.Volumes.data}}"}, Data: map[string]string{"data": "/data"}},
		},
	}
}

func written(t *testing.T, s *storedir.Store, r release.Release) ocispec.Descriptor {
	t.Helper()
	desc, err := release.Write(t.Context(), s, r)
	if err == nil {
		err = release.Draft{Ref: r.Ref(), Index: desc}.Name(t.Context(), s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

func TestWriteReadBack(t *testing.T) {
	s, _ := depot(t)
	want := wallet(t, s)
	desc := written(t, s, want)
	got, err := release.Read(t.Context(), s, desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if got.Schema != release.Schema || got.Version != want.Version || !got.CommitTime.Equal(want.CommitTime) {
		t.Errorf("read %+v, wrote %+v", got, want)
	}
	if diff := cmp.Diff(want.Services, got.Services); diff != "" {
		t.Error(diff)
	}
	var order []string
	for _, a := range got.Artifacts {
		order = append(order, a.Name+" "+string(a.Platform))
		if (a.Blob.Size > store.ChunkSize) != (a.Blob.Chunks != "") {
			t.Errorf("%s for %s: %d bytes, chunk list %q", a.Name, a.Platform, a.Blob.Size, a.Blob.Chunks)
		}
	}
	if diff := cmp.Diff([]string{"cli linux/amd64", "cli linux/arm/v6", "node linux/amd64", "node linux/arm/v6"}, order); diff != "" {
		t.Error(diff)
	}
	tagged, err := s.Resolve(t.Context(), "wallet@r412.abcdef012345")
	if err != nil || tagged.Digest != desc.Digest {
		t.Errorf("tag = %v, %v", tagged, err)
	}
}

func TestAFileThatNobodyRuns(t *testing.T) {
	s, _ := depot(t)
	r := wallet(t, s)
	for i, a := range r.Artifacts {
		if a.Name == "cli" {
			r.Artifacts[i].Kind = release.KindFile
		}
	}
	got, err := release.Read(t.Context(), s, written(t, s, r).Digest)
	if err != nil || got.Artifacts[0].Kind != release.KindFile || got.Artifacts[2].Kind != release.KindBinary {
		t.Errorf("%+v %v", got, err)
	}
}

// An image's manifest in a release is the image itself, so its config and layers are the release's too.
func TestAnImage(t *testing.T) {
	s, dir := depot(t)
	at := time.Unix(0, 0)
	var layers []image.Made
	for _, text := range []string{"base", "top"} {
		l, err := image.PutLayer(t.Context(), s, at, func(l *image.Layer) error {
			return l.Add(image.Entry{Name: text, Size: int64(len(text))}, strings.NewReader(text))
		})
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, l)
	}
	m, err := image.Put(t.Context(), s, image.Image{Platform: "linux/arm/v6", Created: at, Layers: []image.Step{{Made: layers[0]}, {Made: layers[1]}}})
	if err != nil {
		t.Fatal(err)
	}
	r := wallet(t, s)
	r.Artifacts = append(r.Artifacts, release.Artifact{
		Name: "picture", Platform: "linux/arm/v6", File: "picture", Kind: release.KindImage, Blob: release.Blob{Digest: m.Digest, Size: m.Size},
	})
	desc := written(t, s, r)
	got, err := release.Read(t.Context(), s, desc.Digest)
	if err != nil || len(got.Artifacts) != 5 || got.Artifacts[4].Manifest.Digest != m.Digest || got.Artifacts[4].Manifest.MediaType != ocispec.MediaTypeImageManifest {
		t.Fatalf("%+v, %v", got, err)
	}
	whole := m.Size
	for _, d := range m.Parts {
		n, err := s.Stat(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		whole += n
	}
	for i, want := range map[int]int64{4: whole, 0: got.Artifacts[0].Blob.Size} {
		if n, err := got.Artifacts[i].Whole(t.Context(), s); n != want || err != nil {
			t.Errorf("%s weighs %d bytes, want %d: %v", got.Artifacts[i].Name, n, want, err)
		}
	}
	for keep, want := range map[platform.Platform]int{"linux/amd64": 4 + 5, "linux/arm/v6": 4 + 4 + 4} {
		list, err := release.Closure(t.Context(), s, desc.Digest, func(a release.Artifact) bool { return a.Platform == keep })
		if err != nil || len(list) != want {
			t.Errorf("%s: %d blobs, want %d: %v", keep, len(list), want, err)
		}
		for _, d := range list {
			if size, err := s.Stat(t.Context(), d.Digest); err != nil || size != d.Size {
				t.Errorf("%s %s: %d bytes, %v", d.MediaType, d.Digest, size, err)
			}
		}
		for _, l := range layers {
			if have := slices.ContainsFunc(list, func(d ocispec.Descriptor) bool { return d.Digest == l.Digest }); have != (keep == "linux/arm/v6") {
				t.Errorf("%s: layer %s: %v", keep, l.Digest, have)
			}
		}
	}
	// A document that names another image than the index is not believed.
	b, err := s.Bytes(t.Context(), desc.Digest, release.MaxJSON)
	if err != nil {
		t.Fatal(err)
	}
	other := got.Artifacts[0].Manifest
	forged := bytes.ReplaceAll(b, []byte(m.Digest), []byte(other.Digest))
	d, err := store.PutBytes(t.Context(), s, forged)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := release.Read(t.Context(), s, d); errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "another manifest than its own") {
		t.Error(err)
	}
	// skopeo copies all of it.
	to := filepath.Join(t.TempDir(), "copy")
	out, err := exec.Command("skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "oci:"+dir+":wallet@r412.abcdef012345", "oci:"+to+":copy").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(to, "blobs", "sha256", layers[0].Digest.Encoded())); err != nil {
		t.Error(err)
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	s, _ := depot(t)
	r := wallet(t, s)
	first := written(t, s, r)
	other, _ := depot(t)
	again := wallet(t, other)
	again.Artifacts[0], again.Artifacts[3] = again.Artifacts[3], again.Artifacts[0]
	again.CommitTime = again.CommitTime.UTC()
	if second := written(t, other, again); second.Digest != first.Digest {
		t.Errorf("the same release is %s and %s", first.Digest, second.Digest)
	}
}

func TestWriteRefuses(t *testing.T) {
	s, _ := depot(t)
	for name, change := range map[string]func(*release.Release){
		"command's artifact": func(r *release.Release) { r.Commands = map[string]string{"tool": "none"} },
		"command's name":     func(r *release.Release) { r.Commands = map[string]string{"../tool": "node"} },
		"our own command":    func(r *release.Release) { r.Commands = map[string]string{"overland-agent": "node"} },
		"no artifacts":       func(r *release.Release) { r.Artifacts, r.Services = nil, nil },
		"file leaves folder": func(r *release.Release) { r.Artifacts[0].File = "../node" },
		"file is hidden":     func(r *release.Release) { r.Artifacts[0].File = ".." },
		"twice":              func(r *release.Release) { r.Artifacts[1].Platform = r.Artifacts[0].Platform },
		"platform":           func(r *release.Release) { r.Artifacts[0].Platform = "linux/vax" },
		"size":               func(r *release.Release) { r.Artifacts[0].Blob.Size++ },
		"service's artifact": func(r *release.Release) { r.Services = map[string]appfile.Service{"x": {Artifact: "none"}} },
		"kind":               func(r *release.Release) { r.Artifacts[0].Kind = "image" },
		"runs a file": func(r *release.Release) {
			for i := range r.Artifacts {
				r.Artifacts[i].Kind = release.KindFile
			}
		},
		"volume's name": func(r *release.Release) { r.Services["node"].Data["../../etc"] = "/" },
		"version":       func(r *release.Release) { r.Version = "r1/../../x" },
		"app":           func(r *release.Release) { r.App = "Wallet" },
	} {
		t.Run(name, func(t *testing.T) {
			r := wallet(t, s)
			change(&r)
			if _, err := release.Write(t.Context(), s, r); errs.KindOf(err) != errs.Invalid {
				t.Errorf("error = %v, want an invalid one", err)
			}
		})
	}
}

// TestReadRefuses changes a good index, so that every other rule holds.
func TestReadRefuses(t *testing.T) {
	s, _ := depot(t)
	good, err := s.Bytes(t.Context(), written(t, s, wallet(t, s)).Digest, release.MaxJSON)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ocispec.Index){
		"no release":         func(x *ocispec.Index) { delete(x.Annotations, release.AnnotationRelease) },
		"no document":        func(x *ocispec.Index) { x.Manifests = x.Manifests[1:] },
		"two documents":      func(x *ocispec.Index) { x.Manifests = append(x.Manifests, x.Manifests[0]) },
		"a manifest missing": func(x *ocispec.Index) { x.Manifests = x.Manifests[:len(x.Manifests)-1] },
		"other platform":     func(x *ocispec.Index) { x.Manifests[1].Platform.Architecture = "riscv64" },
		"a manifest twice":   func(x *ocispec.Index) { x.Manifests[1] = x.Manifests[2] },
		"endless manifest":   func(x *ocispec.Index) { x.Manifests[1].Size = 1 << 40 },
		"no digest":          func(x *ocispec.Index) { x.Manifests[0].Digest = "sha256:../../x" },
	} {
		t.Run(name, func(t *testing.T) {
			var index ocispec.Index
			if err := json.Unmarshal(good, &index); err != nil {
				t.Fatal(err)
			}
			change(&index)
			b, err := json.Marshal(index)
			if err != nil {
				t.Fatal(err)
			}
			d, err := store.PutBytes(t.Context(), s, b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := release.Read(t.Context(), s, d); errs.KindOf(err) != errs.Untrusted {
				t.Errorf("error = %v, want an untrusted one", err)
			}
		})
	}
}

func TestReadPassesOnTheGettersError(t *testing.T) {
	s, _ := depot(t)
	_, err := release.Read(t.Context(), s, digest.Of([]byte("not there")))
	if errs.KindOf(err) != errs.NotFound {
		t.Errorf("error = %v, want not found", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	desc := written(t, s, wallet(t, s))
	if _, err := release.Read(ctx, stopped{}, desc.Digest); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want cancelled", err)
	}
}

type stopped struct{}

func (stopped) Bytes(ctx context.Context, _ digest.Digest, _ int64) ([]byte, error) {
	return nil, ctx.Err()
}

func TestForTakesTheBestPlatform(t *testing.T) {
	s, _ := depot(t)
	r := wallet(t, s)
	for p, want := range map[platform.Platform]int{"linux/amd64": 2, "linux/arm/v7": 2, "linux/arm/v6": 2, "linux/arm/v5": 0, "linux/arm64": 0} {
		if got := r.For(p); len(got) != want {
			t.Errorf("For(%s) = %d artifacts, want %d", p, len(got), want)
		}
	}
}

func TestClosureLeavesOut(t *testing.T) {
	s, _ := depot(t)
	desc := written(t, s, wallet(t, s))
	all, err := release.Closure(t.Context(), s, desc.Digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if size, err := s.Stat(t.Context(), d.Digest); err != nil || size != d.Size {
			t.Errorf("%s %s: %d bytes, %v; the list says %d", d.MediaType, d.Digest, size, err, d.Size)
		}
	}
	arm, err := release.Closure(t.Context(), s, desc.Digest, func(a release.Artifact) bool { return a.Platform == "linux/arm/v6" })
	if err != nil {
		t.Fatal(err)
	}
	// Index, document, its manifest and config; two programs with their
	// manifests; only amd64 has a chunk list.
	if len(arm) != 8 || len(all) != 13 {
		t.Errorf("%d blobs for arm, %d in all, want 8 and 13", len(arm), len(all))
	}
}

func TestOtherToolsRead(t *testing.T) {
	s, dir := depot(t)
	desc := written(t, s, wallet(t, s))
	skopeo := func(args ...string) []byte {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "skopeo", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
	ref := "oci:" + dir + ":wallet@r412.abcdef012345"
	raw := skopeo("inspect", "--raw", ref)
	if digest.Of(raw) != desc.Digest {
		t.Errorf("skopeo reads %s, written was %s", digest.Of(raw), desc.Digest)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	skopeo("--insecure-policy", "copy", "--all", "--preserve-digests", ref, "oci:"+copied+":copy")
	b, err := os.ReadFile(filepath.Join(copied, "blobs", "sha256", desc.Digest.Encoded()))
	if err != nil || digest.Of(b) != desc.Digest {
		t.Errorf("skopeo's copy has not the same index: %v", err)
	}
	again, err := storedir.Open(copied, storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := release.Closure(t.Context(), again, desc.Digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.MediaType != store.MediaTypeChunks && !storetest.Has(t, again, d.Digest) {
			t.Errorf("skopeo's copy lacks %s %s", d.MediaType, d.Digest)
		}
	}
}
