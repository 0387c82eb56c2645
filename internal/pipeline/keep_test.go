package pipeline

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
)

// held is a depot in memory.
type held map[digest.Digest]string

func (h held) Put(_ context.Context, r io.Reader, _ digest.Digest, _ int64) (digest.Digest, int64, error) {
	b, err := io.ReadAll(r)
	h[digest.Of(b)] = string(b)
	return digest.Of(b), int64(len(b)), err
}

func (h held) open(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(h[d])), nil
}

// No link brings a file that the step did not make, and none leads what is kept out of the folder that it is
// written to.
func TestWhatIsKeptFollowsNoLink(t *testing.T) {
	top := t.TempDir()
	dir, key := filepath.Join(top, "src"), filepath.Join(top, "key")
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.MkdirAll(in("out/deep"), 0o755), os.WriteFile(key, []byte("PRIVATE"), 0o600), os.WriteFile(in("out/a"), []byte("a"), 0o600),
		os.WriteFile(in("out/deep/run"), []byte("run"), 0o755), os.Mkdir(in("links"), 0o755), os.Symlink("../../key", in("links/far")), os.Symlink("out", in("near"))); err != nil {
		t.Fatal(err)
	}
	h := held{}
	for _, name := range []string{"links", "links/far", "near", "near/a", "../key", "none"} {
		if got, err := keep(t.Context(), h, dir, []string{name}, false); err == nil || errs.HintOf(err) == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	list, err := keep(t.Context(), h, dir, []string{"out", "out/a", "none"}, true)
	if err != nil || len(list) != 2 || list[0].Path != "out/a" || !list[1].Program || strings.Contains(h[list[0].Digest], "PRIVATE") {
		t.Fatalf("%+v, %v", list, err)
	}

	out := filepath.Join(top, "kept")
	if err := place(t.Context(), h.open, out, "s/de", list); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(out, "s/de/out/deep/run")); err != nil || string(b) != "run" {
		t.Errorf("%q, %v", b, err)
	}
	// The folder is in a checkout, which brought links.
	if err := errors.Join(os.RemoveAll(filepath.Join(out, "s")), os.Symlink(dir, filepath.Join(out, "s"))); err != nil {
		t.Fatal(err)
	}
	if err := place(t.Context(), h.open, out, "s/de", list); err == nil {
		t.Error("a link led what is kept elsewhere")
	}
	if err := errors.Join(os.Remove(filepath.Join(out, "s")), os.MkdirAll(filepath.Join(out, "s/de/out"), 0o755), os.Symlink(key, filepath.Join(out, "s/de/out/a"))); err != nil {
		t.Fatal(err)
	}
	err = place(t.Context(), h.open, out, "s/de", list)
	if b, _ := os.ReadFile(key); err != nil || string(b) != "PRIVATE" {
		t.Errorf("%v, and the file behind a link is %q", err, b)
	}
}

func TestALogHasItsBeginningAndItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ab", "x.log")
	for _, c := range []struct{ lines, least, most int }{{3, 30, 30}, {100, 150, 320}} {
		l, err := openLog(path, 100, 80)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.lines {
			if _, err := l.Write([]byte("line " + string(rune('0'+i/10)) + string(rune('0'+i%10)) + " .\n")); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) < c.least || len(b) > c.most || !strings.HasPrefix(string(b), "line 00") || strings.Contains(string(b), "left out") != (c.lines > 50) {
			t.Errorf("%d lines: %v\n%s", c.lines, err, b)
		}
		if c.lines > 50 && !strings.HasSuffix(string(b), "line 99 .\n") {
			t.Errorf("its end is missing:\n%s", b)
		}
		if list, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(list) != 1 {
			t.Errorf("left behind: %q", list)
		}
	}
}
