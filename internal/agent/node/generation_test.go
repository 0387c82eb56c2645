package node

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/platform"
)

func FuzzGeneration(f *testing.F) {
	g := Generation{Schema: 1, Number: 1, Channel: "live", Source: "test", Apps: []App{{
		App: "wallet", Version: "r1", Release: digest.Of([]byte("release r1")),
		Programs: []Program{{Artifact: "node", Platform: platform.All()[0], File: "node", Digest: digest.Of([]byte("program r1")), Size: 10}},
		Services: map[string]appfile.Service{"node": {Artifact: "node", Runtime: "process"}},
	}}}
	b, err := encodeGeneration(&g)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"overland-generation":1,"sha256":"","body":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := decodeGeneration(bytes.NewReader(b))
		if err != nil {
			return
		}
		dir := t.TempDir()
		for _, a := range g.Apps {
			for _, p := range a.Programs {
				if path := filepath.Join(dir, a.ProgramPath(p)); !strings.HasPrefix(path, dir+"/bin/") {
					t.Errorf("program %q leaves its folder: %s", p.File, path)
				}
			}
		}
	})
}
