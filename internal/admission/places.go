package admission

import (
	"sync"
	"time"
)

// State is what the holder of a place does with it.
type State int

// The states, in the order in which they are given up.
const (
	Fresh  State = iota // it has not asked for anything yet
	Idle                // it has had its answer
	Active              // it is being answered
	waiting
	gone
)

const (
	patience = 5 * time.Second // a connection may say nothing for so long before one of the same client takes its place
	sample   = 64              // active ones that are compared: of thousands, one of the slowest will do
	glance   = 16              // idle ones that are looked at
)

// Guest is the holder of a place. Its methods must not block; Moved may be called with the lock of
// the places held.
type Guest interface {
	Enter()       // it has its place now; called at most once
	Leave()       // its place, or its turn to get one, is gone
	Moved() int64 // bytes that its client has sent and taken so far
}

// Places is a number of places. It is safe for concurrent use.
type Places struct {
	limit int                  // of places
	room  func(waits int) bool // whether one more may wait

	mu      sync.Mutex
	taken   int
	waits   int
	clients map[Client]*guestlist
	ranks   [ranks]*ranking
	idle    queue // of all clients, the longest first
}

// NewPlaces returns so many places, for which room more may wait.
func NewPlaces(limit, room int) *Places {
	return newPlaces(limit, func(waits int) bool { return waits < room })
}

func newPlaces(limit int, room func(int) bool) *Places {
	return &Places{limit: limit, room: room, clients: map[Client]*guestlist{}, ranks: rankings(), idle: queue{link: ofAll}}
}

// Seat is a place that somebody has or waits for.
type Seat struct {
	p     *Places
	guest Guest
	of    *guestlist
	state State
	since time.Time // when it got its state
	asked time.Time // when it came
	moved int64     // what Guest.Moved was then
	links [links]link
}

func (s *Seat) client() Client { return s.of.who }

// Ask gives g a place for who, or a turn to get one, or turns it away: then Leave is called.
func (p *Places) Ask(who Client, g Guest) *Seat { return p.ask(who, g, func(*Seat) {}) }

// ask is Ask; seated is told the seat before g hears anything.
func (p *Places) ask(who Client, g Guest, seated func(*Seat)) *Seat {
	moved := g.Moved()
	p.mu.Lock()
	now := time.Now()
	s := &Seat{p: p, guest: g, state: gone, asked: now, moved: moved}
	s.of = p.clients[who]
	if s.of == nil {
		s.of = &guestlist{who: who, active: map[*Seat]bool{}, at: [ranks]int{-1, -1, -1}}
	}
	seated(s)
	enters, leaves := p.place(s, now)
	p.mu.Unlock()
	if leaves != nil {
		leaves.guest.Leave()
	}
	if enters {
		g.Enter()
	}
	return s
}

// place finds a place or a turn for s, and returns the seat that loses its own for that.
func (p *Places) place(s *Seat, now time.Time) (enters bool, leaves *Seat) {
	if p.taken < p.limit {
		p.set(s, Fresh)
		return true, nil
	}
	if v := p.victim(s.of, now); v != nil {
		p.set(v, gone)
		p.set(s, Fresh)
		return true, v
	}
	if !p.room(p.waits) {
		most := p.ranks[byWaits].first()
		if most == nil || most.waits.n <= s.of.waits.n+1 {
			p.set(s, gone)
			return false, s
		}
		leaves = most.waits.tail // the last to come
		p.set(leaves, gone)
	}
	p.set(s, waiting)
	return false, leaves
}

// victim returns the seat that makes room for one more of client c; nil when none does.
func (p *Places) victim(c *guestlist, now time.Time) *Seat {
	top := p.ranks[byPlaces].first()
	if top == nil {
		return nil
	}
	over := top.places() >= c.places()+2 // so that the two do not take turns
	if over {
		if s := top.fresh.head; s != nil {
			return s
		}
		if s := top.idle.head; s != nil {
			return s
		}
	}
	if s := c.fresh.head; s != nil && now.Sub(s.since) >= patience {
		return s
	}
	if s := c.idle.head; s != nil {
		return s
	}
	s := p.idle.head
	for range glance {
		if s == nil {
			break
		}
		if s.of.places() > c.places() {
			return s
		}
		s = s.links[ofAll].next
	}
	if over {
		return top.slowest(now)
	}
	return nil
}

// slowest returns the one of some active seats that moves the fewest bytes a second.
func (g *guestlist) slowest(now time.Time) (worst *Seat) {
	var least float64
	n := 0
	for s := range g.active {
		rate := float64(s.guest.Moved()-s.moved) / max(now.Sub(s.asked), time.Millisecond).Seconds()
		if worst == nil || rate < least {
			worst, least = s, rate
		}
		if n++; n == sample {
			break
		}
	}
	return worst
}

// set moves s to a state, and everything that depends on it.
func (p *Places) set(s *Seat, to State) {
	g := s.of
	p.taken -= g.places()
	p.waits -= g.waits.n
	s.leave(ofClient)
	s.leave(ofAll)
	delete(g.active, s)
	s.state, s.since = to, time.Now()
	switch to {
	case Fresh:
		g.fresh.add(s)
	case Idle:
		g.idle.add(s)
		p.idle.add(s)
	case Active:
		g.active[s] = true
	case waiting:
		g.waits.add(s)
	case gone:
	}
	p.taken += g.places()
	p.waits += g.waits.n
	p.ranks[byPlaces].set(g, g.places() > 0)
	p.ranks[byTurn].set(g, g.waits.n > 0)
	p.ranks[byWaits].set(g, g.waits.n > 0)
	if g.places() == 0 && g.waits.n == 0 {
		delete(p.clients, g.who)
	} else {
		p.clients[g.who] = g
	}
}

// Set says what the holder of s does now. It does nothing for one that has no place.
func (s *Seat) Set(state State) {
	s.p.mu.Lock()
	had := s.state <= Active
	if had && s.state != state {
		s.p.set(s, state)
	}
	// Somebody waits, and this one does not need its place: it comes back when it has more to ask.
	crowded := had && state == Idle && s.p.waits > 0
	s.p.mu.Unlock()
	if crowded {
		s.evict()
	}
}

// evict ends what s is held for, and gives the place to the next.
func (s *Seat) evict() {
	s.guest.Leave()
	s.End()
}

// End gives the place back, or the turn; doing so again is not an error.
func (s *Seat) End() {
	p := s.p
	p.mu.Lock()
	if s.state == gone {
		p.mu.Unlock()
		return
	}
	p.set(s, gone)
	var next *Seat
	if g := p.ranks[byTurn].first(); g != nil && p.taken < p.limit {
		next = g.waits.head
		p.set(next, Fresh)
	}
	p.mu.Unlock()
	if next != nil {
		next.guest.Enter()
	}
}

// active returns the seats at work, and since when each is.
func (p *Places) active() map[*Seat]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := map[*Seat]time.Time{}
	for _, g := range p.clients {
		for s := range g.active {
			list[s] = s.since
		}
	}
	return list
}

// spare ends one connection that nobody needs now: file descriptors are short.
func (p *Places) spare() {
	p.mu.Lock()
	var s *Seat
	if most := p.ranks[byWaits].first(); most != nil {
		s = most.waits.tail
	} else if s = p.idle.head; s == nil {
		if top := p.ranks[byPlaces].first(); top != nil {
			s = top.fresh.head
		}
	}
	if s != nil {
		p.set(s, gone)
	}
	p.mu.Unlock()
	if s != nil {
		s.guest.Leave()
	}
}
