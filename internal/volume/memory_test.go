package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// TestMain also plays the other processes of the tests: OVERLAND_VOLUME_TEST names the part.
func TestMain(m *testing.M) {
	if part := os.Getenv("OVERLAND_VOLUME_TEST"); part != "" {
		if err := play(context.Background(), part, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(m.Sys >> 10)
		return
	}
	goleak.VerifyTestMain(m)
}

// play seals, verifies or installs in dir, where depot/ is the depot, v the volume
// and node/ the depot of a node.
func play(ctx context.Context, part, dir string) error {
	path := filepath.Join(dir, "v")
	if part == "seal" {
		s, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
		if err != nil {
			return err
		}
		index, err := store.MarshalIndex(nil)
		if err != nil {
			return err
		}
		c := Content{Index: index, Open: func(d digest.Digest) (io.ReadCloser, error) { return s.Open(ctx, d) }}
		if err := s.List(ctx, func(d digest.Digest, size int64) error {
			c.Blobs = append(c.Blobs, ocispec.Descriptor{Digest: d, Size: size})
			return nil
		}); err != nil {
			return err
		}
		_, err = Seal(ctx, path, c, Options{})
		return err
	}
	v, err := Open(path)
	if err != nil {
		return err
	}
	defer v.Close()
	if part == "verify" {
		return v.Verify(ctx, nil)
	}
	s, err := storedir.Open(filepath.Join(dir, "node"), storedir.Options{})
	if err != nil {
		return err
	}
	for i := range v.members {
		if d := v.members[i].digest(); d != "" {
			if err := install(ctx, s, v, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// install takes one blob from the volume into the depot, as fetch does it.
func install(ctx context.Context, s *storedir.Store, v *Volume, d digest.Digest) error {
	r, size, err := v.Open(ctx, d, 0)
	if err != nil {
		return err
	}
	i, err := store.Resume(ctx, s, d, size)
	if err != nil {
		return err
	}
	if _, err := io.Copy(i, r); err != nil {
		return errors.Join(err, i.Close())
	}
	return errors.Join(r.Close(), i.Commit(ctx, d))
}

// The memory of sealing, verifying and installing does not grow with the volume. Counted is what
// the Go runtime took from the system: the resident size that the kernel reports of a child
// begins with that of its parent.
func TestMemory(t *testing.T) {
	t.Parallel()
	const limit = 40 << 10 // KiB; with the program's text it is below 48 MiB
	dir := t.TempDir()
	s, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const each = 64 << 20
	for k := range 2 {
		if _, err := store.PutBytes(t.Context(), s, noise(each, int64(k))); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"seal", "verify", "install"} {
		cmd := exec.Command(exe, dir)
		cmd.Env = append(os.Environ(), "OVERLAND_VOLUME_TEST="+part)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", part, err)
		}
		used, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil || used > limit {
			t.Errorf("%s: %d KiB of memory, at most %d: %v", part, used, limit, err)
		}
		t.Logf("%s: %d KiB", part, used)
	}
}
