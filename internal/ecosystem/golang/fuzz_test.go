package golang

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"golang.org/x/mod/module"
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
		if h, err := hashZip(r, bytes.NewReader(b)); err == nil && !strings.HasPrefix(h, "h1:") {
			t.Errorf("hash %q", h)
		}
	})
}
