package rootfs

import (
	"archive/tar"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"overland/internal/errs"
)

// named is a package of which "new" replaces "old", and nothing else anything.
type named string

func (p named) called() string { return string(p) }

func (p named) over(old owner) (wins, ok bool) {
	q := old.(named)
	wins = p == "new" && q == "old"
	return wins, wins || p == "old" && q == "new"
}

// What a package says of its files is not believed.
func TestFilesOfATree(t *testing.T) {
	type file struct {
		of     named
		header tar.Header
	}
	reg := func(of named, name string) file {
		return file{of, tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1}}
	}
	dir := func(of named, name string) file { return file{of, tar.Header{Name: name, Typeflag: tar.TypeDir}} }
	link := func(kind byte, to string) file {
		return file{"a", tar.Header{Name: "./link", Typeflag: kind, Linkname: to}}
	}
	owned := func(uid, gid int) []file {
		return []file{{"a", tar.Header{Name: "x", Typeflag: tar.TypeDir, Uid: uid, Gid: gid}}}
	}
	const none errs.Kind = 0
	for what, c := range map[string]struct {
		files []file
		want  errs.Kind
	}{
		"the root itself":                   {[]file{dir("a", "./"), dir("a", ".")}, none},
		"no name":                           {[]file{reg("a", "")}, errs.Untrusted},
		"a name with a NUL":                 {[]file{reg("a", "x\x00y")}, errs.Untrusted},
		"a name with a line":                {[]file{reg("a", "x\ny")}, errs.Untrusted},
		"a long name":                       {[]file{reg("a", strings.Repeat("x", nameLimit+1))}, errs.Untrusted},
		"a name that climbs":                {[]file{reg("a", "x/../../y")}, errs.Untrusted},
		"the last user and group":           {owned(idLimit-1, idLimit-1), none},
		"a user that is none":               {owned(idLimit, 0), errs.Untrusted},
		"a group that is none":              {owned(0, idLimit), errs.Untrusted},
		"a user below 0":                    {owned(-1, 0), errs.Untrusted},
		"a group below 0":                   {owned(0, -1), errs.Untrusted},
		"a link to nothing":                 {[]file{link(tar.TypeSymlink, "")}, errs.Untrusted},
		"a link to a NUL":                   {[]file{link(tar.TypeSymlink, "x\x00")}, errs.Untrusted},
		"a long link":                       {[]file{link(tar.TypeSymlink, strings.Repeat("x", nameLimit+1))}, errs.Untrusted},
		"a hard link to a file":             {[]file{reg("a", "x"), link(tar.TypeLink, "x")}, none},
		"a hard link to nothing":            {[]file{link(tar.TypeLink, "x")}, errs.Untrusted},
		"a hard link to a folder":           {[]file{dir("a", "x"), link(tar.TypeLink, "x")}, errs.Untrusted},
		"a hard link to another's file":     {[]file{reg("b", "x"), link(tar.TypeLink, "x")}, errs.Untrusted},
		"a folder of two packages":          {[]file{dir("a", "x"), dir("b", "x")}, none},
		"a folder twice":                    {[]file{dir("a", "x"), dir("a", "x")}, none},
		"a file twice":                      {[]file{reg("a", "x"), reg("a", "x")}, errs.Untrusted},
		"a file of two packages":            {[]file{reg("a", "x"), reg("b", "x")}, errs.Invalid},
		"a file in place of an older one":   {[]file{reg("old", "x"), reg("new", "x")}, none},
		"a file below a newer one":          {[]file{reg("new", "x"), reg("old", "x")}, none},
		"a file in place of a folder":       {[]file{dir("old", "x"), reg("new", "x")}, errs.Invalid},
		"a folder in place of a file":       {[]file{reg("old", "x"), dir("new", "x")}, errs.Invalid},
		"a file below a file":               {[]file{reg("a", "x"), reg("b", "x/y")}, errs.Untrusted},
		"a folder that is merged, as files": {[]file{reg("a", "bin/x"), reg("b", "usr/bin/x")}, errs.Invalid},
	} {
		tree, err := newTree(t.TempDir(), []string{"bin"}, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range c.files {
			if err == nil {
				err = tree.add(f.of, &f.header, strings.NewReader(string(f.of[0])))
			}
		}
		if err == nil {
			err = tree.complete()
		}
		if err == nil {
			err = tree.writeTo(io.Discard)
		}
		if (err == nil) != (c.want == none) || err != nil && errs.KindOf(err) != c.want {
			t.Errorf("%s: %v", what, err)
		}
		if b, err := tree.read("x"); strings.Contains(what, "er one") && (string(b) != "n" || err != nil) {
			t.Errorf("%s: %q, %v", what, b, err)
		}
		tree.close()
	}
}

// A script is passed over when each of its lines is known to do nothing.
func TestInertScripts(t *testing.T) {
	for script, want := range map[string]bool{
		"": true, "#!/bin/sh\nset -e\n\n# x\nexit 0\n": true, "#!/bin/sh\nset -eu\n:\n": true, "rm -r /": false, "set -x\n": false, "exit 1\n": false,
	} {
		if inert(script) != want {
			t.Errorf("%q: %v", script, !want)
		}
	}
}

// endless yields zeros.
type endless struct{}

func (endless) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A root of 100,000 files and two large ones: memory holds names alone, while it is made and while it is written.
func TestARootOf100000Files(t *testing.T) {
	tree, err := newTree(t.TempDir(), merged, false)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const files, large = 100_000, 16 << 20
	add := func(name string, size int64) {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size}
		if err := tree.add(named("a"), h, io.LimitReader(endless{}, size)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range files {
		add(fmt.Sprintf("./usr/share/tea/%02d/leaf-%d", i%100, i), 100)
	}
	for i := range 2 {
		add(fmt.Sprintf("./usr/lib/large-%d", i), large)
	}
	if err := tree.complete(); err != nil {
		t.Fatal(err)
	}
	var written count
	if err := tree.writeTo(&written); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if least := count(files*2*512 + 2*large); written < least {
		t.Errorf("%d bytes of at least %d", written, least)
	}
	// All that was ever taken, freed or not: 2 KB a file.
	if took := after.TotalAlloc - before.TotalAlloc; took > 200<<20 {
		t.Errorf("%d bytes were allocated", took)
	}
	// What the process has of the kernel, without what the race detector needs: all of a build may take 96 MiB.
	if took := after.Sys - before.Sys; took > 80<<20 {
		t.Errorf("the process has grown by %d bytes", took)
	}
}

// count is how many bytes were written to it.
type count int64

func (c *count) Write(b []byte) (int, error) { *c += count(len(b)); return len(b), nil }
