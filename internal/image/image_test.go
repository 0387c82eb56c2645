package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/image"
	"overland/internal/platform"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/store/mem"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// program stands for a program: long enough that its packing is not one block.
var program = bytes.Repeat([]byte("the cable is unplugged; "), 40_000)

// Numbers of users and groups that need 32 bits; no constants, which a 32-bit processor has no int for.
var farUser, noGroup int64 = 3_000_000_000, 1<<32 - 1

// sample adds members of every kind.
func sample(l *image.Layer) error {
	for _, e := range []image.Entry{
		{Name: "usr/bin/wallet", Mode: 0o755, Size: int64(len(program)), Time: noon.Add(time.Millisecond)},
		{Name: "usr", Kind: image.Folder, Mode: 0o700}, // is there by now
		{Name: "usr/bin/w", Kind: image.Hardlink, Target: "usr/bin/wallet"},
		{Name: "bin", Kind: image.Symlink, Target: "usr/bin"},
		{Name: "data", Kind: image.Folder, Mode: 0o700 | fs.ModeSticky, UID: int(farUser), GID: 5, Time: noon},
		{Name: "data/" + strings.Repeat("é", 200), Mode: 0o4755&0o777 | fs.ModeSetuid, Xattrs: map[string]string{"security.capability": "\x01\x00\x00\x02", "user.a": "b"}},
	} {
		if err := l.Add(e, bytes.NewReader(program)); err != nil {
			return err
		}
	}
	return nil
}

