package tree_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/builder/tree"
	"overland/internal/errs"
)

// A program and its library, linked as a build with a fixed prefix links them, run at another
// place after the first one is gone.
func TestSoftwareMoves(t *testing.T) {
	for name, flags := range map[string]func(root string) []string{
		"RUNPATH of the build": func(root string) []string {
			return []string{"-Wl,--enable-new-dtags,-rpath," + root + "/lib:/usr/lib/none"}
		},
		"RPATH of the build": func(root string) []string { return []string{"-Wl,--disable-new-dtags,-rpath," + root + "/lib"} },
		"relative":           func(string) []string { return []string{"-Wl,-rpath,$ORIGIN/../lib"} },
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "software")
			install(t, root, flags(root)...)
			b, p := pack(t, root, tree.PackOptions{Top: "top"})
			relative := name == "relative"
			if changed := strings.Join(p.Rewritten, ", "); strings.Contains(changed, "PATH") == relative || !strings.Contains(changed, "lib/libhello.so: link") {
				t.Errorf("changed: %s", changed)
			}
			if err := os.RemoveAll(root); err != nil {
				t.Fatal(err)
			}
			dest := filepath.Join(t.TempDir(), "far", "away", "elsewhere")
			if err := unpack(t.Context(), bytes.NewReader(b), dest, "top", tree.Limits{Entries: p.Entries, Size: p.Size}); err != nil {
				t.Fatal(err)
			}
			for _, program := range []string{"bin/hello", "run"} {
				if got := sh(t, filepath.Join(dest, program)); got != "hello from a library\n" {
					t.Errorf("%s says %q", program, got)
				}
			}
			if got := left(t, filepath.Dir(dest)); got != "elsewhere" {
				t.Errorf("left beside it: %s", got)
			}
			if got := sh(t, "readelf", "-d", filepath.Join(dest, "bin/hello")); !strings.Contains(got, "$ORIGIN/../lib") {
				t.Errorf("%s", got)
			}
		})
	}
}

