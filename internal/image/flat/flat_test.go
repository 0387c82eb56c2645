package flat

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"pgregory.net/rapid"

	"overland/internal/archive"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/image"
	"overland/internal/store"
	"overland/internal/store/mem"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// noID is no constant, for which a 32-bit processor has no int.
var noID int64 = 1<<32 - 1

// tester is what a test and rapid's have in common.
type tester interface {
	Helper()
	Fatal(...any)
}

// member returns the header that text is of, and what is in it: "a/" a folder, "a -> b" a link, "a = b" a hard link,
// and else a file that holds its own name.
func member(text string) (*tar.Header, string) {
	h := &tar.Header{Name: text, Typeflag: tar.TypeReg, Mode: 0o644, ModTime: noon}
	if name, to, some := strings.Cut(text, " -> "); some {
		h.Name, h.Linkname, h.Typeflag = name, to, tar.TypeSymlink
		return h, ""
	}
	if name, to, some := strings.Cut(text, " = "); some {
		h.Name, h.Linkname, h.Typeflag = name, to, tar.TypeLink
		return h, ""
	}
	if strings.HasSuffix(text, "/") {
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
		return h, ""
	}
	h.Size = int64(len(text))
	return h, text
}

// tarOf returns a tar of members, each a *tar.Header without content or what member reads.
func tarOf(t tester, members ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h, is := m.(*tar.Header)
		text := ""
		if !is {
			h, text = member(m.(string))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t tester, s *mem.Store, b []byte) Layer {
	t.Helper()
	d, err := store.PutBytes(context.Background(), s, b)
	if err != nil {
		t.Fatal(err)
	}
	return Layer{ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(b))}, d}
}

// lay lays layers over one another and returns what is there: a file as "name content", a link as "name -> target".
func lay(t tester, at string, layers ...[]byte) ([]string, error) {
	t.Helper()
	var s mem.Store
	var list []Layer
	for _, b := range layers {
		list = append(list, put(t, &s, b))
	}
	if _, err := unpack(context.Background(), &s, list, at); err != nil {
		return nil, err
	}
	return look(t, at), nil
}

func look(t tester, at string) []string {
	t.Helper()
	list := []string{}
	err := filepath.WalkDir(at, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(at, path)
		switch {
		case err != nil:
			return err
		case e.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			list = append(list, name+" -> "+to)
			return err
		case e.Type().IsRegular():
			b, err := os.ReadFile(path)
			list = append(list, name+" "+string(b))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestLayersOverOneAnother(t *testing.T) {
	for name, c := range map[string]struct {
		layers [][]any
		want   []string
	}{
		"names through links stay inside": {
			[][]any{{"usr/lib/", "lib -> usr/lib", "var/run -> /run", "up -> ../../../etc"}, {"lib/a", "var/run/pid", "up/motd"}},
			[]string{"etc/motd up/motd", "lib -> usr/lib", "run/pid var/run/pid", "up -> ../../../etc", "usr/lib/a lib/a", "var/run -> /run"},
		},
		"removed through a link": {
			[][]any{{"usr/lib/a", "usr/lib/b", "lib -> /usr/lib"}, {"lib/.wh.a"}},
			[]string{"lib -> /usr/lib", "usr/lib/b usr/lib/b"},
		},
		"a link is removed, not what it leads to": {[][]any{{"a", "b -> a"}, {".wh.b"}}, []string{"a a"}},
		"a file over a link":                      {[][]any{{"a", "b -> a"}, {"b"}}, []string{"a a", "b b"}},
		"a file over one of two hard links":       {[][]any{{"a", "b = a"}, {"b"}}, []string{"a a", "b b"}},
		"a hard link to a lower layer":            {[][]any{{"x/a"}, {"b = x/a", ".wh.x"}}, []string{"b x/a"}},
		"a hard link through a link":              {[][]any{{"x/a", "y -> /x", "b = y/a"}}, []string{"b x/a", "x/a x/a", "y -> /x"}},
		"a folder over a link":                    {[][]any{{"x/a", "y -> x"}, {"y/", "y/b"}}, []string{"x/a x/a", "y/b y/b"}},
		"all of a folder through a link":          {[][]any{{"x/a", "y -> x"}, {"y/b", "y/.wh..wh..opq"}}, []string{"x/b y/b", "y -> x"}},
		"the top is not changed":                  {[][]any{{&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0, Uid: 7}, "a"}}, []string{"a a"}},
		"what git archive writes in front":        {[][]any{{&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}, "a"}}, []string{"a a"}},
	} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(t.TempDir(), "at")
			var layers [][]byte
			for _, l := range c.layers {
				layers = append(layers, tarOf(t, l...))
			}
			got, err := lay(t, at, layers...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if info, err := os.Stat(at); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("the top: %v, %v", info, err)
			}
		})
	}
}

