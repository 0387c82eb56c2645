package tree

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzRewrite(f *testing.F) {
	f.Add("lib/pkgconfig/x.pc", []byte("prefix=/build/root\nlibdir=/build/root/lib\n/build/rootless"))
	f.Add("bin/x", []byte("#!/build/root/bin/python3 -S\nprint(1)\n"))
	f.Fuzz(func(t *testing.T, rel string, text []byte) {
		p := &packer{dir: "/", roots: []string{"/build/root"}}
		made, what := p.rewrite(rel, text)
		if what == "" && !bytes.Equal(made, text) {
			t.Errorf("changed without a word: %q", made)
		}
		if strings.HasSuffix(rel, ".pc") {
			if left, err := find(bytes.NewReader(made), []byte("/build/root"), nil); left != nil || err != nil {
				t.Errorf("left %+v, %v in %q", left, err, made)
			}
		}
	})
}
