package tree_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"overland/internal/builder/tree"
	"overland/internal/errs"
	"overland/internal/fsx"
)

func with(one item, change func(*tar.Header)) item {
	change(&one.Header)
	return one
}

func hard(name, to string) item {
	return with(file(name), func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeLink, to })
}

// comment is what git archive begins with.
func comment() item {
	return with(dir("x/"), func(h *tar.Header) {
		h.Name, h.Typeflag = "pax", tar.TypeXGlobalHeader
		h.Mode = 0
		h.PAXRecords = map[string]string{"comment": "c"}
	})
}

// hostile are archives that must be refused, and leave nothing.
func hostile() map[string][]item {
	return map[string][]item{
		"nothing":              {},
		"a file alone":         {file("top")},
		"absolute":             {dir("top/"), file("/etc/evil")},
		"up":                   {dir("top/"), file("top/../../evil")},
		"up alone":             {dir("top/"), file("../evil")},
		"a dot in it":          {dir("top/"), file("top/./a")},
		"backslash":            {dir("top/"), file(`top/..\evil`)},
		"another top":          {dir("top/"), file("other/a")},
		"twice":                {dir("top/"), file("top/a"), file("top/a")},
		"file and folder":      {dir("top/"), file("top/a"), dir("top/a/")},
		"folder twice":         {dir("top/"), dir("top/a/"), dir("top/a/")},
		"file as a folder":     {dir("top/"), file("top/a"), file("top/a/b")},
		"link, then through":   {dir("top/"), dir("top/d/"), symlink("top/l", "d"), file("top/l/x")},
		"absolute link":        {dir("top/"), symlink("top/l", "/etc/passwd")},
		"link up":              {dir("top/"), symlink("top/l", "../../etc")},
		"link to beside":       {dir("top/"), symlink("top/l", "../x")},
		"empty link":           {dir("top/"), with(symlink("top/l", "x"), func(h *tar.Header) { h.Linkname = "" })},
		"top is a link":        {symlink("top", "x")},
		"chain of links":       {dir("top/"), dir("top/a/"), symlink("top/a/b", ".."), symlink("top/l", "a/b/../x/../..")},
		"loop":                 {dir("top/"), symlink("top/a", "b"), symlink("top/b", "a")},
		"hard link up":         {dir("top/"), hard("top/l", "../../etc/passwd")},
		"hard link, absolute":  {dir("top/"), hard("top/l", "/etc/passwd")},
		"hard link to a link":  {dir("top/"), file("top/a"), symlink("top/s", "a"), hard("top/l", "top/s")},
		"hard link to nothing": {dir("top/"), hard("top/l", "top/none")},
		"device":               {dir("top/"), with(file("top/d"), func(h *tar.Header) { h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, 1, 3 })},
		"block device":         {dir("top/"), with(file("top/d"), func(h *tar.Header) { h.Typeflag = tar.TypeBlock })},
		"fifo":                 {dir("top/"), with(file("top/d"), func(h *tar.Header) { h.Typeflag = tar.TypeFifo })},
		"setuid":               {dir("top/"), with(file("top/d"), func(h *tar.Header) { h.Mode = 0o4755 })},
		"setgid":               {dir("top/"), with(file("top/d"), func(h *tar.Header) { h.Mode = 0o2755 })},
		"too many":             {dir("top/"), file("top/1"), file("top/2"), file("top/3"), file("top/4"), file("top/5"), file("top/6"), file("top/7"), file("top/8")},
		"too deep":             {dir("top/"), file("top/1/2/3/4/5/6/7/8/9/a")},
		"too large":            {dir("top/"), {tar.Header{Name: "top/x", Typeflag: tar.TypeReg}, strings.Repeat("x", 200)}},
		"too many names":       {dir("top/"), dir("top/" + strings.Repeat("n", 100) + "/"), dir("top/" + strings.Repeat("m", 100) + "/")},
		"too many comments":    {dir("top/"), comment(), comment(), comment(), comment(), comment(), comment(), comment(), comment()},
		"a long name":          {dir("top/"), file("top/" + strings.Repeat("n/", 3000) + "x")},
	}
}

func TestHostileArchives(t *testing.T) {
	for name, items := range hostile() {
		t.Run(name, func(t *testing.T) {
			for i := range items {
				if items[i].Typeflag != tar.TypeReg {
					items[i].text = ""
				}
			}
			parent := t.TempDir()
			write(t, filepath.Join(parent, "x"), "untouched", 0o600)
			err := unpack(t.Context(), bytes.NewReader(archive(t, items...)), filepath.Join(parent, "dest"), "", tree.Limits{Entries: 8, Size: 100, Names: 200})
			if errs.KindOf(err) != errs.Untrusted {
				t.Errorf("got %v", err)
			}
			if got := left(t, parent); got != "x" {
				t.Errorf("left: %s", got)
			}
		})
	}
}

