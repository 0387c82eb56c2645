package volume

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// fixture is content for a volume, kept in memory.
type fixture struct {
	Content
	blobs map[digest.Digest][]byte
}

func (f *fixture) add(mediaType string, b []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.Of(b), Size: int64(len(b))}
	f.blobs[d.Digest] = b
	f.Blobs = append(f.Blobs, d)
	return d
}

func (f *fixture) agent(p platform.Platform, b []byte) {
	d := f.add("application/octet-stream", b)
	f.Agents = append(f.Agents, Agent{Platform: p, Digest: d.Digest, Size: d.Size})
}

func noise(n int, seed int64) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// small returns a complete little volume's content: an image that any OCI
// tool reads, metadata, two agents.
func small(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{blobs: map[digest.Digest][]byte{}}
	f.Open = func(d digest.Digest) (io.ReadCloser, error) {
		b, ok := f.blobs[d]
		if !ok {
			return nil, fmt.Errorf("blob %s: %w", d, store.ErrNotFound)
		}
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	layer := f.add(ocispec.MediaTypeImageLayer, make([]byte, 1024)) // an empty tar
	config := f.add(ocispec.MediaTypeImageConfig, marshal(t, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	}))
	image := f.add(ocispec.MediaTypeImageManifest, marshal(t, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	}))
	image.Annotations = map[string]string{ocispec.AnnotationRefName: "demo"}
	var err error
	if f.Index, err = store.MarshalIndex([]ocispec.Descriptor{image}); err != nil {
		t.Fatal(err)
	}
	f.add("application/octet-stream", nil) // a blob may be empty
	f.agent("linux/arm/v6", noise(300, 6))
	f.agent("linux/amd64", noise(200, 7))
	f.Trust = map[string][]byte{
		"1.root.json": []byte(`{"signed":1}`), "timestamp.json": []byte(`{"signed":2}`),
		"3.app%2Fwallet.json": []byte(`{"signed":3}`),
	}
	return f
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f *fixture) seal(t testing.TB, o Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "my wallet.volume")
	if _, err := Seal(t.Context(), path, f.Content, o); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *Volume {
	t.Helper()
	v, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSameContentSameBytes(t *testing.T) {
	f := small(t)
	first := read(t, f.seal(t, Options{}))
	slices.Reverse(f.Blobs)
	slices.Reverse(f.Agents)
	f.Blobs = append(f.Blobs, f.Blobs[0])
	second := f.seal(t, Options{})
	if !bytes.Equal(first, read(t, second)) {
		t.Fatal("another order of the inputs gave other bytes")
	}
	var joined []byte
	split := f.seal(t, Options{Split: stubSize + 100})
	v := open(t, split)
	for i := range v.pieces.files {
		joined = append(joined, read(t, PartName(split, i))...)
	}
	if len(v.pieces.files) < 2 || !bytes.Equal(first, joined) {
		t.Fatalf("%d parts joined are not the volume", len(v.pieces.files))
	}
	if v.Digest() != open(t, second).Digest() {
		t.Error("the digest depends on the parts")
	}
}

func TestReadBack(t *testing.T) {
	f := small(t)
	for _, split := range []int64{0, stubSize, stubSize + 1, 10000} {
		v := open(t, f.seal(t, Options{Split: split}))
		if err := v.Verify(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for d, b := range f.blobs {
			got, err := v.Bytes(t.Context(), d, int64(len(b)))
			if err != nil || !bytes.Equal(got, b) || !v.Has(d) {
				t.Errorf("Bytes(%s): %d bytes, %v", d, len(got), err)
			}
			off := int64(len(b) / 2)
			r, size, err := v.Open(t.Context(), d, off)
			if err != nil || size != int64(len(b)) {
				t.Fatalf("Open(%s, %d): %d, %v", d, off, size, err)
			}
			rest, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(rest, b[off:]) {
				t.Errorf("Open(%s, %d): %d bytes, %v", d, off, len(rest), err)
			}
		}
		if diff := cmp.Diff([]string{"1.root.json", "3.app%2Fwallet.json", "timestamp.json"}, v.MetadataNames()); diff != "" {
			t.Error(diff)
		}
		for name, b := range f.Trust {
			if got, err := v.Metadata(t.Context(), name, 100); err != nil || !bytes.Equal(got, b) {
				t.Errorf("Metadata(%s): %q, %v", name, got, err)
			}
		}
		if index, err := v.Index(); err != nil || !bytes.Equal(index, f.Index) {
			t.Errorf("Index: %q, %v", index, err)
		}
		if tags, err := v.Tags(); err != nil || len(tags) != 1 || store.TagOf(tags[0]) != "demo" {
			t.Errorf("Tags: %v, %v", tags, err)
		}
		if a := v.Agents(); len(a) != 2 || a[0].Platform != "linux/amd64" || a[1] != f.Agents[0] {
			t.Errorf("Agents: %v", a)
		}
	}
}

func TestMissing(t *testing.T) {
	v := open(t, small(t).seal(t, Options{}))
	d := digest.Of([]byte("nobody has this"))
	if _, _, err := v.Open(t.Context(), d, 0); !errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("Open: %v", err)
	}
	if _, err := v.Bytes(t.Context(), d, 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Bytes: %v", err)
	}
	for _, name := range []string{"9.root.json", "", "../index.json"} {
		if _, err := v.Metadata(t.Context(), name, 1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Metadata(%q): %v", name, err)
		}
	}
	if _, err := v.Metadata(t.Context(), "1.root.json", 3); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Metadata over the limit: %v", err)
	}
	if _, _, err := v.Open(t.Context(), v.Agents()[0].Digest, 1000); errs.KindOf(err) != errs.Invalid {
		t.Errorf("Open beyond the end: %v", err)
	}
	for _, bad := range []digest.Digest{"", "sha256:..", "md5:"} {
		if v.Has(bad) {
			t.Errorf("has %q", bad)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nothing")); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a missing file: %v", err)
	}
}