func put(t *testing.T, s store.Blobs, fill func(*image.Layer) error) image.Made {
	t.Helper()
	made, err := image.PutLayer(t.Context(), s, noon, fill)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func write(t *testing.T, s store.Blobs, p platform.Platform, layers ...image.Made) ocispec.Descriptor {
	t.Helper()
	i := image.Image{Platform: p, Created: noon, Run: image.Run{
		User: "65532", Env: []string{"A=b"}, Entrypoint: []string{"/usr/bin/wallet"}, Cmd: []string{"run"}, WorkingDir: "/data",
		Volumes: []string{"/wallet", "/data"}, Ports: []string{"6420/tcp"}, Labels: map[string]string{"z": "1", "a": "2"}, StopSignal: "SIGINT",
	}, Annotations: map[string]string{ocispec.AnnotationVersion: "r412.abc"}}
	for _, l := range layers {
		i.Layers = append(i.Layers, image.Step{Made: l, By: "overland"})
	}
	d, err := image.Put(t.Context(), s, i)
	if err != nil {
		t.Fatal(err)
	}
	return d.Descriptor
}

// The digests were written down once: what was made before must come out as the same bytes, with any
// release of Go. Do not mend the test; see decision 0097.
func TestFrozen(t *testing.T) {
	var s mem.Store
	l := put(t, &s, sample)
	for what, d := range map[digest.Digest]digest.Digest{
		"tar": l.DiffID, "layer": l.Digest, "image": write(t, &s, "linux/arm/v6", l).Digest,
	} {
		if want := frozen[string(what)]; string(d) != want {
			t.Errorf("%s is %s, was %s", what, d, want)
		}
	}
	if again := put(t, &s, sample); again.Digest != l.Digest || again.DiffID != l.DiffID || again.Size != l.Size {
		t.Errorf("again: %+v, was %+v", again, l)
	}
}

var frozen = map[string]string{
	"tar":   "sha256:3722d89ce69a289339b0d61e970b4942b77ba92937a6ae2b4ea38591c88acf2d",
	"layer": "sha256:bc59ac840187c5725785f30dbdc926a75b8500c015d4a083df778efb6ab34c1e",
	"zstd":  "sha256:7501741d59c872015af4dc112cfeaae04869bca30253ea9616947fc6471df520",
	"image": "sha256:3dba08a42c079e309b4ae55051118fb583ac9f2e45f3d4039d46fc5ad549ba34",
}

// Everybody's gzip and tar read what was added, and the folders above it.
func TestALayerHoldsWhatWasAdded(t *testing.T) {
	var s mem.Store
	l := put(t, &s, sample)
	b, err := s.Open(t.Context(), l.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	z, err := gzip.NewReader(b)
	if err != nil {
		t.Fatal(err)
	}
	sum := digest.New()
	r := tar.NewReader(io.TeeReader(z, sum))
	var names []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		switch h.Name {
		case "usr/":
			if h.Mode != 0o755 || !h.ModTime.Equal(noon) || h.Uid != 0 {
				t.Errorf("%+v", h)
			}
		case "usr/bin/wallet":
			if got, err := io.ReadAll(r); !bytes.Equal(got, program) || err != nil || !h.ModTime.Equal(noon) || h.Mode != 0o755 {
				t.Errorf("%d bytes, %v; %+v", len(got), err, h)
			}
		case "data/":
			if int64(h.Uid) != farUser || h.Gid != 5 || h.Mode != 0o1700 {
				t.Errorf("%+v", h)
			}
		case "bin", "usr/bin/w":
			if h.Linkname != "usr/bin" && h.Linkname != "usr/bin/wallet" {
				t.Errorf("%+v", h)
			}
		default:
			if strings.HasPrefix(h.Name, "data/") && (h.Mode != 0o4755 || h.PAXRecords["SCHILY.xattr.security.capability"] != "\x01\x00\x00\x02") {
				t.Errorf("%+v", h)
			}
		}
	}
	if got := strings.Join(names[:6], " "); got != "usr/ usr/bin/ usr/bin/wallet usr/bin/w bin data/" || len(names) != 7 {
		t.Errorf("members %q", names)
	}
	if _, err := io.Copy(sum, z); err != nil || sum.Digest() != l.DiffID { // what is behind the end mark
		t.Errorf("the tar is %s, not %s: %v", sum.Digest(), l.DiffID, err)
	}
}

// What a layer must not hold is refused by name, and leaves nothing in the depot.
func TestWhatNoLayerHolds(t *testing.T) {
	there := image.Entry{Name: "there", Size: 1}
	for _, test := range []struct {
		e    image.Entry
		want string
	}{
		{image.Entry{Name: ""}, "not a path"},
		{image.Entry{Name: "."}, "not a path"},
		{image.Entry{Name: "/etc/passwd"}, "not a path"},
		{image.Entry{Name: "a/../../etc"}, "not a path"},
		{image.Entry{Name: "a//b"}, "not a path"},
		{image.Entry{Name: "a\x00b"}, "not a path"},
		{image.Entry{Name: strings.Repeat("a/", 2048) + "b"}, "not a path"},
		{image.Entry{Name: ".wh.there"}, "remove files"},
		{image.Entry{Name: "a/.wh..wh..opq"}, "remove files"},
		{image.Entry{Name: ".wh.a/b"}, "remove files"},
		{image.Entry{Name: "there"}, "in this layer already"},
		{image.Entry{Name: "there", Kind: image.Folder}, "in this layer already"},
		{image.Entry{Name: "there/below"}, "is no folder"},
		{image.Entry{Name: "link/below"}, "is no folder"},
		{image.Entry{Name: "a", Kind: image.Hardlink, Target: "missing"}, "no file that was added before"},
		{image.Entry{Name: "a", Kind: image.Hardlink, Target: "link"}, "no file that was added before"},
		{image.Entry{Name: "a", Kind: image.Hardlink, Target: "../there"}, "no file that was added before"},
		{image.Entry{Name: "a", Kind: image.Symlink}, "a link to"},
		{image.Entry{Name: "a", Kind: image.Symlink, Target: "b\x00"}, "a link to"},
		{image.Entry{Name: "a", Kind: image.Symlink, Target: "b", Size: 1}, "a size of"},
		{image.Entry{Name: "a", Size: -1}, "a size of"},
		{image.Entry{Name: "a", Kind: image.Symlink, Target: strings.Repeat("b", 4096)}, "a link to"},
		{image.Entry{Name: "a", UID: -1}, "owner"},
		{image.Entry{Name: "a", GID: -1}, "owner"},
		{image.Entry{Name: "a", UID: int(noGroup)}, "owner"},
		{image.Entry{Name: "a", GID: int(noGroup)}, "owner"},
		{image.Entry{Name: "a", GID: int(noGroup)}, "owner"},
		{image.Entry{Name: "a", Mode: fs.ModeDevice}, "mode"},
		{image.Entry{Name: "a", Kind: 9}, "kind 9"},
		{image.Entry{Name: "a", Xattrs: map[string]string{"a=b": ""}}, "extended attribute"},
		{image.Entry{Name: "a", Xattrs: map[string]string{"": ""}}, "extended attribute"},
		{image.Entry{Name: "a", Xattrs: map[string]string{"user.\xff": ""}}, "extended attribute"},
	} {
		var s mem.Store
		_, err := image.PutLayer(t.Context(), &s, noon, func(l *image.Layer) error {
			if err := errors.Join(l.Add(there, strings.NewReader("x")), l.Add(image.Entry{Name: "link", Kind: image.Symlink, Target: "/"}, nil)); err != nil {
				t.Error(err)
			}
			return l.Add(test.e, strings.NewReader("x"))
		})
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.e, err, test.want)
		}
		err = s.List(t.Context(), func(d digest.Digest, _ int64) error { return errors.New("left behind") })
		if err != nil {
			t.Errorf("%+v: %v", test.e, err)
		}
	}
}

