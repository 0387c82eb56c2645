package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"syscall"
	"testing"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store/dir"
	"overland/internal/store/storetest"
)

// on returns a recorder of an origin of content, whose disk asks do before each change.
func on(t *testing.T, do func(fsx.Op) error) (*record.Recorder, *dir.Store, files) {
	t.Helper()
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	s, err := dir.Open(t.TempDir(), dir.Options{Reserve: -1, FS: fsx.FS{Before: do}})
	if err != nil {
		t.Fatal(err)
	}
	r := record.NewRecorder(s, record.Options{Upstream: quick(t)})
	t.Cleanup(r.Close)
	return r, s, files{o.URL}
}

func want(t *testing.T, r *record.Recorder, p files, key string) {
	t.Helper()
	_, b, err := r.Get(t.Context(), p, p.item(key))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestClientsDoNotWaitForTheDisk(t *testing.T) {
	disk := make(chan struct{})
	r, s, p := on(t, func(op fsx.Op) error {
		if op.Name == "link" {
			<-disk
		}
		return nil
	})
	want(t, r, p, "a")
	want(t, r, p, "a") // it is held, and still on its way
	if n := blobs(t, s); n != 0 {
		t.Errorf("%d blobs have a name already", n)
	}
	close(disk)
	l := r.Lock()
	if err := r.Settle(); err != nil || len(l.Entries) != 1 || !storetest.Has(t, s, l.Entries[0].Blob) {
		t.Errorf("%v, %v", l.Entries, err)
	}
	want(t, r, p, "a")
}

// leaver is a protocol whose client goes away while what it asked for is judged.
type leaver struct {
	files
	leave context.CancelFunc
}

func (p leaver) Check(ctx context.Context, _ record.Item, _ io.ReadSeeker, _ record.Lookup) (lockfile.Proof, error) {
	p.leave()
	<-ctx.Done() // it has left
	return lockfile.Proof{}, nil
}

// What arrived is kept though nobody waits for it any more, also where it has to be copied: a
// client that went away is no reason to fail the recording.
func TestAClientThatLeavesFailsNothing(t *testing.T) {
	r, s, p := on(t, func(op fsx.Op) error {
		if op.Name == "link" {
			return syscall.EXDEV
		}
		return nil
	})
	ctx, leave := context.WithCancel(t.Context())
	l := leaver{p, leave}
	if _, _, err := r.Get(ctx, l, p.item("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := r.Settle(); err != nil || len(r.Problems()) != 0 {
		t.Errorf("%v, problems %v", err, r.Problems())
	}
	if list := r.Lock(); len(list.Entries) != 1 || !storetest.Has(t, s, list.Entries[0].Blob) {
		t.Errorf("%v", list.Entries)
	}
}

func TestALockNeverNamesWhatCouldNotBeStored(t *testing.T) {
	r, s, p := on(t, func(op fsx.Op) error {
		if op.Name == "link" {
			return syscall.ENOSPC
		}
		return nil
	})
	want(t, r, p, "a")
	if l := r.Lock(); len(l.Entries) != 0 || blobs(t, s) != 0 {
		t.Errorf("%v, %d blobs", l.Entries, blobs(t, s))
	}
	if err := r.Settle(); errs.KindOf(err) != errs.Unavailable || len(r.Problems()) != 1 {
		t.Errorf("%v, problems %v", err, r.Problems())
	}
}
