package builder_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/builder"
	"overland/internal/platform"
	"overland/internal/store/mem"
	"overland/internal/testkit/pack"
)

// giving is a Builder whose result is what it was told.
type giving struct{ result []byte }

func (*giving) Recipe(context.Context, builder.Job) (builder.Recipe, error) {
	return builder.Recipe{Builder: "giving/1", Toolchain: "none"}, nil
}

func (g *giving) Build(_ context.Context, _ builder.Job, _ builder.Recipe, _, scratch string) (builder.Output, error) {
	file := filepath.Join(scratch, "out")
	return builder.Output{File: file, Toolchain: "none"}, os.WriteFile(file, g.result, 0o600)
}

type packed struct {
	name, text string
	mode       int64
}

func tarOf(t *testing.T, files ...packed) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.text)), Mode: f.mode, ModTime: time.Unix(0, 0)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t *testing.T, b []byte, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Name = name
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipOf(t *testing.T, files ...packed) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		e, err := w.Create(f.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A rebuild that comes out otherwise says where to look first.
func TestS2ARebuildNamesTheFirstFileThatDiffers(t *testing.T) {
	a, b, other := packed{"a/one", "1", 0o644}, packed{"b/two", "22", 0o644}, packed{"b/two", "2x", 0o644}
	for name, test := range map[string]struct {
		before, now []byte
		want        string
	}{
		"tar":           {tarOf(t, a, b), tarOf(t, a, other), `the first file that differs is "b/two", from byte 1 on: "22", now "2x"`},
		"tar.gz":        {gzipOf(t, tarOf(t, a, b), ""), gzipOf(t, tarOf(t, a, other), ""), `the first file that differs is "b/two"`},
		"gzip's header": {gzipOf(t, tarOf(t, a, b), "x"), gzipOf(t, tarOf(t, a, b), "y"), "they differ from byte 10 on"},
		"tar, mode":     {tarOf(t, a, b), tarOf(t, a, packed{"b/two", "22", 0o755}), `"b/two": not its content but its mode, owner or time (-rw-r--r--`},
		"tar, missing":  {tarOf(t, a, b), tarOf(t, a), `"b/two", which is missing now`},
		"tar, new":      {tarOf(t, a), tarOf(t, a, b), `"b/two", which is new`},
		"tar, order":    {tarOf(t, a, b), tarOf(t, b, a), `"b/two", where "a/one" was before`},
		"zip":           {zipOf(t, a, b), zipOf(t, a, other), `the first file that differs is "b/two"`},
		"text":          {[]byte("hello"), []byte("help!"), `they differ from byte 3 on: "hello", now "help!"`},
		"longer":        {[]byte("hello"), []byte("hello!"), "they differ from byte 5 on"},
		"not an ELF":    {[]byte("\x7fELF\x02\x01\x01"), []byte("\x7fELF\x02\x01\x02"), "they differ from byte 6 on"},
	} {
		t.Run(name, func(t *testing.T) {
			var s mem.Store
			side := func(b []byte) builder.Side {
				d, _, err := s.Put(t.Context(), bytes.NewReader(b), "", -1)
				if err != nil {
					t.Fatal(err)
				}
				return builder.Side{In: &s, Digest: d}
			}
			if got := builder.Difference(t.Context(), side(test.before), side(test.now)); !strings.Contains(got, test.want) {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
	s := newSite(t)
	g := &giving{[]byte("hello")}
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a"))
	req.Builders = map[string]builder.Builder{"go": g}
	req.Platforms = []platform.Platform{"linux/amd64"}
	s.build(req)
	g.result, req.Rebuild = []byte("help!"), true
	if _, err := builder.Run(t.Context(), s.depot, req); err == nil || !strings.Contains(err.Error(), `: they differ from byte 3 on: "hello", now "help!"`) {
		t.Errorf("%v", err)
	}
}

// Results that are bombs cost a look at their bytes, not the time and memory for what they unpack to.
func TestABombIsNotCompared(t *testing.T) {
	end := make([]byte, 1024)
	sparse := func(last string) []byte {
		return bytes.Join([][]byte{pack.TarBlocks("a", "a"), pack.TarSparse("b", 4<<60), pack.TarBlocks("c", last), end}, nil)
	}
	s := newSite(t)
	g := &giving{sparse("1")}
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a"))
	req.Builders = map[string]builder.Builder{"go": g}
	req.Platforms = []platform.Platform{"linux/amd64"}
	s.build(req)
	g.result, req.Rebuild = sparse("2"), true
	const want = "they differ from byte 2048 on"
	if _, err := builder.Run(t.Context(), s.depot, req); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// The files of an archive may all be unpacked from the same bytes: what is compared is bounded in all, not for each.
func TestWhatIsComparedIsBoundedInAll(t *testing.T) {
	mega := strings.Repeat("0", 1<<20)
	files := []packed{{"a", mega, 0}, {"b", mega, 0}, {"c", mega, 0}, {"d", "1", 0}}
	before, beforeTar := zipOf(t, files...), gzipOf(t, tarOf(t, files...), "")
	files[3].text = "2"
	now, nowTar := zipOf(t, files...), gzipOf(t, tarOf(t, files...), "")
	for _, of := range [][2][]byte{{before, now}, {beforeTar, nowTar}} {
		for most, want := range map[int64]bool{4 << 20: true, 2 << 20: false} {
			if _, found := builder.FirstMember(t.Context(), blob{bytes.NewReader(of[0])}, blob{bytes.NewReader(of[1])}, most); found != want {
				t.Errorf("of %d bytes: %v", most, found)
			}
		}
	}
}

// blob is a store.Blob.
type blob struct{ *bytes.Reader }

func (blob) Close() error { return nil }

// The same files and settings under another name, or in another repository, are another
// application's: it is built.
func TestS2AResultIsTheApplications(t *testing.T) {
	s := newSite(t)
	dir := repository(t, map[string]string{"main": "1"})
	build := func(dir, name string) bool {
		a := app("a")
		a.Name = name
		req := s.request(dir, a)
		req.Platforms = []platform.Platform{"linux/amd64"}
		return s.build(req)[0].Cached
	}
	if build(dir, "app") || !build(dir, "app") {
		t.Error("an application does not find its own")
	}
	if build(dir, "other") {
		t.Error("another name took it")
	}
	other := t.TempDir()
	git(t, other, "init", "-q", "-b", "main")
	git(t, other, "commit", "-q", "--allow-empty", "-m", "another beginning")
	commit(t, other, map[string]string{"main": "1"})
	if build(other, "app") {
		t.Error("another repository took it")
	}
}
