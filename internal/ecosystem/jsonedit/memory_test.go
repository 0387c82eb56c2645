package jsonedit

import (
	"io"
	"strings"
	"testing"
)

// A document is held for nobody, whatever is in it: neither its strings nor what stands between them.
func TestALongStringIsNotHeld(t *testing.T) {
	for _, long := range []string{strings.Repeat("x", 4<<20), strings.Repeat(`x\"`, 1<<20), strings.Repeat(`\\`, 2<<20)} {
		for _, in := range []string{`{"tarball":"` + long + `"}`, `{"` + long + `":"tarball"}`, `{"tarball":[` + strings.Repeat("7,", 1<<20) + `7]}`} {
			r := Values(strings.NewReader(in), "tarball", func(string) string { return "new" })
			got, err := io.ReadAll(r)
			if w, ok := r.(*rewriter); err != nil || string(got) != in || !ok || w.out.Cap() > 1<<20 {
				t.Errorf("%.30s: %d of %d bytes, %v", in, len(got), len(in), err)
			}
		}
	}
}
