package placed_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/builder"
	"overland/internal/builder/placed"
	"overland/internal/errs"
	"overland/internal/source"
)

// Whatever a folder of the commit is called, what is in it lies below the path at which the folder is placed.
func TestWhatIsInAFolderLiesBelowIt(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"site/in/x", ".config/x", "dot./x", "one"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]string{
		"site": ". in in/x", "site/in": ". x", ".config": ". x", "dot.": ". x", "one": ".",
		".": ". .config .config/x dot. dot./x one site site/in site/in/x",
	} {
		var got []string
		visit := func(_, below string, _ fs.FileInfo, f placed.File) error {
			got = append(got, below)
			if (f.Mode != "") != (name == "one") {
				t.Errorf("%s: %s has the mode %q", name, below, f.Mode)
			}
			return nil
		}
		if err := (placed.File{Path: name, Mode: "0600"}).Walk(builder.Job{}, root, "", visit); err != nil || strings.Join(slices.Sorted(slices.Values(got)), " ") != want {
			t.Errorf("%s: %v, %q", name, err, got)
		}
	}
	err = placed.File{Path: "none"}.Walk(builder.Job{}, root, "under files", nil)
	if errs.KindOf(err) != errs.Invalid || !strings.HasSuffix(errs.HintOf(err), "its path under files") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
	left := builder.Job{Left: []source.Left{{Path: "site/in/x", Kind: source.LFSPointer}}}
	for _, name := range []string{"site", "site/in/x", "."} {
		if err := (placed.File{Path: name}).Walk(left, root, "", nil); err == nil {
			t.Errorf("%s: placed without what the checkout lacks", name)
		}
	}
}
