package tree_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/builder/tree"
	"overland/internal/errs"
	"overland/internal/testkit/crash"
)

// noise is an archive whose bytes do not get less by compression, so that each
// part of it is some of the files.
func noise(t *testing.T) []byte {
	t.Helper()
	items := []item{dir("top/")}
	seed := uint32(1)
	for i := range 64 {
		var b strings.Builder
		for range 64 << 10 {
			seed = seed*1664525 + 1013904223
			b.WriteByte(byte(seed >> 24))
		}
		items = append(items, item{tar.Header{Name: "top/" + strings.Repeat("x", i+1), Typeflag: tar.TypeReg, Mode: 0o644}, b.String()})
	}
	return archive(t, items...)
}

// Killed anywhere, an install leaves no destination, and the next one has nothing of it.
func TestKilled(t *testing.T) {
	whole := noise(t)
	parent := t.TempDir()
	dest := filepath.Join(parent, "dest")
	for part := range 10 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), killEnv+"="+dest)
		in, err := cmd.StdinPipe()
		must(t, err)
		must(t, cmd.Start())
		// All but what a pipe holds was taken when this returns.
		_, err = io.Copy(in, bytes.NewReader(whole[:len(whole)*(part+1)/11]))
		must(t, err)
		must(t, cmd.Process.Kill())
		if err := cmd.Wait(); err == nil {
			t.Fatal("it ended before it was killed")
		}
		if got := left(t, parent); strings.Contains(got, "dest") || strings.Count(got, tree.StagePrefix) != 1 {
			t.Errorf("killed after part %d: %s", part, got)
		}
	}
	must(t, unpack(t.Context(), bytes.NewReader(whole), dest, "top", tree.Limits{}))
	if got := left(t, parent); got != "dest" {
		t.Errorf("left: %s", got)
	}
}

func TestAFullDisk(t *testing.T) {
	small, resize := crash.SmallDisk(t, 1<<20)
	whole := noise(t)
	dest := filepath.Join(small, "dest")
	err := unpack(t.Context(), bytes.NewReader(whole), dest, "top", tree.Limits{})
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(errs.HintOf(err), "free some space") {
		t.Errorf("got %v", err)
	}
	if got := left(t, small); got != "" {
		t.Errorf("left: %s", got)
	}
	resize(64 << 20)
	must(t, unpack(t.Context(), bytes.NewReader(whole), dest, "top", tree.Limits{}))
}
