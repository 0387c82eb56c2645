package volume

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/errs"
)

// deadFolder is a file on a network folder whose server is gone.
type deadFolder struct {
	reads atomic.Int64
	back  chan struct{}
}

func (d *deadFolder) Name() string { return "dead" }

func (d *deadFolder) ReadAt(p []byte, _ int64) (int, error) {
	d.reads.Add(1)
	<-d.back
	clear(p)
	return len(p), nil
}

// A read that never returns ends after a minute, and those that follow end at once.
func TestS13AReadThatNeverReturnsIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &deadFolder{back: make(chan struct{})}
		var w patience
		p := []byte("mine")
		began := time.Now()
		for range 3 {
			n, err := w.readAt(f, p, 0)
			if n != 0 || errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
		if took := time.Since(began); took != time.Minute || f.reads.Load() != 1 {
			t.Errorf("%d reads took %s", f.reads.Load(), took)
		}
		close(f.back)
		synctest.Wait()
		if string(p) != "mine" {
			t.Errorf("the late read wrote %q", p)
		}
	})
}

func TestPatienceReadsAsTheFileDoes(t *testing.T) {
	text := []byte("0123456789")
	f := named{bytes.NewReader(text)}
	var w patience
	for _, n := range []int{4, 2, 10, 1} {
		for off := range int64(len(text)) {
			got, want := make([]byte, n), make([]byte, n)
			a, aerr := w.readAt(f, got, off)
			b, berr := f.ReadAt(want, off)
			if a != b || !errors.Is(aerr, berr) || !bytes.Equal(got, want) {
				t.Errorf("%d bytes at %d: %q, %v, want %q, %v", n, off, got, aerr, want, berr)
			}
		}
	}
}

type named struct{ io.ReaderAt }

func (named) Name() string { return "it" }

// A volume that was found where anybody may put one is opened only when it is a file, and so is
// each of its parts and their list. One that a person named may be a link to a file.
func TestS13OnlyAFileIsAVolume(t *testing.T) {
	dir := t.TempDir()
	pipe, link, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"list" + PartsSuffix, "piece.001"} {
		if err := os.Link(pipe, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]errs.Kind{"pipe": errs.Invalid, "list": errs.Invalid, "piece": errs.Untrusted, "piece.001": errs.Invalid, "link": errs.Invalid, "file": errs.Untrusted} {
		if _, err := OpenFound(filepath.Join(dir, name)); errs.KindOf(err) != kind {
			t.Errorf("found %s: %v", name, err)
		}
		if name == "link" {
			kind = errs.Untrusted // followed, and empty
		}
		if _, err := Open(filepath.Join(dir, name)); errs.KindOf(err) != kind {
			t.Errorf("named %s: %v", name, err)
		}
	}
}