func TestSealRefuses(t *testing.T) {
	for name, change := range map[string]func(*fixture){
		"agent that is no blob":        func(f *fixture) { f.Agents[0].Digest = digest.Of([]byte("x")) },
		"agent of another size":        func(f *fixture) { f.Agents[0].Size++ },
		"two agents for a platform":    func(f *fixture) { f.Agents[0].Platform = f.Agents[1].Platform },
		"agent for nothing":            func(f *fixture) { f.Agents[0].Platform = "plan9/mips" },
		"index that is garbage":        func(f *fixture) { f.Index = []byte("{") },
		"index that lists what is not": func(f *fixture) { f.Index = bytes.ReplaceAll(f.Index, []byte(`"size":`), []byte(`"size":1`)) },
		"metadata that climbs":         func(f *fixture) { f.Trust["../1.root.json"] = nil },
		"metadata in a folder":         func(f *fixture) { f.Trust["app/wallet.json"] = nil },
		"metadata too large":           func(f *fixture) { f.Trust["1.root.json"] = make([]byte, maxFile+1) },
		"blob with two sizes":          func(f *fixture) { d := f.Blobs[0]; d.Size++; f.Blobs = append(f.Blobs, d) },
		"blob of negative size":        func(f *fixture) { f.add("", []byte("n")); f.Blobs[len(f.Blobs)-1].Size = -1 },
		"blob without a name":          func(f *fixture) { f.Blobs = append(f.Blobs, ocispec.Descriptor{Digest: "sha256:../../x"}) },
	} {
		f := small(t)
		change(f)
		dir := t.TempDir()
		_, err := Seal(t.Context(), filepath.Join(dir, "v"), f.Content, Options{})
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v, want an invalid", name, err)
		}
		empty(t, dir)
	}
}

