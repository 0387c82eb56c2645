package admission

import (
	"net"
	"net/netip"
	"runtime"
	"time"
)

// WaitFor returns when n connections wait for a place of l.
func WaitFor(l *Listener, n int) {
	for {
		l.places.mu.Lock()
		waits := l.places.waits
		l.places.mu.Unlock()
		if waits == n {
			return
		}
		runtime.Gosched()
	}
}

// Lanes returns how many clients t knows.
func Lanes(t *Turns) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.by)
}

// Prefixes returns what texts say.
func Prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// Crawls reports whether c crawls in a request that came at since, when its client was last seen to take
// enough at last and has taken so many bytes after that.
func Crawls(c *net.TCPConn, last, since time.Time, taken int64, slow time.Duration) bool {
	conn := &Conn{Conn: c, slow: took{last, passed(c) - taken}}
	return conn.crawls(since, slow)
}