// A file that is shorter than it was said to be is not filled up.
func TestAShortFile(t *testing.T) {
	var s mem.Store
	_, err := image.PutLayer(t.Context(), &s, noon, func(l *image.Layer) error {
		return l.Add(image.Entry{Name: "a", Size: 10}, strings.NewReader("short"))
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), `"a"`) {
		t.Error(err)
	}
}

// swapped is a depot that has other bytes under a name.
type swapped struct {
	*mem.Store
	name, holds digest.Digest
}

func (s swapped) Open(ctx context.Context, d digest.Digest) (store.Blob, error) {
	if d == s.name {
		d = s.holds
	}
	return s.Store.Open(ctx, d)
}

// full is a depot whose disk is full after some bytes.
type full struct {
	mem.Store
	most int64
}

var errFull = errors.New("no space left")

func (f *full) Put(_ context.Context, r io.Reader, _ digest.Digest, _ int64) (digest.Digest, int64, error) {
	_, _ = io.CopyN(io.Discard, r, f.most)
	return "", 0, errFull
}

// Whoever fills a layer for a depot that is full hears it, and nothing goes on.
func TestAFullDepot(t *testing.T) {
	for _, most := range []int64{0, 5, 1000} {
		_, err := image.PutLayer(t.Context(), &full{most: most}, noon, sample)
		if !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: %v", most, err)
		}
	}
}

