package admission

import "container/heap"

// guestlist is what one client has.
type guestlist struct {
	who    Client
	fresh  queue          // that have not asked for anything yet, the oldest first
	idle   queue          // between two requests, the longest first
	active map[*Seat]bool // at work
	waits  queue          // for a place, the first to come first
	at     [ranks]int     // in each ranking; -1 = not there
}

// places returns how many the client has.
func (g *guestlist) places() int { return g.fresh.n + g.idle.n + len(g.active) }

const (
	byPlaces = iota // the client with the most places first
	byTurn          // of those that wait, the one with the fewest places first
	byWaits         // the one with the most seats that wait first
	ranks
)

// ranking is a heap of clients, so that the first is known and a change costs O(log n).
type ranking struct {
	list []*guestlist
	rank int
	less func(a, b *guestlist) bool
}

func rankings() (r [ranks]*ranking) {
	for i, less := range [ranks]func(a, b *guestlist) bool{
		byPlaces: func(a, b *guestlist) bool { return a.places() > b.places() },
		byTurn:   func(a, b *guestlist) bool { return a.places() < b.places() },
		byWaits:  func(a, b *guestlist) bool { return a.waits.n > b.waits.n },
	} {
		r[i] = &ranking{rank: i, less: less}
	}
	return r
}

// set puts g where it belongs now, or takes it out.
func (r *ranking) set(g *guestlist, in bool) {
	switch at := g.at[r.rank]; {
	case in && at < 0:
		heap.Push(r, g)
	case in:
		heap.Fix(r, at)
	case at >= 0:
		heap.Remove(r, at)
	}
}

// first returns the first client; nil when there is none.
func (r *ranking) first() *guestlist {
	if len(r.list) == 0 {
		return nil
	}
	return r.list[0]
}

// The methods of heap.Interface.

func (r *ranking) Len() int           { return len(r.list) }
func (r *ranking) Less(i, j int) bool { return r.less(r.list[i], r.list[j]) }
func (r *ranking) Swap(i, j int) {
	r.list[i], r.list[j] = r.list[j], r.list[i]
	r.list[i].at[r.rank], r.list[j].at[r.rank] = i, j
}

func (r *ranking) Push(x any) {
	g := x.(*guestlist)
	g.at[r.rank] = len(r.list)
	r.list = append(r.list, g)
}

func (r *ranking) Pop() any {
	last := len(r.list) - 1
	g := r.list[last]
	r.list[last], r.list = nil, r.list[:last]
	g.at[r.rank] = -1
	return g
}

// queue is a list of seats, from which each can be taken at once.
type queue struct {
	head, tail *Seat
	n          int
	link       int // which of a seat's links it uses
}

const (
	ofClient = iota
	ofAll
	links
)

type link struct {
	prev, next *Seat
	in         *queue
}

func (q *queue) add(s *Seat) {
	l := &s.links[q.link]
	l.prev, l.next, l.in = q.tail, nil, q
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.links[q.link].next = s
	}
	q.tail = s
	q.n++
}

// leave takes s out of the queue that it is in by this link, if it is in one.
func (s *Seat) leave(which int) {
	l := &s.links[which]
	q := l.in
	if q == nil {
		return
	}
	if l.prev == nil {
		q.head = l.next
	} else {
		l.prev.links[which].next = l.next
	}
	if l.next == nil {
		q.tail = l.prev
	} else {
		l.next.links[which].prev = l.prev
	}
	q.n--
	*l = link{}
}