// Python scripts and pkg-config's files find their way from where they are, also through a link.
func TestTextsThatMove(t *testing.T) {
	root := filepath.Join(t.TempDir(), "software")
	write(t, root+"/parts/python/bin/python3.11", "#!/bin/sh\nexec python3 \"$@\"\n", 0o755)
	write(t, root+"/bin/tool", "#!"+root+"/parts/python/bin/python3.11 -S\n# coding: utf-8\nimport sys\nprint('tool', sys.argv[1:], sys.flags.no_site)\n", 0o755)
	link(t, "bin/tool", root+"/tool")
	write(t, root+"/lib/pkgconfig/x.pc", "prefix="+root+"\nlibdir="+root+"/lib\nother="+root+"-2\n", 0o644)
	b, p := pack(t, root, tree.PackOptions{Top: "top"})
	if got := strings.Join(p.Rewritten, ", "); got != "bin/tool: first line, lib/pkgconfig/x.pc: paths" {
		t.Errorf("changed: %s", got)
	}
	must(t, os.RemoveAll(root))
	dest := filepath.Join(t.TempDir(), "with space", "x")
	must(t, unpack(t.Context(), bytes.NewReader(b), dest, "top", tree.Limits{}))
	for _, name := range []string{"bin/tool", "tool"} {
		if got := sh(t, filepath.Join(dest, name), "a b", "c"); got != "tool ['a b', 'c'] 1\n" {
			t.Errorf("%s says %q", name, got)
		}
	}
	if got, err := os.ReadFile(dest + "/lib/pkgconfig/x.pc"); err != nil || string(got) != "prefix=${pcfiledir}/../..\nlibdir=${pcfiledir}/../../lib\nother="+root+"-2\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheSameFilesGiveTheSameBytes(t *testing.T) {
	var archives [2][]byte
	for i := range archives {
		root := filepath.Join(t.TempDir(), "a")
		write(t, filepath.Join(root, "b/program"), "#!/bin/sh\n", []fs.FileMode{0o755, 0o700}[i])
		write(t, filepath.Join(root, "text"), "x", []fs.FileMode{0o600, 0o664}[i])
		link(t, "../text", filepath.Join(root, "b/link"))
		if err := os.Chtimes(filepath.Join(root, "text"), time.Now(), time.Unix(int64(i)*1000, 0)); err != nil {
			t.Fatal(err)
		}
		archives[i], _ = pack(t, root, tree.PackOptions{})
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("they differ")
	}
	// With any Go: do not mend the digest, see decision 0065.
	if got := fmt.Sprintf("%x", sha256.Sum256(archives[0])); got != "d25624e3bfad4c4d84cb154ece23d79debbd13b34dd1d0a541f95375821c3be0" {
		t.Errorf("other bytes than those that were packed once: %s", got)
	}
	dest := filepath.Join(t.TempDir(), "c")
	if err := unpack(t.Context(), bytes.NewReader(archives[0]), dest, "", tree.Limits{}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{"": 0o755, "b": 0o755, "b/program": 0o755, "text": 0o644} {
		if info, err := os.Stat(filepath.Join(dest, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// What cannot move is refused by name, all of it at once.
func TestWhatHoldsItsPath(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "app")
	for name, test := range map[string]struct {
		make func()
		want string // "" = it may stay
	}{
		"script":          {func() { write(t, root+"/x", "#!"+root+"/bin/perl\n", 0o755) }, "x: its first line runs " + root + "/bin/perl"},
		"text":            {func() { write(t, root+"/x", "a\nb="+root+"/lib:c\n", 0o644) }, "x: line 2 holds " + root + "/lib"},
		"data":            {func() { write(t, root+"/x", "\x00\x00"+root, 0o644) }, "x: byte 2 holds " + root},
		"far in the file": {func() { write(t, root+"/x", strings.Repeat("\n", tree.Window+tree.MaxRoot-5)+root+"/y", 0o644) }, "holds " + root + "/y"},
		"another one":     {func() { write(t, root+"/x", root+"lication/lib "+root+"_2", 0o644) }, ""},
		"a prefix":        {func() { write(t, root+"/x", "/opt/prefix/lib", 0o644) }, "x: line 1 holds /opt/prefix/lib"},
		"link away":       {func() { link(t, "/bin/sh", root+"/x") }, "x: a link to /bin/sh"},
		"link up":         {func() { link(t, "../other", root+"/x") }, "x: a link to ../other"},
		"link to itself":  {func() { link(t, root, root+"/d/x") }, ""},
		"setuid":          {func() { write(t, root+"/x", "", 0o644); must(t, os.Chmod(root+"/x", fs.ModeSetuid|0o755)) }, "x: a setuid"},
		"fifo":            {func() { sh(t, "mkfifo", root+"/x") }, "x: neither"},
		"in a program": {func() {
			compile(t, root, "const char *path = \""+root+"/share\"; int main(void) { return *path; }", root+"/x")
		}, "holds " + root + "/share"},
		"debug info": {func() { compile(t, root, "int main(void) { return 0; }", root+"/x", "-g") }, ""},
		"loader": {func() {
			compile(t, root, "int main(void) { return 0; }", root+"/x", "-Wl,--dynamic-linker,"+root+"/ld.so")
		}, "x: its loader is " + root},
		"library by path": {func() {
			compile(t, root, "int f(void) { return 0; }", root+"/lib.so", "-shared", "-Wl,-soname,"+root+"/lib.so")
			compile(t, root, "int f(void); int main(void) { return f(); }", root+"/x", root+"/lib.so")
		}, "x: it needs the library " + root},
		"RUNPATH, longer": {func() {
			compile(t, root, "int main(void) { return 0; }", root+"/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/x", "-Wl,-rpath,"+root)
		}, "does not fit"},
		"RUNPATH, shared": {func() {
			compile(t, root, "int f(void) { return 0; }", root+"/lib.so", "-shared", "-Wl,-soname,lib.so")
			must(t, os.Rename(root+"/lib.so", base+"/lib.so"))
			compile(t, root, "int f(void); int main(void) { return f(); }", root+"/x", base+"/lib.so", "-Wl,-rpath,"+root+"/lib.so", "-Wl,-O2")
		}, "another name in the same bytes"},
		"an honest prefix": {func() { write(t, root+"/x", "/usr/lib", 0o644) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.RemoveAll(root))
			must(t, os.MkdirAll(root, 0o755))
			test.make()
			var b bytes.Buffer
			_, err := tree.Pack(t.Context(), &b, root, tree.PackOptions{Prefixes: []string{"/opt/prefix"}})
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), test.want) || errs.HintOf(err) == ""):
				t.Errorf("got %v, want %q", err, test.want)
			}
			if test.want == "" {
				must(t, unpack(t.Context(), &b, filepath.Join(t.TempDir(), "x"), "app", tree.Limits{}))
			}
		})
	}
	must(t, os.RemoveAll(root))
	for i := range 30 {
		link(t, "/etc", filepath.Join(root, "links", strings.Repeat("l", i+1)))
	}
	if _, err := tree.Pack(t.Context(), &bytes.Buffer{}, root, tree.PackOptions{}); err == nil || !strings.Contains(err.Error(), "and 10 more") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []tree.PackOptions{{Prefixes: []string{"/"}}, {Prefixes: []string{"opt"}}} {
		if _, err := tree.Pack(t.Context(), &bytes.Buffer{}, root, bad); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := tree.Pack(t.Context(), &bytes.Buffer{}, root+"/none", tree.PackOptions{}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("got %v", err)
	}
}

// A folder that is named by a link holds the path behind the link too.
func TestTheRootIsALink(t *testing.T) {
	base := t.TempDir()
	root, alias := filepath.Join(base, "real"), filepath.Join(base, "alias")
	write(t, root+"/x", "1 "+root+"/a", 0o644)
	write(t, root+"/y", "2 "+alias+"/b", 0o644)
	link(t, root, alias)
	_, err := tree.Pack(t.Context(), &bytes.Buffer{}, alias, tree.PackOptions{})
	if err == nil || !strings.Contains(err.Error(), root+"/a") || !strings.Contains(err.Error(), alias+"/b") {
		t.Errorf("got %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func compile(t testing.TB, root, text, out string, flags ...string) {
	t.Helper()
	src := filepath.Join(root, "main.c")
	write(t, src, text, 0o644)
	must(t, os.MkdirAll(filepath.Dir(out), 0o755))
	sh(t, "gcc", append([]string{"-o", out, src}, flags...)...)
	must(t, os.Remove(src))
}
