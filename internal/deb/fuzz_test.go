package deb

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"overland/internal/clock"
	"overland/internal/errs"
)

func FuzzParagraphs(f *testing.F) {
	f.Add([]byte("A: b\n c\n .\n\n# x\nD:e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := NewDecoder(bytes.NewReader(b))
		for {
			p, err := d.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				if errs.KindOf(err) != errs.Invalid {
					t.Fatal(err)
				}
				return
			}
			for name := range p {
				if name != strings.ToLower(name) || strings.ContainsAny(name, ": \n") {
					t.Fatalf("field %q", name)
				}
			}
		}
	})
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte("Suite: s\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n " + strings.Repeat("0", 64) + " 1 main/Packages\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRelease(b)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Fatal(err)
			}
			return
		}
		for name, l := range r.Files {
			if l.Size < 0 || l.SHA256 == "" && l.SHA512 == "" {
				t.Fatalf("%s: %+v", name, l)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("Filename: a\nSize: 1\nSHA256: " + strings.Repeat("0", 64) + "\n"))
	f.Add([]byte("Directory: d\nChecksums-Sha256:\n " + strings.Repeat("0", 64) + " 1 a\n"))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = ReadIndex(io.LimitReader(bytes.NewReader(b), 1<<20))
	})
}

func FuzzPackages(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\nFilename: a\nSize: 1\nSHA256: " + strings.Repeat("0", 64) + "\nDepends: b (>= 1) | c:any, d\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := ReadPackages(bytes.NewReader(b), func(p *Package) error {
			for _, a := range p.Depends {
				again, err := ParseRelations(a.String())
				if err != nil || len(again) != 1 || again[0].String() != a.String() {
					t.Fatalf("%s: %v, %v", a, again, err)
				}
			}
			return nil
		})
		if err != nil && errs.KindOf(err) != errs.Invalid {
			t.Fatal(err)
		}
	})
}

func FuzzVersions(f *testing.F) {
	f.Add("1:1.0~rc1-1", "1.0+b1-2", "2")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if CompareVersions(a, b) != -CompareVersions(b, a) || CompareVersions(a, a) != 0 {
			t.Fatalf("%q and %q", a, b)
		}
		if CompareVersions(a, b) <= 0 && CompareVersions(b, c) <= 0 && CompareVersions(a, c) > 0 {
			t.Fatalf("%q, %q and %q are in no order", a, b, c)
		}
	})
}

// FuzzInRelease: whatever is taken, is what was signed.
func FuzzInRelease(f *testing.F) {
	keys, err := ReadKeyring([]byte(fuzzKey))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(fuzzSigned))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, _, err := VerifyInRelease(b, keys, clock.At(today)())
		if err == nil && strings.TrimRight(string(text), "\n") != "Suite: calm" {
			t.Fatalf("taken: %q", text)
		}
		if err != nil && errs.KindOf(err) != errs.Untrusted {
			t.Fatal(err)
		}
	})
}

func FuzzKeyring(f *testing.F) {
	f.Add([]byte(fuzzKey))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = ReadKeyring(b) })
}
