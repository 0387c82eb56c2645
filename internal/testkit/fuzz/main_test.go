package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                "module example.org/x\n\ngo 1.26.0\n",
		"x.go":                  "package x\n\nfunc FuzzNot() {}\n",
		"x_test.go":             "package x\n\nimport \"testing\"\n\nfunc FuzzA(f *testing.F) {}\n\nfunc helpFuzz() {}\n",
		"y/y.go":                "package y\n",
		"y/y_test.go":           "package y_test\n\nimport \"testing\"\n\nfunc FuzzB(f *testing.F) {}\n",
		"y/other_plan9_test.go": "package y_test\n\nimport \"testing\"\n\nfunc FuzzElsewhere(f *testing.F) {}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := find(dir, "./...")
	if want := []target{{"example.org/x", dir, "FuzzA"}, {"example.org/x/y", filepath.Join(dir, "y"), "FuzzB"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("found %v, %v, want %v", got, err, want)
	}
}