func TestSealVerifiesBlobs(t *testing.T) {
	for name, b := range map[string][]byte{"other": noise(200, 8), "short": noise(200, 7)[:199], "long": noise(201, 7)} {
		f := small(t)
		f.blobs[f.Agents[1].Digest] = b
		dir := t.TempDir()
		_, err := Seal(t.Context(), filepath.Join(dir, "v"), f.Content, Options{})
		if !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v, want a mismatch", name, err)
		}
		empty(t, dir)
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) > 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestArchiveTools(t *testing.T) {
	t.Parallel()
	f := small(t)
	path := f.seal(t, Options{})
	if out, err := exec.Command("unzip", "-t", path).CombinedOutput(); err != nil || bytes.Contains(out, []byte("warning")) {
		t.Errorf("unzip -t: %v\n%s", err, out)
	}
	dir := filepath.Join(t.TempDir(), "oci")
	if out, err := exec.Command("unzip", "-q", path, "-d", dir).CombinedOutput(); err != nil {
		t.Fatalf("unzip: %v\n%s", err, out)
	}
	out, err := exec.Command("skopeo", "inspect", "oci:"+dir+":demo").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(`"Architecture": "amd64"`)) {
		t.Errorf("skopeo: %v\n%s", err, out)
	}
	s, err := storedir.Open(dir, storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(t.Context(), "demo"); err != nil {
		t.Error(err)
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	v := open(t, path)
	for i, e := range v.Entries() {
		off, err := z.File[i].DataOffset()
		if err != nil || z.File[i].Name != e.Name || int64(z.File[i].UncompressedSize64) != e.Size || off != e.Offset {
			t.Errorf("archive/zip sees %s of %d bytes at %d, not %v, %v", z.File[i].Name, z.File[i].UncompressedSize64, off, e, err)
		}
		r, err := z.File[i].Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil { // checks the checksum
			t.Errorf("%s: %v", e.Name, err)
		}
	}
	if out, err := exec.Command("busybox", "unzip", "-l", path).CombinedOutput(); err != nil {
		t.Errorf("busybox unzip: %v\n%s", err, out)
	}
}

func TestExtract(t *testing.T) {
	f := small(t)
	v := open(t, f.seal(t, Options{}))
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := v.Extract(t.Context(), dir, fsx.FS{}); err != nil {
		t.Fatal(err)
	}
	for _, e := range v.Entries() {
		b := read(t, filepath.Join(dir, e.Name))
		if int64(len(b)) != e.Size || (e.Digest != "" && digest.Of(b) != e.Digest) {
			t.Errorf("%s: %d bytes", e.Name, len(b))
		}
	}
	if err := v.Extract(t.Context(), dir, fsx.FS{}); errs.KindOf(err) != errs.Conflict {
		t.Errorf("a second time: %v", err)
	}
	if err := v.Extract(t.Context(), t.TempDir(), fsx.FS{}); err != nil {
		t.Errorf("into an empty folder: %v", err)
	}
}

// forge returns the volume path with change made to its bytes.
func forge(t testing.TB, path string, change func([]byte) []byte) string {
	t.Helper()
	forged := filepath.Join(t.TempDir(), "forged.volume")
	if err := os.WriteFile(forged, change(slices.Clone(read(t, path))), 0o644); err != nil {
		t.Fatal(err)
	}
	return forged
}

// refused fails the test unless the volume path is refused as untrusted, by Open or by
// Verify, and returns the message.
func refused(t testing.TB, path string) string {
	t.Helper()
	err := check(t, path)
	if err == nil {
		t.Fatalf("%s: accepted", path)
	}
	if errs.KindOf(err) != errs.Untrusted {
		t.Fatalf("%s: %v: %v, want untrusted", path, errs.KindOf(err), err)
	}
	return err.Error()
}

func check(t testing.TB, path string) error {
	v, err := Open(path)
	if err != nil {
		return err
	}
	defer v.Close()
	return v.Verify(t.Context(), nil)
}

func TestFlippedByteAnywhere(t *testing.T) {
	t.Parallel()
	good := read(t, small(t).seal(t, Options{}))
	path := filepath.Join(t.TempDir(), "flipped.volume")
	if err := os.WriteFile(path, good, 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for off := range good {
		if _, err := file.WriteAt([]byte{good[off] ^ 1<<(off%8)}, int64(off)); err != nil {
			t.Fatal(err)
		}
		if msg := refused(t, path); msg == "" {
			t.Errorf("byte %d: no message", off)
		}
		if _, err := file.WriteAt(good[off:off+1], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := check(t, path); err != nil {
		t.Error(err)
	}
	t.Logf("%d offsets tried", len(good))
}

// What the caller verifies itself is passed over; a flipped byte anywhere else is
// found, with parts and without.
func TestVerifyExcept(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {Split: stubSize + 500}} {
		path := small(t).seal(t, o)
		v, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var last Entry
		var total int64
		for _, e := range v.Entries() {
			if e.Digest != "" && e.Size > 0 {
				last = e
			}
			mine := func(d digest.Digest) bool { return d == e.Digest }
			if err := v.VerifyExcept(t.Context(), mine, func(e progress.Event) { total = e.Done }); err != nil {
				t.Errorf("%s: %v", e.Name, err)
			}
		}
		if total == 0 || total > v.Size() {
			t.Errorf("progress %d of %d", total, v.Size())
		}
		v.Close()
		file := path
		off := last.Offset
		if o.Split > 0 {
			file, off = PartName(path, int(last.Offset/o.Split)), last.Offset%o.Split
		}
		b := read(t, file)
		b[off] ^= 1
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if v, err = Open(path); err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if err := v.VerifyExcept(t.Context(), func(d digest.Digest) bool { return d == last.Digest }, nil); err != nil {
			t.Errorf("checked what the caller verifies: %v", err)
		}
		err = v.VerifyExcept(t.Context(), func(d digest.Digest) bool { return d != last.Digest }, nil)
		if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), string(last.Digest)[7:]) && o.Split == 0 {
			t.Errorf("flipped %s: %v", last.Name, err)
		}
	}
}

func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	good := read(t, small(t).seal(t, Options{}))
	path := filepath.Join(t.TempDir(), "cut.volume")
	if err := os.WriteFile(path, append(slices.Clone(good), 0), 0o644); err != nil {
		t.Fatal(err)
	}
	for n := len(good) + 1; n >= 0; n-- { // one byte too many, too
		if err := os.Truncate(path, int64(n)); err != nil {
			t.Fatal(err)
		}
		if n != len(good) {
			refused(t, path)
		}
	}
}

