package admission

import (
	"net/netip"
	"runtime"
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

// Prefixes returns what texts say.
func Prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}
