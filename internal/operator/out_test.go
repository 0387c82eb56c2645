package operator_test

import (
	"io/fs"
	"os"
	"testing"

	"overland/internal/builder"
	"overland/internal/operator"
	"overland/internal/store"
)

func TestExportedModes(t *testing.T) {
	p := begin(t)
	b := &operator.Built{}
	for _, data := range []bool{false, true} {
		d, err := store.PutBytes(t.Context(), p.Depot(), []byte("text"))
		if err != nil {
			t.Fatal(err)
		}
		file := map[bool]string{false: "program", true: "manual"}[data]
		b.Programs = append(b.Programs, builder.Built{Platform: "linux/amd64", File: file, Digest: d, Size: 4, Data: data})
	}
	paths, err := p.ExportDir(t.Context(), b, t.TempDir())
	if err != nil || len(paths) != 2 {
		t.Fatal(paths, err)
	}
	for i, want := range []fs.FileMode{0o755, 0o644} {
		if info, err := os.Stat(paths[i]); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, want mode %s", paths[i], err, want)
		}
	}
}
