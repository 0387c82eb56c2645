package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
)

func TestTag(t *testing.T) {
	s := open(t)
	a, b := desc([]byte("a")), desc([]byte("b"))
	a.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v6"}
	a.Annotations = map[string]string{"note": "kept"}
	if _, err := s.Resolve("x"); !errors.Is(err, ErrNotFound) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("Resolve in an empty depot: %v", err)
	}
	for _, name := range []string{"x", "wallet@r412.abcdef012345", "y"} {
		if err := s.Tag(t.Context(), name, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Tag(t.Context(), "x", a), s.Untag(t.Context(), "y"), s.Untag(t.Context(), "z")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Resolve("x")
	if err != nil || got.Digest != a.Digest || got.Platform.Variant != "v6" || got.Annotations["note"] != "kept" {
		t.Errorf("Resolve: %v, %v", got, err)
	}
	if len(a.Annotations) != 1 {
		t.Error("Tag changed its argument")
	}
	if tags, err := s.Tags(); err != nil || len(tags) != 2 || TagOf(tags[0]) != "wallet@r412.abcdef012345" {
		t.Errorf("Tags: %v, %v", tags, err)
	}
	for _, bad := range []string{"", " ", "a b", "ü", "a\n", strings.Repeat("x", 256)} {
		if err := s.Tag(t.Context(), bad, a); errs.KindOf(err) != errs.Invalid {
			t.Errorf("Tag(%q): %v", bad, err)
		}
	}
	if err := s.Tag(t.Context(), "x", ocispec.Descriptor{Digest: "sha256:no"}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("Tag of a bad digest: %v", err)
	}
}

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
	tags, err := s.Tags()
	if err != nil || len(tags) != processes*20 {
		t.Fatalf("%d tags of %d, %v", len(tags), processes*20, err)
	}
	for n := range processes {
		for k := range 20 {
			if d, err := s.Resolve(fmt.Sprintf("n%d.%d", n, k)); err != nil || d.Digest != desc([]byte{byte(n), byte(k)}).Digest {
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
		"version": `{"schemaVersion":1}`, "huge": strings.Repeat(" ", IndexLimit+1), "name twice": twice,
		"digest": `{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]}`,
		"size":   strings.Replace(string(good), `"size":0`, `"size":-1`, 1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := s.Resolve("x")
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