// Index and configs name the variant of arm, and none of arm64, which docker and containerd expect.
func TestPlatforms(t *testing.T) {
	var s mem.Store
	l := put(t, &s, sample)
	var images []ocispec.Descriptor
	all := platform.All()
	for i := range all {
		images = append(images, write(t, &s, all[len(all)-1-i], l))
	}
	d, err := image.PutIndex(t.Context(), &s, images, map[string]string{"a": "b"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bytes(t.Context(), d.Digest, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(b, &index); err != nil || len(index.Manifests) != len(all) || index.Annotations["a"] != "b" {
		t.Fatalf("%v: %s", err, b)
	}
	for i, m := range index.Manifests {
		c, layers, err := image.Read(t.Context(), &s, m)
		if err != nil || len(layers) != 1 || layers[0].Digest != l.Digest {
			t.Fatalf("%v, %+v", err, layers)
		}
		want := strings.Split(string(all[i]), "/")
		if len(want) == 2 {
			want = append(want, "")
		}
		for what, p := range map[string]ocispec.Platform{"index": *m.Platform, "config": c.Platform} {
			if got := []string{p.OS, p.Architecture, p.Variant}; strings.Join(got, "/") != strings.Join(want, "/") {
				t.Errorf("%s of %s: %q", what, all[i], got)
			}
		}
	}
	for _, list := range [][]ocispec.Descriptor{nil, {images[0], images[0]}, {images[0], {Platform: &ocispec.Platform{OS: "plan9", Architecture: "mips"}}}} {
		if _, err := image.PutIndex(t.Context(), &s, list, nil); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%d images: %v", len(list), err)
		}
	}
}

// What is said to be an image and is none is not trusted.
func TestWhatIsNoImage(t *testing.T) {
	var s mem.Store
	made := put(t, &s, sample)
	l, d := made.Descriptor, made.DiffID
	doc := func(mediaType string, v any) ocispec.Descriptor {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.PutBytes(t.Context(), &s, b)
		if err != nil {
			t.Fatal(err)
		}
		return ocispec.Descriptor{MediaType: mediaType, Digest: got, Size: int64(len(b))}
	}
	manifest := func(config ocispec.Descriptor, layers ...ocispec.Descriptor) ocispec.Descriptor {
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers}
		m.SchemaVersion = 2
		return doc(ocispec.MediaTypeImageManifest, m)
	}
	config := func(diffs ...digest.Digest) ocispec.Descriptor {
		return doc(ocispec.MediaTypeImageConfig, ocispec.Image{RootFS: ocispec.RootFS{Type: "layers", DiffIDs: diffs}})
	}
	if _, _, err := image.Read(t.Context(), &s, manifest(config(d), l)); err != nil {
		t.Error(err)
	}
	for what, desc := range map[string]ocispec.Descriptor{
		"another config":     manifest(doc(ocispec.MediaTypeEmptyJSON, struct{}{}), l),
		"a diff too few":     manifest(config(), l),
		"a diff too many":    manifest(config(d, d), l),
		"a diff that is bad": manifest(config("sha256:../x"), l),
		"no document":        manifest(doc(ocispec.MediaTypeImageConfig, "text"), l),
		"no manifest":        doc(ocispec.MediaTypeImageManifest, []string{}),
		"a layer":            l,
	} {
		if _, _, err := image.Read(t.Context(), &s, desc); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// skopeo finds its way in a saved image both as docker's archive and as OCI's, and both give the same image.
func TestSkopeoTakesWhatIsSaved(t *testing.T) {
	var s mem.Store
	top := put(t, &s, func(l *image.Layer) error {
		return l.Add(image.Entry{Name: "etc/motd", Mode: 0o644, Size: 2, Time: noon}, strings.NewReader("hi"))
	})
	base := put(t, &s, sample)
	desc := write(t, &s, "linux/arm/v7", base, top, base) // a layer twice
	dir := t.TempDir()
	file := filepath.Join(dir, "wallet.tar")
	save := func() []byte {
		var b bytes.Buffer
		if err := image.Save(t.Context(), &s, desc, "wallet:r412", &b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	first := save()
	if !bytes.Equal(first, save()) {
		t.Error("saved twice, two files")
	}
	if err := os.WriteFile(file, first, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"docker-archive:" + file + ":wallet:r412", "oci-archive:" + file + ":wallet:r412"} {
		out, err := exec.Command("skopeo", "--override-os", "linux", "--override-arch", "arm", "--override-variant", "v7", "inspect", "--config", from).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", from, err, out)
		}
		var c ocispec.Image
		if err := json.Unmarshal(out, &c); err != nil || c.Config.StopSignal != "SIGINT" || len(c.RootFS.DiffIDs) != 3 || c.RootFS.DiffIDs[1] != top.DiffID {
			t.Errorf("%s: %v\n%s", from, err, out)
		}
		to := filepath.Join(dir, strings.SplitN(from, ":", 2)[0])
		if out, err := exec.Command("skopeo", "--insecure-policy", "copy", from, "oci:"+to).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", from, err, out)
		}
		for _, l := range []image.Made{base, top} { // each layer arrived with the bytes that were saved
			b, err := os.ReadFile(filepath.Join(to, "blobs", "sha256", l.Digest.Encoded()))
			if err == nil && digest.Of(b) != l.Digest {
				err = errors.New("other bytes")
			}
			if err != nil && strings.HasPrefix(from, "oci") { // docker's archives are packed again by skopeo
				t.Errorf("%s: %v", from, err)
			}
		}
	}
	if err := image.Save(t.Context(), swapped{&s, top.Digest, base.Digest}, desc, "wallet:r412", io.Discard); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("a damaged layer: %v", err)
	}
}

// containers/image, which podman and skopeo are made of, takes of an index what a machine of ours takes.
func TestSkopeoTakesWhatWeTake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	s, err := storedir.Open(dir, storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	layer := put(t, s, func(l *image.Layer) error { return l.Add(image.Entry{Name: "etc/motd"}, nil) })
	for tag, index := range map[string][]platform.Platform{
		"all": platform.All(), "old": {"linux/arm/v5", "linux/arm64"}, "odd": {"linux/arm/v5", "linux/arm/v7"},
	} {
		var list []ocispec.Descriptor
		for _, p := range index {
			list = append(list, write(t, s, p, layer))
		}
		desc, err := image.PutIndex(t.Context(), s, list, nil)
		if err == nil {
			err = s.Tag(t.Context(), tag, desc)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range platform.All() {
			want := platform.Platform("")
			for _, p := range host.Runs() {
				if want == "" && slices.Contains(index, p) {
					want = p
				}
			}
			o := host.OCI()
			args := []string{"--override-os", o.OS, "--override-arch", o.Architecture, "--override-variant", o.Variant, "inspect", "--config", "oci:" + dir + ":" + tag}
			var got platform.Platform
			if out, err := exec.CommandContext(t.Context(), "skopeo", args...).Output(); err == nil {
				var c ocispec.Image
				if err := json.Unmarshal(out, &c); err != nil {
					t.Fatal(err)
				}
				got = platform.FromOCI(&c.Platform)
			}
			if got != want {
				t.Errorf("%s of %s: skopeo takes %q, we %q", host, tag, got, want)
			}
		}
	}
}

// A layer that is packed with zstd has OCI's type, and goes into OCI's archives alone.
func TestZstdIsSavedForOCI(t *testing.T) {
	var s mem.Store
	l, err := image.Zstd.PutLayer(t.Context(), &s, noon, sample)
	if err != nil {
		t.Fatal(err)
	}
	if l.MediaType != ocispec.MediaTypeImageLayerZstd || string(l.DiffID) != frozen["tar"] || string(l.Digest) != frozen["zstd"] {
		t.Errorf("%+v", l)
	}
	desc := write(t, &s, "linux/arm/v7", l)
	if err := image.Save(t.Context(), &s, desc, "wallet:r412", io.Discard); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "zstd") {
		t.Errorf("docker gets it: %v", err)
	}
	dir := t.TempDir()
	var b bytes.Buffer
	if err := image.SaveIndex(t.Context(), &s, []ocispec.Descriptor{desc}, "wallet:r412", &b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "wallet.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "to")
	if out, err := exec.Command("skopeo", "--insecure-policy", "--override-os", "linux", "--override-arch", "arm", "--override-variant", "v7",
		"copy", "--dest-decompress", "oci-archive:"+file, "dir:"+to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if tar, err := os.ReadFile(filepath.Join(to, l.DiffID.Encoded())); err != nil || digest.Of(tar) != l.DiffID {
		t.Errorf("unpacked by skopeo: %v", err)
	}
}
