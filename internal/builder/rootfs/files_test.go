package rootfs

import (
	"archive/tar"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/deb/maintscript"
	"overland/internal/errs"
)

// scripted returns the root of a package with files, and links to some of them, as scripts see it.
func scripted(t *testing.T) files {
	t.Helper()
	tree, err := newTree(t.TempDir(), merged, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tree.close)
	p := &candidate{}
	for _, h := range []*tar.Header{
		{Name: "usr/a/one", Typeflag: tar.TypeReg, Size: 3},
		{Name: "usr/a/two", Typeflag: tar.TypeLink, Linkname: "usr/a/one"},
		{Name: "usr/b/three", Typeflag: tar.TypeLink, Linkname: "usr/a/one"},
		{Name: "usr/b/four", Typeflag: tar.TypeLink, Linkname: "usr/a/one"},
	} {
		if err := tree.add(p, h, strings.NewReader("one")); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.complete(); err != nil {
		t.Fatal(err)
	}
	return files{tree}
}

// What is in a folder, and which names a file has, is remembered: scripts ask for it again and again.
func TestFilesOfARootAreFound(t *testing.T) {
	r := scripted(t)
	reg := maintscript.File{Mode: 0o644}
	for what, do := range map[string]func(files) error{
		"a new file":          func(r files) error { return r.Put("usr/a/five", reg, []byte("five")) },
		"another content":     func(r files) error { return r.Put("usr/a/one", reg, []byte("more")) },
		"another of a link":   func(r files) error { return r.Put("usr/b/three", reg, []byte("more")) },
		"a file goes":         func(r files) error { r.Remove("usr/a/one"); return nil },
		"a link goes":         func(r files) error { r.Remove("usr/a/two"); r.Remove("usr/a/one"); return nil },
		"a folder goes":       func(r files) error { r.Remove("usr/a"); return nil },
		"a folder moves":      func(r files) error { return r.Rename("usr/a", "etc") },
		"the links' one":      func(r files) error { return r.Rename("usr/b", "etc") },
		"over another":        func(r files) error { return r.Rename("usr/a", "usr/b") },
		"moved, and one goes": func(r files) error { err := r.Rename("usr", "opt"); r.Remove("opt/a/one"); return err },
	} {
		t.Run(what, func(t *testing.T) {
			r := scripted(t)
			r.List("")
			if err := do(r); err != nil {
				t.Fatal(err)
			}
			got, want := map[string][]string{}, map[string][]string{}
			for name, e := range r.entries {
				want[path.Dir(name)] = append(want[path.Dir(name)], path.Base(name))
				if e.kind == tar.TypeLink && (r.entries[e.target] == nil || r.entries[e.target].kind != tar.TypeReg || !r.links()[e.target][name]) {
					t.Errorf("%s is a link to %s", name, e.target)
				}
				if b, err := r.Read(name); e.kind != tar.TypeDir && (err != nil || !strings.Contains("one more five", string(b)) || len(b) < 3) {
					t.Errorf("%s: %q %v", name, b, err)
				}
			}
			for dir := range want {
				got[dir] = r.List(dir)
				slices.Sort(want[dir])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, name := range []string{"", ".", "..", "../x", "/etc", "a\nb", "usr//x", "bin/x", strings.Repeat("x/", 3000) + "x"} {
		if err := r.Put(name, reg, []byte("x")); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%.20q: %v", name, err)
		}
		if err := r.Rename("usr/a", name); err == nil {
			t.Errorf("to %.20q", name)
		}
	}
	if err := r.Put("etc/x", maintscript.File{Mode: fs.ModeSymlink, Target: "a\x00b"}, nil); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}
