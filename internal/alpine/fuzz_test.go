package alpine

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/errs"
)

// seed returns a file of testdata: a signed index and a package, as the
// publisher of the tests made them.
func seed(f *testing.F, name string) []byte {
	f.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		f.Fatal(err)
	}
	return b
}

func FuzzIndex(f *testing.F) {
	f.Add(seed(f, "APKINDEX.tar.gz"))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, at, _, err := newMembers(bytes.NewReader(b)).begin()
		if err == nil && (at < 0 || at >= int64(len(b)) || len(list) > signatures) {
			t.Fatalf("at %d of %d, %d signatures", at, len(b), len(list))
		}
		x, rerr := ReadIndex(bytes.NewReader(b))
		for _, err := range []error{err, rerr} {
			if err != nil && errs.KindOf(err) != errs.Untrusted {
				t.Fatal(err)
			}
		}
		if err != nil {
			return
		}
		if rerr == nil && x.Packages == nil {
			t.Fatal("an index without its map")
		}
		if _, err := verify(list, bytes.NewReader(b), at, t.TempDir()); errs.KindOf(err) != errs.Untrusted {
			t.Fatalf("without keys: %v", err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add("C:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\nP:a\nV:1\nS:3\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		files, err := parseIndex(strings.NewReader(s))
		for name, l := range files {
			if err == nil && (l.Size < 0 || strings.Contains(name, "/") || !strings.HasSuffix(name, ".apk")) {
				t.Fatalf("%q %+v", name, l)
			}
		}
	})
}

func FuzzPackage(f *testing.F) {
	f.Add(seed(f, "tea-1.0-r0.apk"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ReadPackage(bytes.NewReader(b))
		if err == nil && l.Size != int64(len(b)) || err != nil && errs.KindOf(err) != errs.Untrusted {
			t.Fatalf("%+v of %d bytes, %v", l, len(b), err)
		}
		once, onceErr := ReadArchive(bytes.NewReader(b), Contents{})
		if (err == nil) != (onceErr == nil) || err == nil && once != l || onceErr != nil && errs.KindOf(onceErr) != errs.Untrusted {
			t.Fatalf("in two passes %+v %v, in one %+v %v", l, err, once, onceErr)
		}
	})
}

func FuzzPkginfo(f *testing.F) {
	f.Add("# x\npkgname = a\ndatahash = " + strings.Repeat("0a", 32) + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := dataHash(strings.NewReader(s)); err == nil && (len(h) != 64 || strings.Trim(h, "0123456789abcdef") != "") {
			t.Fatalf("%q", h)
		}
		p, err := ParsePkginfo(strings.NewReader(s))
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Fatal(err)
			}
			return
		}
		for _, d := range slices.Concat(p.Depends, p.Provides, p.InstallIf, p.Replaces) {
			if again, err := ParseDependency(d.String()); err != nil || again != d {
				t.Fatalf("%+v, again %+v: %v", d, again, err)
			}
		}
	})
}

func FuzzVersions(f *testing.F) {
	f.Add("1.2_rc1-r3", "1.02b~0a")
	f.Fuzz(func(t *testing.T, a, b string) {
		if CompareVersions(a, a) != 0 || CompareVersions(a, b) != -CompareVersions(b, a) {
			t.Fatalf("%q and %q", a, b)
		}
		if ValidVersion(a) && ValidVersion(a+"-r1") && CompareVersions(a, a+"-r1") >= 0 {
			t.Fatalf("%q is not older than its first revision", a)
		}
	})
}
