package badlink

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Faults is what is wrong with a Link. The zero value is a good link. Down is the way
// from the server to the client.
type Faults struct {
	CutEvery int64         // bytes down, over all connections, after which the connection in use is closed; 0 = never
	Reset    bool          // a cut is a reset: what the client has not read yet is lost
	SilentAt int64         // bytes down, over all connections, after which the connection in use goes silent; 0 = never
	Rate     int64         // bytes per second down, over all connections; 0 = unlimited
	Refuse   float64       // share of connections that are reset at once, 0 to 1
	Latency  time.Duration // before a connection moves its first byte
	FlipAt   int64         // the byte down, counted from 1 over all connections, that is sent wrong; 0 = none
	Seed     uint64        // of Refuse
}

// Counts is what a Link has moved and done.
type Counts struct {
	Down, Up       int64 // bytes
	Conns, Refused int   // connections accepted; of these, refused
	Cuts, Silences int
}

// Dialer opens a connection to the server behind a Link.
type Dialer func(ctx context.Context) (net.Conn, error)

// To returns a Dialer of addr over TCP.
func To(addr string) Dialer {
	return func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) }
}

// Link is a running proxy. It is safe for concurrent use.
type Link struct {
	l      net.Listener
	dial   Dialer
	ctx    context.Context // the life of the proxy, ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	faults Faults
	counts Counts
	random *rand.Rand
	sent   int64 // bytes down since Set, for the faults that count
	next   time.Time
}

// Listen starts a Link on a free port of the loopback address, to the server that to dials.
func Listen(to Dialer, f Faults) (*Link, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return Serve(l, to, f), nil
}

// Serve starts a Link on l, which it owns from now on.
func Serve(l net.Listener, to Dialer, f Faults) *Link {
	k := &Link{l: l, dial: to}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.Set(f)
	k.wg.Add(1)
	go k.accept()
	return k
}

// Set changes the faults, also of open connections; counting towards CutEvery,
// SilentAt and FlipAt starts again.
func (k *Link) Set(f Faults) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults, k.sent = f, 0
	k.random = rand.New(rand.NewPCG(f.Seed, 1))
}

// Addr returns the address that clients dial.
func (k *Link) Addr() string { return k.l.Addr().String() }

// Counts returns what was moved so far.
func (k *Link) Counts() Counts {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts
}

// Close cuts every connection and returns when nothing runs any more.
func (k *Link) Close() error {
	k.cancel()
	err := k.l.Close()
	k.wg.Wait()
	return err
}

func (k *Link) accept() {
	defer k.wg.Done()
	for {
		client, err := k.l.Accept()
		if err != nil {
			return
		}
		k.mu.Lock()
		k.counts.Conns++
		refuse := k.random.Float64() < k.faults.Refuse
		if refuse {
			k.counts.Refused++
		}
		k.mu.Unlock()
		if refuse {
			reset(client)
			continue
		}
		k.wg.Add(1)
		go func() {
			defer k.wg.Done()
			k.serve(client)
		}()
	}
}

// reset closes c in a way that its peer sees as an error, where the kind
// of connection knows such a way.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func (k *Link) serve(client net.Conn) {
	server, err := k.dial(k.ctx)
	if err != nil {
		reset(client)
		return
	}
	// Small buffers here, or the bytes that the proxy holds would hide
	// what the client's link is like.
	for _, c := range []net.Conn{client, server} {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetReadBuffer(64 << 10)
			_ = t.SetWriteBuffer(64 << 10)
		}
	}
	stop := context.AfterFunc(k.ctx, func() { client.Close(); server.Close() })
	defer stop()
	k.mu.Lock()
	latency := k.faults.Latency
	k.mu.Unlock()
	k.sleep(latency)
	var both sync.WaitGroup
	both.Go(func() {
		k.up(server, client)
		server.Close()
	})
	both.Go(func() {
		if k.down(client, server) {
			reset(client)
		} else {
			client.Close()
		}
		server.Close()
	})
	both.Wait()
}

// sleep waits, or until the Link is closed.
func (k *Link) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-k.ctx.Done():
	}
}

func (k *Link) up(server, client net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := client.Read(buf)
		k.mu.Lock()
		k.counts.Up += int64(n)
		k.mu.Unlock()
		if n > 0 {
			if _, werr := server.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// down copies until the end, and reports whether that is to be a reset.
func (k *Link) down(client, server net.Conn) bool {
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			piece, act, pause := k.admit(rest)
			if len(piece) > 0 {
				if _, werr := client.Write(piece); werr != nil {
					return false
				}
			}
			rest = rest[len(piece):]
			switch act {
			case cut:
				return false
			case cutHard:
				return true
			case silent:
				// Nothing more comes and nothing is closed, until the client has had enough.
				_, _ = io.Copy(io.Discard, client)
				return false
			}
			k.sleep(pause)
			if k.ctx.Err() != nil {
				return true
			}
		}
		if err != nil {
			return !errors.Is(err, io.EOF)
		}
	}
}

type act int

const (
	carryOn act = iota
	cut
	cutHard
	silent
)

// admit returns how much of p may go down now, with its flips made, what happens
// after it and how long to pause.
func (k *Link) admit(p []byte) ([]byte, act, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.faults
	then, pause := carryOn, time.Duration(0)
	if f.Rate > 0 {
		const perSecond = 20
		p = p[:min(int64(len(p)), max(f.Rate/perSecond, 1))]
	}
	if f.CutEvery > 0 {
		if left := f.CutEvery - k.sent%f.CutEvery; int64(len(p)) >= left {
			p, then = p[:left], cut
			if f.Reset {
				then = cutHard
			}
			k.counts.Cuts++
		}
	}
	if f.SilentAt > 0 && k.sent < f.SilentAt {
		if left := f.SilentAt - k.sent; int64(len(p)) >= left {
			p, then = p[:left], silent
			k.counts.Silences++
		}
	}
	if at := f.FlipAt - 1 - k.sent; f.FlipAt > 0 && at >= 0 && at < int64(len(p)) {
		p[at] ^= 1
	}
	k.sent += int64(len(p))
	k.counts.Down += int64(len(p))
	if f.Rate > 0 {
		now := time.Now()
		if k.next.Before(now) {
			k.next = now
		}
		k.next = k.next.Add(time.Duration(int64(len(p)) * int64(time.Second) / f.Rate))
		pause = k.next.Sub(now)
	}
	return p, then, pause
}
