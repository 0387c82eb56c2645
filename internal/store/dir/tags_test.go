package dir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/store"
)

func TestManyProcessesTag(t *testing.T) {
	t.Parallel()
	s := open(t)
	const processes = 6
	var wait []func() error
	for n := range processes {
		cmd := other("tag", s.Dir(), n)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait = append(wait, cmd.Wait)
	}
	for _, w := range wait {
		if err := w(); err != nil {
			t.Error(err)
		}
	}
	tags, err := s.Tags(t.Context())
	if err != nil || len(tags) != processes*20 {
		t.Fatalf("%d tags of %d, %v", len(tags), processes*20, err)
	}
	for n := range processes {
		for k := range 20 {
			if d, err := s.Resolve(t.Context(), fmt.Sprintf("n%d.%d", n, k)); err != nil || d.Digest != desc([]byte{byte(n), byte(k)}).Digest {
				t.Errorf("n%d.%d: %v, %v", n, k, d.Digest, err)
			}
		}
	}
}

func TestBadIndexIsNamed(t *testing.T) {
	s := open(t)
	if err := s.Tag(t.Context(), "x", desc(nil)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir(), "index.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	twice := strings.Replace(string(good), `[{`, `[`+string(good[strings.Index(string(good), "[{")+1:strings.LastIndex(string(good), "]")])+`,{`, 1)
	for name, text := range map[string]string{
		"empty": "", "zeros": string(make([]byte, 100)), "cut": string(good[:len(good)-3]), "list": "[]",
		"version": `{"schemaVersion":1}`, "huge": strings.Repeat(" ", store.IndexLimit+1), "name twice": twice,
		"digest": `{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]}`,
		"size":   strings.Replace(string(good), `"size":0`, `"size":-1`, 1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := s.Resolve(t.Context(), "x")
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names the file", name, err)
		}
		if name != "huge" && (errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "no blob is lost")) {
			t.Errorf("%s: %v, hint %q", name, errs.KindOf(err), errs.HintOf(err))
		}
		if err := s.Tag(t.Context(), "y", desc(nil)); err == nil {
			t.Errorf("%s: Tag wrote over it", name)
		}
		if _, err := s.Collect(t.Context(), nil); err == nil {
			t.Errorf("%s: Collect went on without knowing the tags", name)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}
