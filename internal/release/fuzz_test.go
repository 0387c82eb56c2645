package release

import (
	"encoding/json"
	"path"
	"strings"
	"testing"
)

// FuzzParse holds that whatever is accepted is safe to act on and is itself again when written.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema":1,"app":"wallet","version":"r1.a","artifacts":[{"name":"node","platform":"linux/amd64","file":"node",` +
		`"kind":"binary","blob":{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":5}}],` +
		`"services":{"node":{"artifact":"node","runtime":"process","volumes":{"data":"/data"}}}}`))
	f.Add([]byte(`{"schema":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		for _, a := range r.Artifacts {
			if p := path.Join("bin", a.File); path.Dir(p) != "bin" || strings.ContainsAny(a.File, "/\\\x00\n") {
				t.Errorf("file %q leaves its folder", a.File)
			}
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again); err != nil {
			t.Errorf("%s is refused when written again: %v", again, err)
		}
	})
}
