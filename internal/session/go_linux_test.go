package session_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/session"
)

// module publishes the module example.org/NAME, version v1.0.0, with a comment, in the folder dir.
func module(t *testing.T, dir, name, comment string) {
	t.Helper()
	mod := "module example.org/" + name + "\n\ngo 1.21\n"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for file, text := range map[string]string{"go.mod": mod, "dep.go": "package " + name + "\n\n// " + comment + "\nconst Tea = \"tea\"\n"} {
		w, err := z.Create("example.org/" + name + "@v1.0.0/" + file)
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
	at := "example.org/" + name + "/@v/v1.0.0"
	files(t, dir, map[string]string{at + ".info": `{"Version":"v1.0.0"}`, at + ".mod": mod, at + ".zip": b.String()})
}

// Modules that come from a folder of this machine are there on another one, which has neither the
// folder nor its settings.
func TestGoFromAFolder(t *testing.T) {
	dir, work := t.TempDir(), t.TempDir()
	module(t, dir, "dep", "")
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

// What go mod tidy fetches is enough for go build and go mod download, which also ask for the
// information about each version; what go.mod requires beyond that is named.
func TestALockIsEnoughForOtherGoCommands(t *testing.T) {
	dir, work := t.TempDir(), t.TempDir()
	for _, name := range []string{"dep", "bare", "other"} {
		module(t, dir, name, "")
	}
	if err := os.Remove(filepath.Join(dir, "example.org/bare/@v/v1.0.0.info")); err != nil { // as below pkg/mod/cache/download
		t.Fatal(err)
	}
	files(t, work, map[string]string{
		"go.mod": "module m\n\ngo 1.21\n\nrequire (\n\texample.org/dep v1.0.0\n\texample.org/bare v1.0.0\n\texample.org/other v1.0.0\n" +
			"\texample.org/local v1.0.0\n)\n\nreplace example.org/local => ./local\n",
		"m.go":         "package m\n\nimport (\n\t_ \"example.org/bare\"\n\t_ \"example.org/dep\"\n)\n",
		"local/go.mod": "module example.org/local\n",
	})
	t.Setenv("GOPROXY", "file://"+dir)
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOTOOLCHAIN", "local")
	o, out := newOptions(t, "cp go.mod go.was && go mod tidy && mv go.was go.mod")
	o.WorkDir, o.Environ = work, os.Environ()
	res, err := session.Record(t.Context(), o)
	if err != nil || len(res.Problems) != 0 || !slices.Equal(res.Lacking, []string{"example.org/other@v1.0.0"}) {
		t.Fatalf("%v\n%s\n%+v", err, out, res)
	}
	for _, e := range res.Lock.Entries {
		if e.Failed() {
			t.Errorf("nobody asked for %s", e.Key)
		}
	}
	o.Lock, o.Command = res.Lock, []string{"go", "mod", "download", "example.org/dep"}
	if res, err := session.Replay(t.Context(), o); err != nil || len(res.Problems) != 0 {
		t.Errorf("%v\n%s\n%+v", err, out, res)
	}
}
