package golang

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/sync/errgroup"
)

func FuzzItem(f *testing.F) {
	for key := range maps.Keys(map[string]bool{"example.org/a/@v/v1.0.0.zip": true, "sumdb/db.example/lookup/a@v1": true}) {
		f.Add(key)
	}
	p := &Protocol{proxies: []string{"https://one.example"}, hasDB: true, db: database{name: "db.example", url: "https://db.example"}}
	f.Fuzz(func(t *testing.T, key string) {
		it, err := p.item(key)
		if err == nil && (it.Key != key || strings.Contains(key, "/../") || !strings.HasPrefix(it.Upstream, "https://one.example/")) {
			t.Errorf("%q: %+v", key, it)
		}
	})
}

func FuzzParseLookup(f *testing.F) {
	f.Add([]byte("1\nexample.org/a v1.0.0 h1:x\n\ngo.sum database tree\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— db x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, rec, tree, err := parseLookup(b)
		if err == nil && (id < 0 || tree.size < 0 || !bytes.HasPrefix(b, rec)) {
			t.Errorf("%q: %d %q %+v", b, id, rec, tree)
		}
	})
}

func FuzzHashZip(f *testing.F) {
	f.Add([]byte("PK\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	r := request{kind: "zip", module: module.Version{Path: "example.org/a", Version: "v1.0.0"}}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := new(unzipper).hash(r, bytes.NewReader(b))
		if err != nil {
			return
		}
		if std, err := standard(b); err == nil && h != std || !strings.HasPrefix(h, "h1:") {
			t.Errorf("hash %q, of the standard library %q", h, std)
		}
	})
}

// standard returns the hash of an archive as the go command computes it.
func standard(b []byte) (string, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return "", err
	}
	files := map[string]*zip.File{}
	for _, f := range z.File {
		files[f.Name] = f
	}
	return dirhash.Hash1(slices.Collect(maps.Keys(files)), func(name string) (io.ReadCloser, error) { return files[name].Open() })
}

// One unzipper hashes many archives, at the same time, as the go command does; what is damaged in one
// does not reach another.
func TestUnzip(t *testing.T) {
	var u unzipper
	var all errgroup.Group
	for n := range 8 {
		all.Go(func() error {
			var b bytes.Buffer
			z := zip.NewWriter(&b)
			for i, text := range []string{"", "package a\n", strings.Repeat("a long text ", 20_000*(n+1)), strings.Repeat("x", 70_000)} {
				w, err := z.Create(fmt.Sprintf("example.org/a@v1.0.0/%d.go", i))
				if err == nil {
					_, err = io.WriteString(w, text)
				}
				if err != nil {
					return err
				}
			}
			if err := z.Close(); err != nil {
				return err
			}
			r := request{kind: "zip", module: module.Version{Path: "example.org/a", Version: "v1.0.0"}}
			want, err := standard(b.Bytes())
			if err != nil {
				return err
			}
			for range 4 {
				if got, err := u.hash(r, bytes.NewReader(b.Bytes())); err != nil || got != want {
					return fmt.Errorf("%q, not %q: %w", got, want, err)
				}
				bad := bytes.Clone(b.Bytes())
				bad[len(bad)/3] ^= 0xff
				if got, err := u.hash(r, bytes.NewReader(bad)); err == nil {
					return fmt.Errorf("%q of a damaged archive", got)
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}

// An archive that lists millions of files is refused before they are in memory.
func TestAModuleThatListsMillionsOfFiles(t *testing.T) {
	const nameless = 46
	entry := make([]byte, nameless)
	copy(entry, "PK\x01\x02")
	n := listLimit/nameless + 100
	b := bytes.Repeat(entry, n)
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[8:], uint16(n))
	binary.LittleEndian.PutUint16(end[10:], uint16(n))
	binary.LittleEndian.PutUint32(end[12:], uint32(len(b)))
	_, err := new(unzipper).hash(request{kind: "zip"}, bytes.NewReader(append(b, end...)))
	if err == nil || !strings.Contains(err.Error(), "a list of files of more than") {
		t.Error(err)
	}
}
