package release_test

import (
	"bytes"
	"context"
	"encoding/json"
	"path"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/release"
)

// FuzzParse holds that whatever is accepted is safe to act on and is itself again when written.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema":1,"app":"wallet","version":"r1.a","artifacts":[{"name":"node","platform":"linux/amd64","file":"node",` +
		`"kind":"binary","blob":{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":5}}],` +
		`"services":{"node":{"artifact":"node","runtime":"process","volumes":{"data":"/data"}}}}`))
	f.Add([]byte(`{"schema":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := release.Parse(b)
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
		if _, err := release.Parse(again); err != nil {
			t.Errorf("%s is refused when written again: %v", again, err)
		}
	})
}

// one is a Getter of one blob, whatever it is asked for.
type one []byte

func (b one) Bytes(context.Context, digest.Digest, int64) ([]byte, error) { return b, nil }

// FuzzInputs holds that one list of inputs has one form.
func FuzzInputs(f *testing.F) {
	in := inputs(2)
	list, err := release.Documents(&in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(list[0].Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := release.ReadInputs(t.Context(), one(b), release.Describe(ocispec.MediaTypeImageManifest, b))
		if err != nil {
			return
		}
		again, err := release.Documents(got)
		if err != nil || !bytes.Equal(again[0].Bytes(), b) {
			t.Errorf("%s is %s when written again, %v", b, again[0].Bytes(), err)
		}
	})
}
