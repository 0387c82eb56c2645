package volume

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overland/internal/cli/release"
	"overland/internal/cli/term"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/platform"
	rel "overland/internal/release"
)

func TestCompareNamesBothDigests(t *testing.T) {
	one, two := digest.Of([]byte("one")), digest.Of([]byte("two"))
	artifact := func(p platform.Platform) rel.Artifact {
		return rel.Artifact{Name: "wallet", Platform: p, Blob: rel.Blob{Digest: one}}
	}
	opened := &operator.Opened{Release: &rel.Release{
		App: "wallet", Version: "r1.a", Artifacts: []rel.Artifact{artifact("linux/amd64"), artifact("linux/arm64")},
	}}
	program := func(p platform.Platform, d digest.Digest) release.Program {
		return release.Program{Name: "wallet", Platform: p, Digest: d}
	}
	for name, test := range map[string]struct {
		built []release.Program
		want  []string // in the error
	}{
		"the same": {[]release.Program{program("linux/arm64", one), program("linux/amd64", one)}, nil},
		"another":  {[]release.Program{program("linux/arm64", two), program("linux/amd64", one)}, []string{"linux/arm64", string(one), string(two), "where they differ"}},
		"more":     {[]release.Program{program("linux/arm64", one), program("linux/amd64", one), program("linux/arm/v6", one)}, []string{"linux/arm/v6", "the release lacks it"}},
		"missing":  {[]release.Program{program("linux/amd64", one)}, []string{"linux/arm64", string(one), "not built"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := compare(&term.Term{Stdout: &out}, opened, release.Built{Programs: test.built}, false, func(rel.Artifact, digest.Digest) string { return "where they differ" })
			if (err == nil) != (test.want == nil) || (err != nil && errs.KindOf(err).Exit() != 1) {
				t.Fatalf("error = %v", err)
			}
			for _, text := range test.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in %q", text, err)
				}
			}
			if (strings.Contains(out.String(), "different") || strings.Contains(out.String(), "not built")) != (err != nil && name != "more") {
				t.Errorf("printed %q", out.String())
			}
		})
	}
}

// What a build in a cell left where its depot was is read as it lies there: nothing behind a link out of it, no pipe.
func TestWhatACellLeftLeadsNowhere(t *testing.T) {
	text := []byte("a key of the operator's")
	secret := filepath.Join(t.TempDir(), digest.Of(text).Encoded())
	if err := os.WriteFile(secret, text, 0o600); err != nil {
		t.Fatal(err)
	}
	at, d := t.TempDir(), digest.Of(text)
	blob := filepath.Join(at, "depot", "blobs", "sha256", d.Encoded())
	for name, c := range map[string]struct {
		lay  func() error
		read bool
	}{
		"a blob": {func() error { return os.WriteFile(blob, text, 0o600) }, true},
		"a link": {func() error { return os.Symlink(secret, blob) }, false},
		"a pipe": {func() error { return syscall.Mkfifo(blob, 0o600) }, false},
		"a linked folder": {func() error {
			return errors.Join(os.Remove(filepath.Dir(blob)), os.Symlink(filepath.Dir(secret), filepath.Dir(blob)))
		}, false},
		"a bad name of it": {func() error { d = "sha256:../../../secret"; return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d = digest.Of(text)
			if err := errors.Join(os.RemoveAll(filepath.Join(at, "depot")), os.MkdirAll(filepath.Dir(blob), 0o700), c.lay()); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(at)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			b, err := leftDepot{root}.Open(t.Context(), d)
			if (err == nil) != c.read {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			defer b.Close()
			if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, text) || b.Size() != int64(len(text)) {
				t.Errorf("%q of %d bytes, %v", got, b.Size(), err)
			}
		})
	}
}
