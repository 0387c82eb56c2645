package admission

import (
	"cmp"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	glances    = 4 // in each Options.Slow
	slowTime   = 2 * time.Minute
	slowBytes  = 16 << 10
	mostPause  = time.Second
	firstPause = 5 * time.Millisecond
)

// Options are the settings of a Listener. The zero value of all but Conns works.
type Options struct {
	Conns int // open at once
	Room  int // more that may wait for a place, unread; 0 = twice as many
	// Trusted are proxies that send the requests of many: their connections are not counted together.
	Trusted []netip.Prefix
	Tune    func(net.Conn) // of each connection; nil = left as it is
	// Files, which several listeners may share, is how many connections may be open and wait in all, so
	// that descriptors for files are left; nil = any number.
	Files *Files
	// Slow is how long a client may take less than 16 KiB of what is there for it, before its
	// connection is closed; 0 = 2 min. It is 137 bytes a second: a link of 4 KB/s may be shared by 30.
	Slow time.Duration
}

// Files counts descriptors of connections.
type Files struct {
	Most int64
	open atomic.Int64
}

func (f *Files) add(n int64) {
	if f != nil {
		f.open.Add(n)
	}
}

// short reports whether no more may wait.
func (f *Files) short() bool { return f != nil && f.open.Load() > f.Most }

// Listener has at most so many connections open. What comes when all places are taken either
// gets one of somebody who has more, or waits.
type Listener struct {
	net.Listener
	o      Options
	places *Places
	apart  uint64 // connections of trusted proxies so far; accept's alone

	mu    sync.Mutex
	ready []*Conn        // have a place, and nobody has accepted them yet
	all   map[*Conn]bool // that wait or are ready
	err   error          // why no more come

	more chan struct{} // there may be something in ready
	done chan struct{}
	once sync.Once
	work sync.WaitGroup
}

// Listen returns a Listener over l, which it closes. The caller closes it.
func Listen(l net.Listener, o Options) *Listener {
	o.Room, o.Slow = cmp.Or(o.Room, 2*o.Conns), cmp.Or(o.Slow, slowTime)
	n := &Listener{
		Listener: l, o: o, all: map[*Conn]bool{}, more: make(chan struct{}, 1), done: make(chan struct{}),
	}
	n.places = newPlaces(o.Conns, func(waits int) bool { return waits < o.Room && !o.Files.short() })
	n.work.Go(n.accept)
	n.work.Go(n.watch)
	return n
}

// accept takes every connection at once: those of one client must not keep others in the kernel's queue.
func (l *Listener) accept() {
	pause := firstPause
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			pause = firstPause
			l.take(c)
			continue
		}
		select {
		case <-l.done:
		case <-time.After(pause): // of file descriptors, mostly
			if pause = min(2*pause, mostPause); temporary(err) {
				l.places.spare()
				continue
			}
		}
		l.mu.Lock()
		l.err = err
		l.mu.Unlock()
		l.once.Do(func() { close(l.done) })
		return
	}
}

// temporary reports whether err is of one connection, or of a lack that ends.
func temporary(err error) bool {
	e, ok := err.(interface{ Temporary() bool })
	return ok && e.Temporary()
}

func (l *Listener) take(c net.Conn) {
	if l.o.Tune != nil {
		l.o.Tune(c)
	}
	at := addressOf(c.RemoteAddr())
	who := ClientAt(at)
	if among(l.o.Trusted, at) {
		l.apart++
		who.alone = l.apart
	}
	l.o.Files.add(1)
	conn := &Conn{Conn: c, l: l}
	l.mu.Lock()
	l.all[conn] = true
	l.mu.Unlock()
	l.places.ask(who, conn, func(s *Seat) { conn.seat = s })
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, c)
}

func (l *Listener) enter(c *Conn) {
	l.mu.Lock()
	l.ready = append(l.ready, c)
	l.mu.Unlock()
	l.wake()
}

func (l *Listener) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// Accept returns the next connection that has a place.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		if c := l.next(); c != nil {
			return c, nil
		}
		select {
		case <-l.more:
		case <-l.done:
			l.mu.Lock()
			defer l.mu.Unlock()
			return nil, cmp.Or(l.err, net.ErrClosed)
		}
	}
}

// next returns the first that is ready and still has its place; nil when there is none.
func (l *Listener) next() *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ready) > 0 {
		c := l.ready[0]
		l.ready[0], l.ready = nil, l.ready[1:]
		delete(l.all, c)
		if !c.evicted.Load() {
			if len(l.ready) > 0 {
				l.wake()
			}
			return c
		}
	}
	return nil
}

// Close ends Accept, and closes the connections that nobody has accepted.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	err := l.Listener.Close()
	l.work.Wait()
	l.mu.Lock()
	left := l.all
	l.all = map[*Conn]bool{}
	l.mu.Unlock()
	for c := range left {
		c.Close()
	}
	return err
}

// took is what a client has taken since it was last seen to take enough.
type took struct {
	since time.Time
	moved int64
}

// watch closes the connections whose clients take next to nothing of what is there for them.
func (l *Listener) watch() {
	tick := time.NewTicker(l.o.Slow / glances)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
		}
		for s, since := range l.places.active() {
			if c, ok := s.guest.(*Conn); ok && c.crawls(since, l.o.Slow) {
				s.evict()
			}
		}
	}
}

// crawls reports whether there was something for the client to take for as long as slow, and it took
// next to nothing. While its request, which came at since, is worked on, there is nothing.
func (c *Conn) crawls(since time.Time, slow time.Duration) bool {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return false
	}
	moved := passed(tcp)
	if c.slow.since.Before(since) || outstanding(tcp) == 0 || moved-c.slow.moved >= slowBytes {
		c.slow = took{time.Now(), moved}
		return false
	}
	return time.Since(c.slow.since) >= slow
}
