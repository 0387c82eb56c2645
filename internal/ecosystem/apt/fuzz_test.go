package apt

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/clock"
	"overland/internal/errs"
)

func FuzzParagraphs(f *testing.F) {
	f.Add([]byte("A: b\n c\n .\n\n# x\nD:e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDecoder(bytes.NewReader(b))
		for {
			p, err := d.next()
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

func FuzzSources(f *testing.F) {
	f.Add([]byte("deb [arch=a,b signed-by=/k] http://h/x s c # d\n"), false)
	f.Add([]byte("Types: deb\nURIs: http://h/x\nSuites: s\nComponents: c\nSigned-By:\n a\n .\n b\n"), true)
	f.Fuzz(func(t *testing.T, b []byte, deb822 bool) {
		parse := parseList
		if deb822 {
			parse = parseDeb822
		}
		some, err := parse(b)
		if err != nil {
			return
		}
		p, err := New(some, Options{})
		if err != nil {
			return
		}
		if _, err := parseDeb822([]byte(p.Sources("http://r/apt"))); err != nil {
			t.Fatalf("what Sources wrote: %v\n%s", err, p.Sources("http://r/apt"))
		}
	})
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte("Suite: s\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n " + strings.Repeat("0", 64) + " 1 main/Packages\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRelease(b)
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
		_, _ = unpackTable(io.LimitReader(bytes.NewReader(b), 1<<20))
	})
}

// FuzzInRelease: whatever is taken, is what was signed.
func FuzzInRelease(f *testing.F) {
	keys, err := readKeyring([]byte(fuzzKey))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(fuzzSigned))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, _, err := verifyInRelease(b, keys, clock.At(today)())
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
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = readKeyring(b) })
}

func FuzzPath(f *testing.F) {
	p, err := New([]Source{
		{Types: []string{"deb"}, URIs: []string{"http://a.invalid/debian"}, Suites: []string{"calm", "./"}, Components: []string{"main"}},
	}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/debian/dists/calm/main/by-hash/SHA256/" + strings.Repeat("0", 64))
	f.Add("/debian/./pool//x%2f..%3a.deb")
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "http://r/", nil)
		r.URL.Path = path
		it, err := p.Item(r)
		if err != nil {
			return
		}
		for _, e := range strings.Split(it.Key, "/") {
			if e == "" || e == "." || e == ".." {
				t.Fatalf("key %q", it.Key)
			}
		}
		if !strings.HasPrefix(it.Upstream, "http://a.invalid/debian/") || it.Limit <= 0 {
			t.Fatalf("%+v", it)
		}
	})
}
