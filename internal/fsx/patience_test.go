package fsx_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
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
		var w fsx.Patience
		p := []byte("mine")
		began := time.Now()
		for range 3 {
			n, err := w.ReadAt(t.Context(), f, p, 0)
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
	var w fsx.Patience
	for _, n := range []int{4, 2, 10, 1} {
		for off := range int64(len(text)) {
			got, want := make([]byte, n), make([]byte, n)
			a, aerr := w.ReadAt(t.Context(), f, got, off)
			b, berr := f.ReadAt(want, off)
			if a != b || !errors.Is(aerr, berr) || !bytes.Equal(got, want) {
				t.Errorf("%d bytes at %d: %q, %v, want %q, %v", n, off, got, aerr, want, berr)
			}
		}
	}
}

type named struct{ io.ReaderAt }

func (named) Name() string { return "it" }

// Whoever stops waiting is let go at once, and what comes late is closed.
func TestS13NobodyWaitsWhoHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w fsx.Patience
		for _, stop := range []time.Duration{time.Second, time.Hour} {
			ctx, cancel := context.WithTimeout(t.Context(), stop)
			back, closed := make(chan struct{}), false
			began := time.Now()
			_, err := fsx.Await(ctx, &w, "dead", func() bool { <-back; return true }, func(bool) { closed = true })
			if took := time.Since(began); err == nil || took != min(stop, time.Minute) {
				t.Errorf("%v after %s", err, took)
			}
			close(back)
			synctest.Wait()
			if !closed {
				t.Error("what came late stays open")
			}
			cancel()
		}
		if _, err := fsx.Await(t.Context(), &w, "dead", func() bool { return true }, nil); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("asked again: %v", err)
		}
	})
}

// A file whose closing waits for a dead server keeps nobody for longer than a read of it: what is
// closed when something hung already, or by who has left, is not waited for. Busy tells who would look
// again that a thread is still held.
func TestS13AFileThatIsNeverClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w fsx.Patience
		back := make(chan struct{})
		shut := closing(func() error { <-back; return io.EOF })
		for i, want := range []time.Duration{time.Second, time.Minute, 0} {
			ctx, cancel := context.WithCancel(t.Context())
			if i == 0 {
				time.AfterFunc(time.Second, cancel)
			}
			began := time.Now()
			if err := w.Close(ctx, "dead", shut); err != nil || time.Since(began) != want {
				t.Errorf("%v after %s, want %s", err, time.Since(began), want)
			}
			cancel()
		}
		if !w.Busy() {
			t.Error("nothing is left behind")
		}
		close(back)
		synctest.Wait()
		if w.Busy() {
			t.Error("what has returned is still waited for")
		}
		if err := new(fsx.Patience).Close(t.Context(), "it", shut); !errors.Is(err, io.EOF) {
			t.Errorf("the error of Close is lost: %v", err)
		}
	})
}

type closing func() error

func (c closing) Close() error { return c() }
