package badlink_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"overland/internal/testkit/badlink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pour serves body to every connection on l until it is closed.
func pour(t *testing.T, l net.Listener, body []byte) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(body)
			c.Close()
		}
	}()
	return func() { l.Close(); <-done }
}

// through returns what a client gets of body through a link in memory.
func through(t *testing.T, f badlink.Faults, body []byte) ([]byte, badlink.Counts, time.Duration) {
	t.Helper()
	server, client := badlink.NewMemory(), badlink.NewMemory()
	stop := pour(t, server, body)
	k := badlink.Serve(client, server.Dial, f)
	began := time.Now()
	c, err := client.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Hour))
	got, _ := io.ReadAll(c)
	took := time.Since(began)
	c.Close()
	k.Close()
	stop()
	return got, k.Counts(), took
}

func TestFaults(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 10_000)
	synctest.Test(t, func(t *testing.T) {
		if got, c, _ := through(t, badlink.Faults{}, body); !bytes.Equal(got, body) || c.Down != 100_000 {
			t.Errorf("a good link: %d bytes, %+v", len(got), c)
		}
		if got, c, _ := through(t, badlink.Faults{CutEvery: 33_333}, body); len(got) != 33_333 || c.Cuts != 1 {
			t.Errorf("cut: %d bytes, %+v", len(got), c)
		}
		if got, c, took := through(t, badlink.Faults{SilentAt: 50_001}, body); len(got) != 50_001 || c.Silences != 1 || took != time.Hour {
			t.Errorf("silent: %d bytes, %+v, ended after %s", len(got), c, took)
		}
		if got, _, took := through(t, badlink.Faults{Rate: 4096}, body); len(got) != len(body) || took < 24*time.Second || took > 25*time.Second {
			t.Errorf("4 KB/s: %d bytes in %s", len(got), took)
		}
		if got, c, _ := through(t, badlink.Faults{Refuse: 1}, body); len(got) != 0 || c.Refused != 1 {
			t.Errorf("refused: %d bytes, %+v", len(got), c)
		}
		if _, _, took := through(t, badlink.Faults{Latency: 3 * time.Second}, body); took != 3*time.Second {
			t.Errorf("latency: %s", took)
		}
		got, _, _ := through(t, badlink.Faults{FlipAt: 70_000}, body)
		if len(got) != len(body) || got[69_999] == body[69_999] {
			t.Error("nothing was flipped")
		} else if got[69_999] ^= 1; !bytes.Equal(got, body) {
			t.Error("more than one byte was flipped")
		}
	})
}

func TestAResetLosesWhatWasNotRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pour(t, l, make([]byte, 100_000))()
	k, err := badlink.Listen(badlink.To(l.Addr().String()), badlink.Faults{CutEvery: 10_000, Reset: true})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	c, err := badlink.To(k.Addr())(t.Context())
	if err == nil { // else the reset was faster than the dial
		_, err = io.ReadAll(c)
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestMemoryEnds(t *testing.T) {
	m := badlink.NewMemory()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	m.Close()
	m.Close()
	if _, err := m.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := m.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
