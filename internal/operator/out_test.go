package operator_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/errs"
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

// A checkout may bring the folder into which an operator exports, with links in it: what a build made
// would land where they lead, as a program of the operator's or a file of cron's.
func TestAnExportFollowsNoLinkOfTheCheckout(t *testing.T) {
	p := begin(t)
	d, err := store.PutBytes(t.Context(), p.Depot(), []byte("#!/bin/sh\n"))
	if err != nil {
		t.Fatal(err)
	}
	b := &operator.Built{Source: &operator.Source{App: &appfile.App{}}, Programs: []builder.Built{{Name: "git", Platform: "linux/amd64", File: "git", Digest: d, Size: 10}}}
	for _, link := range []string{"linux-amd64", "blobs", "blobs/sha256", "ingest", "ingest/index.lock"} {
		t.Run(link, func(t *testing.T) {
			dist, bin := t.TempDir(), t.TempDir()
			err := errors.Join(os.MkdirAll(filepath.Join(dist, filepath.Dir(link)), 0o755), os.Symlink(filepath.Join(bin, "new"), filepath.Join(dist, link)))
			if filepath.Base(link) != "index.lock" {
				err = errors.Join(err, os.Mkdir(filepath.Join(bin, "new"), 0o755))
			}
			if err != nil {
				t.Fatal(err)
			}
			if link == "linux-amd64" {
				_, err = p.ExportDir(t.Context(), b, dist)
			} else {
				err = p.ExportOCI(t.Context(), b, dist)
			}
			if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), filepath.Join(dist, link)) {
				t.Errorf("got %v, want an error that names the link", err)
			}
			_ = filepath.WalkDir(bin, func(path string, e fs.DirEntry, _ error) error {
				if !e.IsDir() {
					t.Errorf("%s was written", path)
				}
				return nil
			})
		})
	}
}