func TestPartsAreNamed(t *testing.T) {
	t.Parallel()
	const split = stubSize + 500
	damage := func(name string, change func(t *testing.T, path string), want ...string) {
		t.Run(name, func(t *testing.T) {
			path := small(t).seal(t, Options{Split: split})
			if err := check(t, path); err != nil {
				t.Fatal(err)
			}
			change(t, path)
			msg := refused(t, path)
			for _, w := range want {
				if !strings.Contains(msg, w) {
					t.Errorf("%s\ndoes not say %s", msg, w)
				}
			}
		})
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	damage("first missing", func(t *testing.T, p string) { must(t, os.Remove(p+".001")) }, "volume.001 is missing")
	damage("last missing", func(t *testing.T, p string) { must(t, os.Remove(p+".002")) }, "volume.002 is missing")
	damage("list missing", func(t *testing.T, p string) { must(t, os.Remove(p+".parts")) }, "volume.parts is missing")
	damage("cut", func(t *testing.T, p string) { must(t, os.Truncate(p+".001", split-1)) }, "volume.001", "cut short")
	damage("last cut", func(t *testing.T, p string) { must(t, os.Truncate(p+".002", 10)) }, "volume.002", "cut short")
	damage("swapped", func(t *testing.T, p string) {
		must(t, os.Rename(p+".001", p+".x"))
		must(t, os.Rename(p+".002", p+".001"))
		must(t, os.Rename(p+".x", p+".002"))
	}, "volume.001 holds the bytes of", "volume.002 holds the bytes of")
	flip := func(name string) func(t *testing.T, p string) {
		return func(t *testing.T, p string) {
			b := read(t, p+name)
			b[len(b)/2] ^= 4
			must(t, os.WriteFile(p+name, b, 0o644))
		}
	}
	damage("flipped in the first", flip(".001"), "volume.001 is damaged")
	damage("flipped in the last", flip(".002"), "volume.002 is damaged")
	damage("flipped in the list", flip(".parts"), "parts")
}

func TestFlippedByteInPartList(t *testing.T) {
	t.Parallel()
	path := small(t).seal(t, Options{Split: stubSize + 500})
	good := read(t, path+PartsSuffix)
	for off := range good {
		bad := slices.Clone(good)
		bad[off] ^= 1
		if err := os.WriteFile(path+PartsSuffix, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		refused(t, path)
	}
}

func TestOpenByAnyName(t *testing.T) {
	path := small(t).seal(t, Options{Split: stubSize + 500})
	for _, suffix := range []string{"", ".001", ".002", ".parts"} {
		if v := open(t, path+suffix); v.Name() != path {
			t.Errorf("opened by %q its name is %q", suffix, v.Name())
		}
	}
	cmd := exec.Command("sha256sum", "-c", filepath.Base(path)+PartsSuffix)
	cmd.Dir = filepath.Dir(path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}
	numbered := filepath.Join(t.TempDir(), "wallet.412") // looks like a part, is none
	if _, err := Seal(t.Context(), numbered, small(t).Content, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := check(t, numbered); err != nil {
		t.Error(err)
	}
}

func TestSealAgainWithFewerParts(t *testing.T) {
	f := small(t)
	path := f.seal(t, Options{Split: stubSize})
	if _, err := Seal(t.Context(), path, f.Content, Options{Split: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if exists(path + ".002") {
		t.Error("a part of the earlier volume is still there")
	}
	if err := check(t, path); err != nil {
		t.Error(err)
	}
}

// A file system that says more than there is gives a volume that is damaged, and not one that cannot be read.
func TestAFileThatIsShorterThanItsFileSystemSays(t *testing.T) {
	path := small(t).seal(t, Options{})
	for _, more := range []int64{1, 1 << 40} {
		p, err := openPieces(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.sizes[0], p.size = p.sizes[0]+more, p.size+more
		_, err = readEnd(p, p.size)
		if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), path) {
			t.Errorf("%d bytes more: %v", more, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
