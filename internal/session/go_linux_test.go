package session_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/session"
)

// Modules that come from a folder of this machine are there on another one, which has neither the
// folder nor its settings.
func TestGoFromAFolder(t *testing.T) {
	dir, work := t.TempDir(), t.TempDir()
	const mod = "module example.org/dep\n\ngo 1.21\n"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{"go.mod": mod, "dep.go": "package dep\n\nconst Tea = \"tea\"\n"} {
		w, err := z.Create("example.org/dep@v1.0.0/" + name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	files(t, dir, map[string]string{
		"example.org/dep/@v/v1.0.0.info": `{"Version":"v1.0.0"}`, "example.org/dep/@v/v1.0.0.mod": mod, "example.org/dep/@v/v1.0.0.zip": b.String(),
	})
	files(t, work, map[string]string{"go.mod": "module m\n\ngo 1.21\n\nrequire example.org/dep v1.0.0\n"})
	t.Setenv("GOPROXY", "file:///none,file://"+dir)
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOTOOLCHAIN", "local")
	o, out := newOptions(t, "go mod download example.org/dep && cat $(go env GOMODCACHE)/example.org/dep@v1.0.0/dep.go")
	o.WorkDir, o.Environ = work, os.Environ()
	res, err := session.Record(t.Context(), o)
	if err != nil || len(res.Lock.Entries) != 3 || !strings.HasSuffix(out.String(), "const Tea = \"tea\"\n") {
		t.Fatalf("%v\n%s\n%+v", err, out, res)
	}
	t.Setenv("GOPROXY", "https://proxy.invalid")
	t.Setenv("GOSUMDB", "sum.invalid")
	_ = os.Remove(filepath.Join(work, "go.sum")) // it may not be there
	out.Reset()
	o.Lock, o.Environ = res.Lock, append(os.Environ(), "GOFLAGS=-modcacherw")
	if res, err := session.Replay(t.Context(), o); err != nil || len(res.Problems) != 0 || !strings.HasSuffix(out.String(), "const Tea = \"tea\"\n") {
		t.Errorf("%v\n%s\n%+v", err, out, res)
	}
}
