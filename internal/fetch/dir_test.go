package fetch_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/fsx"
)

// deadFile is a file on a network folder whose server went away after it was opened.
type deadFile struct {
	back  chan struct{}
	reads bool // only its Close does not return
}

func (deadFile) Name() string { return "dead" }

func (f deadFile) Close() error {
	if f.reads {
		<-f.back
	}
	return nil
}

func (f deadFile) ReadAt([]byte, int64) (int, error) {
	if !f.reads {
		<-f.back
	}
	return 0, io.EOF
}

func found(dir string) (*fetch.DirSource, error) { return fetch.DirFound(dir, &fsx.Patience{}) }

// A folder that was found, and that says nothing when a file in it is opened or read, holds whoever
// looks at it for a minute, and not at all when nobody waits any more: a look has the turn to change
// the node, for which people and sites wait.
func TestS13AFoundFolderThatSaysNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		open bool // it is the opening that does not return
		shut bool // the closing
		wait time.Duration
		took time.Duration
		kind errs.Kind
	}{
		{"open", true, false, time.Hour, time.Minute, errs.Unavailable},
		{"read", false, false, time.Hour, time.Minute, errs.Unavailable},
		{"close", false, true, time.Hour, time.Minute, errs.Internal},
		{"open, and a person comes", true, false, time.Second, time.Second, errs.Cancelled},
		{"read, and a person comes", false, false, time.Second, time.Second, errs.Cancelled},
		{"close, and a person comes", false, true, time.Second, time.Second, errs.Internal},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				back := make(chan struct{})
				src, err := found(dir)
				if err != nil {
					t.Fatal(err)
				}
				src.OpenWith(func(string) (fetch.DirFile, int64, error) {
					if c.open {
						<-back
					}
					return deadFile{back, c.shut}, 10, nil
				})
				for _, look := range []func(context.Context) error{
					func(ctx context.Context) error {
						_, err := src.Metadata(ctx, "timestamp.json", 100)
						return err
					},
					func(ctx context.Context) error {
						rc, _, err := src.Open(ctx, digest.Of(nil), 0)
						if err == nil {
							_, err = io.ReadAll(rc)
							err = errors.Join(err, rc.Close())
						}
						return err
					},
				} {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(c.wait, cancel)
					began := time.Now()
					err := look(ctx)
					took := time.Since(began)
					if c.shut && err != nil && errs.KindOf(err) != errs.Unavailable || !c.shut && errs.KindOf(err) != c.kind || took != c.took && took != 0 {
						t.Errorf("%v (%s) after %s", err, errs.KindOf(err), took)
					}
					cancel()
				}
				close(back)
				synctest.Wait()
			})
		})
	}
}

// Whoever puts a depot into a watched folder does not have the agent read elsewhere; a person may have
// the parts of one on several disks.
func TestS13LinksOfAFoundFolder(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755), os.Symlink(other, filepath.Join(dir, "trust")),
		os.WriteFile(filepath.Join(other, "timestamp.json"), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(string) (*fetch.DirSource, error){"found": found, "named": fetch.Dir} {
		src, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := src.Metadata(t.Context(), "timestamp.json", 100); (err == nil) != (name == "named") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// A file that is longer than the blob that is wanted does not become it: nobody waits for that, as one
// waits for what is still being copied.
func TestALongerFileIsReadOnce(t *testing.T) {
	body := random(1, 100)
	for _, c := range []struct {
		wanted int64
		asked  int
		kind   errs.Kind
	}{{99, 1, errs.Untrusted}, {101, 3, errs.Unavailable}} {
		src := having("stick", nil, body)
		o := quick(localSource{src})
		o.Attempts = 3
		err := fetch.New(newStore(t), o).Fetch(t.Context(), fetch.Blob{Digest: digest.Of(body), Size: c.wanted})
		if errs.KindOf(err) != c.kind || src.asked() != c.asked {
			t.Errorf("%d bytes wanted of 100: asked %d times, want %d: %v", c.wanted, src.asked(), c.asked, err)
		}
	}
}

type localSource struct{ *fake }

func (localSource) Local() bool { return true }