// What is shown of an image, as in its SBOM, is what a container of it has.
func TestAsImagesAreRead(t *testing.T) {
	dir, n, compared := t.TempDir(), 0, 0
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`(\.wh\.)?[ab](/(\.wh\.)?[ab]){0,2}/?|([ab]/){0,2}\.wh\.\.wh\.\.opq`)
		layers := rapid.SliceOfN(rapid.SliceOfN(name, 1, 6), 1, 3).Draw(t, "layers")
		var seen archive.Layered[string]
		var tars [][]byte
		for _, l := range layers {
			var members []any
			for _, m := range l {
				if strings.Contains(m, ".wh.") {
					m = strings.TrimSuffix(m, "/")
				}
				members = append(members, m)
			}
			b := tarOf(t, members...)
			tars = append(tars, b)
			if err := seen.Layer(context.Background(), bytes.NewReader(b), archive.RootBounds, func(h *tar.Header, in io.Reader) error {
				name, put := seen.Lay(h.Name, h.Typeflag == tar.TypeDir)
				if !put || h.Typeflag == tar.TypeDir {
					return nil
				}
				b, err := io.ReadAll(in)
				return errors.Join(err, seen.Set(name, name+" "+string(b)))
			}); err != nil {
				t.Fatal(err)
			}
		}
		n++
		at := filepath.Join(dir, fmt.Sprint(n))
		got, err := lay(t, at, tars...)
		if errs.KindOf(err) == errs.Untrusted { // below a file, or below a name that removes one
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		want := []string{}
		for _, text := range seen.All {
			want = append(want, text)
		}
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		compared++
		if err := os.RemoveAll(at); err != nil {
			t.Error(err)
		}
	})
	if compared == 0 {
		t.Errorf("of %d images none was taken", n)
	}
}

// Everything that leads out of the root, or is of no use in it, is refused by name, and changes nothing of the machine.
func TestWhatIsRefused(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		members []any
		want    string
	}{
		{[]any{"../secret"}, "not a path"},
		{[]any{"a/../../secret"}, "not a path"},
		{[]any{"../.wh.secret"}, "not a path"},
		{[]any{strings.Repeat("a/", 2100) + "b"}, "not a path"},
		{[]any{".wh..."}, "nothing that has a name"},
		{[]any{"a/", "a/.wh.."}, "nothing that has a name"},
		{[]any{".wh."}, "nothing that has a name"},
		{[]any{"a = ../secret"}, "hard link to"},
		{[]any{"up -> ..", "a = up/secret"}, "hard link to"},
		{[]any{"a = " + secret}, "hard link to"},
		{[]any{"a/", "b = a"}, "hard link to"},
		{[]any{"a", "a = a"}, "to itself"},
		{[]any{"a", "a/b"}, "not a folder"},
		{[]any{"a -> b", "b -> a", "a/c"}, "more than 40 links"},
		{[]any{&tar.Header{Name: "a", Typeflag: tar.TypeReg, Uid: int(noID)}}, "owner"},
		{[]any{&tar.Header{Name: "a", Typeflag: tar.TypeReg, Gid: int(noID)}}, "owner"},
		{[]any{&tar.Header{Name: "a", Typeflag: tar.TypeSymlink}}, "a link to"},
		{[]any{&tar.Header{Name: "a", Typeflag: 'Z'}}, "kind"},
	} {
		at := filepath.Join(dir, fmt.Sprint(i))
		if _, err := lay(t, at, tarOf(t, c.members...)); errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.members, err)
		}
	}
	// Links that lead out do nothing by themselves: what goes through them stays inside.
	if _, err := lay(t, filepath.Join(dir, "out"), tarOf(t, "up -> ../..", "up/secret", "abs -> "+dir, "abs/secret", "abs/.wh.secret")); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(secret); string(b) != "keep" {
		t.Errorf("%q, %v", b, err)
	}
}

