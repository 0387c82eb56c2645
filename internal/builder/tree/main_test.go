package tree_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"overland/internal/builder/tree"
)

const killEnv = "OVERLAND_TREE_TEST"

// play unpacks what comes on standard input to dest.
func play(dest string) {
	if err := unpack(context.Background(), os.Stdin, dest, "top", tree.Limits{}); err != nil {
		panic(err)
	}
}

func TestMain(m *testing.M) {
	if dest := os.Getenv(killEnv); dest != "" {
		play(dest)
		return
	}
	goleak.VerifyTestMain(m)
}

// unpack makes dest from the archive r.
func unpack(ctx context.Context, r io.Reader, dest, top string, l tree.Limits) error {
	s, err := tree.Begin(dest)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Unpack(ctx, r, top, l)
}

func write(t testing.TB, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func sh(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// install compiles a program and a library of its own into root, as a build with --prefix=root
// does; flags are for the linker of the program.
func install(t testing.TB, root string, flags ...string) {
	t.Helper()
	src := t.TempDir()
	write(t, filepath.Join(src, "hello.c"), "const char *hello(void) { return \"hello from a library\"; }\n", 0o644)
	write(t, filepath.Join(src, "main.c"), "#include <stdio.h>\nconst char *hello(void);\nint main(void) { puts(hello()); return 0; }\n", 0o644)
	for _, dir := range []string{"bin", "lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sh(t, "gcc", "-g", "-shared", "-fPIC", "-Wl,-soname,libhello.so.1", "-o", filepath.Join(root, "lib/libhello.so.1"), filepath.Join(src, "hello.c"))
	args := []string{"-g", "-o", filepath.Join(root, "bin/hello"), filepath.Join(src, "main.c"), filepath.Join(root, "lib/libhello.so.1")}
	sh(t, "gcc", append(args, flags...)...)
	link(t, filepath.Join(root, "lib/libhello.so.1"), filepath.Join(root, "lib/libhello.so"))
	link(t, "bin/hello", filepath.Join(root, "run"))
}

func pack(t testing.TB, dir string, o tree.PackOptions) ([]byte, tree.Packed) {
	t.Helper()
	var b bytes.Buffer
	p, err := tree.Pack(t.Context(), &b, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), p
}

// item is one entry of an archive made by hand.
type item struct {
	tar.Header
	text string
}

func dir(name string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func file(name string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, name}
}

func symlink(name, to string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, Mode: 0o777}, ""}
}

func archive(t testing.TB, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, one := range items {
		one.Size = int64(len(one.text))
		if err := w.WriteHeader(&one.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(one.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// left returns what is in a folder, hidden files too.
func left(t testing.TB, dir string) string {
	t.Helper()
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