func TestHonestArchives(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "dest")
	items := []item{
		comment(), dir("./top/"), file("top/a"), hard("top/b", "top/a"), file("top/d/e/f"), symlink("top/d/l", "../a"), symlink("top/d/none", "../gone"),
	}
	items[0].text, items[3].text = "", ""
	must(t, unpack(t.Context(), bytes.NewReader(archive(t, items...)), dest, "top", tree.Limits{}))
	for name, want := range map[string]string{"a": "top/a", "b": "top/a", "d/e/f": "top/d/e/f", "d/l": "top/a"} {
		if b, err := os.ReadFile(filepath.Join(dest, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	err := unpack(t.Context(), bytes.NewReader(archive(t, items...)), dest, "top", tree.Limits{})
	if errs.KindOf(err) != errs.Conflict || errs.HintOf(err) == "" {
		t.Errorf("over what is there: %v", err)
	}
	err = unpack(t.Context(), bytes.NewReader(archive(t, items...)), dest+"2", "other", tree.Limits{})
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("another top: %v", err)
	}
}

// Every cut and every flipped bit of an archive is refused, or gives the very same tree.
func TestDamagedArchives(t *testing.T) {
	good := archive(t, dir("top/"), file("top/a"), file("top/b"))
	parent := t.TempDir()
	dest := filepath.Join(parent, "dest")
	try := func(what string, at int, b []byte) {
		t.Helper()
		err := unpack(t.Context(), bytes.NewReader(b), dest, "top", tree.Limits{})
		if err == nil {
			for _, name := range []string{"a", "b"} {
				if got, _ := os.ReadFile(filepath.Join(dest, name)); string(got) != "top/"+name {
					t.Errorf("%s at %d: %s holds %q", what, at, name, got)
				}
			}
			must(t, os.RemoveAll(dest))
		} else if errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s at %d: %v", what, at, err)
		}
		if got := left(t, parent); got != "" {
			t.Fatalf("%s at %d left %s", what, at, got)
		}
	}
	for i := range good {
		try("cut", i, good[:i])
		b := bytes.Clone(good)
		b[i] ^= 0x10
		try("flip", i, b)
	}
}

func TestABombIsStopped(t *testing.T) {
	r, w := io.Pipe()
	done := make(chan int64, 1)
	go func() {
		var sent int64
		z := gzip.NewWriter(w)
		a := tar.NewWriter(z)
		_ = a.WriteHeader(&tar.Header{Name: "top/bomb", Typeflag: tar.TypeReg, Size: 20 << 30})
		zeros := make([]byte, 1<<20)
		for {
			n, err := a.Write(zeros)
			sent += int64(n)
			if err != nil {
				w.CloseWithError(err)
				done <- sent
				return
			}
		}
	}()
	parent := t.TempDir()
	err := unpack(t.Context(), r, filepath.Join(parent, "x"), "top", tree.Limits{})
	r.CloseWithError(errors.New("enough"))
	if sent := <-done; errs.KindOf(err) != errs.Untrusted || sent > 256<<20 {
		t.Errorf("after %d bytes: %v", sent, err)
	}
	if got := left(t, parent); got != "" {
		t.Errorf("left: %s", got)
	}
}

// What a killed install left is swept by the next one; what a living one works on is not.
func TestLeftovers(t *testing.T) {
	parent := t.TempDir()
	write(t, filepath.Join(parent, tree.StagePrefix+"dead", "lock"), "1", 0o600)
	write(t, filepath.Join(parent, tree.StagePrefix+"dead", "tree", "x"), "", 0o600)
	write(t, filepath.Join(parent, tree.StagePrefix+"alive", "lock"), "1", 0o600)
	lock, err := fsx.TryLock(filepath.Join(parent, tree.StagePrefix+"alive", "lock"))
	must(t, err)
	defer lock.Unlock()
	must(t, unpack(t.Context(), bytes.NewReader(archive(t, dir("top/"))), filepath.Join(parent, "a"), "top", tree.Limits{}))
	if got := left(t, parent); got != tree.StagePrefix+"alive a" {
		t.Errorf("left: %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = unpack(ctx, bytes.NewReader(archive(t, dir("top/"))), filepath.Join(parent, "b"), "top", tree.Limits{})
	if !errors.Is(err, context.Canceled) || left(t, parent) != tree.StagePrefix+"alive a" {
		t.Errorf("%v, left: %s", err, left(t, parent))
	}
}

// Installs in one folder at the same time do not take each other for dead ones.
func TestManyAtOnce(t *testing.T) {
	parent := t.TempDir()
	good := archive(t, dir("top/"), file("top/a"))
	var group errgroup.Group
	for i := range 16 {
		group.Go(func() error {
			return unpack(t.Context(), bytes.NewReader(good), filepath.Join(parent, strconv.Itoa(i)), "top", tree.Limits{})
		})
	}
	must(t, group.Wait())
	if got := left(t, parent); len(strings.Fields(got)) != 16 || strings.Contains(got, tree.StagePrefix) {
		t.Errorf("left: %s", got)
	}
}

func TestRoom(t *testing.T) {
	s, err := tree.Begin(filepath.Join(t.TempDir(), "not", "there", "yet"))
	must(t, err)
	defer s.Close()
	if err := s.Room(1 << 20); err != nil {
		t.Error(err)
	}
	if err := s.Room(1 << 62); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("got %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	for _, items := range hostile() {
		for i := range items {
			if items[i].Typeflag != tar.TypeReg {
				items[i].text = ""
			}
		}
		f.Add(archive(f, items...))
	}
	f.Add(archive(f, dir("top/"), file("top/a"), symlink("top/l", "a")))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The fuzzer cannot make checksums: what is inside the gzip is what it changes.
		if raw, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			if b, err = io.ReadAll(io.LimitReader(raw, 1<<20)); err != nil {
				return
			}
		}
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(b)
		_ = w.Close()
		parent := t.TempDir()
		write(t, filepath.Join(parent, "beside"), "x", 0o600)
		err := unpack(t.Context(), &z, filepath.Join(parent, "dest"), "", tree.Limits{Entries: 100, Size: 1 << 20})
		want := "beside"
		if err == nil {
			want = "beside dest"
		}
		if got := left(t, parent); got != want {
			t.Errorf("%v left %q", err, got)
		}
		_ = filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type()&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0 {
				t.Errorf("%s is %s", path, d.Type())
			}
			return nil
		})
	})
}