// The image is made by our own builder's room: owners, modes, links; packed and hashed.
func TestAnImageOfOurs(t *testing.T) {
	var s mem.Store
	program := bytes.Repeat([]byte("the cable is unplugged; "), 40_000)
	made, err := image.PutLayer(t.Context(), &s, noon, func(l *image.Layer) error {
		for _, e := range []image.Entry{
			{Name: "usr/bin/su", Mode: 0o755 | fs.ModeSetuid, Size: int64(len(program)), UID: 3, GID: 4, Time: noon},
			{Name: "usr/bin/s", Kind: image.Hardlink, Target: "usr/bin/su"},
			{Name: "data", Kind: image.Folder, Mode: 0o700 | fs.ModeSticky, UID: 1001, GID: 5, Time: noon},
			{Name: "bin", Kind: image.Symlink, Target: "usr/bin", UID: 6, GID: 7},
		} {
			if err := l.Add(e, bytes.NewReader(program)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	desc, err := image.Put(t.Context(), &s, image.Image{Platform: "linux/amd64", Created: noon, Layers: []image.Step{{Made: made, By: "overland"}}})
	if err != nil {
		t.Fatal(err)
	}
	config, blobs, err := image.Read(t.Context(), &s, desc.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	node := put(t, &s, tarOf(t, &tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock, Mode: 0o666}, &tar.Header{Name: "run/pipe", Typeflag: tar.TypeFifo}))
	layers := []Layer{{blobs[0], config.RootFS.DiffIDs[0]}, node}
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir+".tmp", 0o755); err != nil { // as a killed process leaves it
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+".tmp/rest", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := syscall.Umask(0o077)
	left, err := Make(t.Context(), fsx.FS{}, &s, layers, dir)
	syscall.Umask(old)
	if err != nil || !slices.Equal(left, []string{"dev/sda", "run/pipe"}) {
		t.Fatalf("%q, %v", left, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others get in: %v, %v", info, err)
	}
	for name, want := range map[string]string{
		"usr/bin/su": "urwxr-xr-x 3:4 2", "usr/bin/s": "urwxr-xr-x 3:4 2", "data": "dtrwx------ 1001:5 2", "bin": "Lrwxrwxrwx 6:7 1",
		"usr": "drwxr-xr-x 0:0 3", "dev": "drwxr-xr-x 0:0 2",
	} {
		info, err := os.Lstat(filepath.Join(dir, Root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		st := info.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%s %d:%d %d", info.Mode(), st.Uid, st.Gid, st.Nlink); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, Root, "bin/su")); !bytes.Equal(b, program) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := Make(t.Context(), fsx.FS{}, &s, layers, dir); errs.KindOf(err) != errs.Conflict {
		t.Errorf("made twice: %v", err)
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

func packed(t tester, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// Of a layer that is not what was signed, or ends early, nothing is left.
func TestNothingIsLeft(t *testing.T) {
	var s mem.Store
	plain := tarOf(t, "a", "b/c")
	gz := func(b []byte) Layer {
		l := put(t, &s, b)
		l.MediaType, l.DiffID = ocispec.MediaTypeImageLayerGzip, digest.Of(plain)
		return l
	}
	good := packed(t, plain)
	other := gz(good)
	other.DiffID = digest.Of([]byte("another"))
	changed := gz(good)
	changed.Digest = digest.Of([]byte("changed"))

	const mega = 1 << 20
	bomb := bytes.Repeat(packed(t, make([]byte, mega)), 65) // members of one gzip file
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "z", Typeflag: tar.TypeReg, Size: 65 * mega}); err != nil {
		t.Fatal(err)
	}
	bomb = append(packed(t, head.Bytes()), bomb...)
	zstd := gz(good)
	zstd.MediaType = ocispec.MediaTypeImageLayerZstd
	missing := gz(good)
	missing.Digest = digest.Of([]byte("missing"))
	for name, c := range map[string]struct {
		l    Layer
		kind errs.Kind
		want string
	}{
		"another tar":     {other, errs.Untrusted, "does not match its digest"},
		"changed":         {changed, errs.Untrusted, "does not match its digest"},
		"cut":             {gz(good[:len(good)-20]), errs.Untrusted, "unexpected EOF"},
		"something after": {gz(append(slices.Clone(good), "what nobody has signed"...)), errs.Untrusted, "invalid header"},
		"another member":  {gz(append(slices.Clone(good), packed(t, tarOf(t, "z"))...)), errs.Untrusted, "does not match its digest"},
		"no gzip":         {gz(plain), errs.Untrusted, "invalid header"},
		"a bomb":          {gz(bomb), errs.Untrusted, "grows more than 200-fold"},
		"zstd":            {zstd, errs.Invalid, "do not unpack"},
		"missing":         {missing, errs.NotFound, ""},
	} {
		dir := filepath.Join(t.TempDir(), "dir")
		_, err := Make(t.Context(), fsx.FS{}, swapped{&s, changed.Digest, digest.Of(good)}, []Layer{c.l}, dir)
		if errs.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if list, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(list) != 0 {
			t.Errorf("%s: left: %v, %v", name, list, err)
		}
	}
}

// A stop before any step leaves no folder under the name, and the next one makes it.
func TestStopped(t *testing.T) {
	var s mem.Store
	l := put(t, &s, tarOf(t, "a"))
	stop := errors.New("stopped")
	for step := 0; ; step++ {
		n, dir := 0, filepath.Join(t.TempDir(), "dir")
		var done []string
		disk := fsx.FS{Before: func(o fsx.Op) error {
			if n++; n > step {
				return stop
			}
			done = append(done, o.Name)
			return nil
		}}
		_, err := Make(t.Context(), disk, &s, []Layer{l}, dir)
		_, there := os.Stat(dir)
		if err == nil {
			if at := slices.Index(done, "rename"); at < 1 || done[at-1] != "flush" || there != nil {
				t.Errorf("it has its name before it is durable: %q, %v", done, there)
			}
			break
		}
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		if there == nil {
			if got := look(t, dir); !slices.Equal(got, []string{"root/a a"}) {
				t.Errorf("step %d: %q", step, got)
			}
			continue
		}
		if _, err := Make(t.Context(), fsx.FS{}, &s, []Layer{l}, dir); err != nil {
			t.Errorf("after a stop at step %d: %v", step, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Make(ctx, fsx.FS{}, &s, []Layer{l}, filepath.Join(t.TempDir(), "dir")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
