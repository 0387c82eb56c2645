package tree

import (
	"bytes"
	"os"
	"testing"
)

func FuzzProgram(f *testing.F) {
	b, err := os.ReadFile("testdata/library")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &packer{dir: "/build/root", roots: []string{"/build/root"}}
		g := p.elf(bytes.NewReader(b), "lib/x")
		for _, one := range g.patches {
			if one.off < 0 || one.off+int64(len(one.text)) > int64(len(b)) {
				t.Errorf("a patch of %d bytes at %d of %d", len(one.text), one.off, len(b))
			}
		}
	})
}
