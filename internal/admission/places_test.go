package admission_test

import (
	"net/netip"
	"testing"

	"overland/internal/admission"
)

// guest has a place, or not.
type guest struct {
	moved         int64
	entered, left bool
}

func (g *guest) Enter()       { g.entered = true }
func (g *guest) Leave()       { g.left = true }
func (g *guest) Moved() int64 { return g.moved }

func client(ip string) admission.Client { return admission.ClientAt(netip.MustParseAddr(ip)) }

// Where all of a client's are being answered, the one whose client takes the least makes room.
func TestTheSlowestMakesRoom(t *testing.T) {
	p := admission.NewPlaces(3, 8)
	crowd := []*guest{{}, {}, {}}
	for _, g := range crowd {
		p.Ask(client("10.0.0.1"), g).Set(admission.Active)
	}
	crowd[0].moved, crowd[1].moved, crowd[2].moved = 1<<30, 10, 1<<20
	other := &guest{}
	p.Ask(client("10.0.0.2"), other)
	if !other.entered || !crowd[1].left || crowd[0].left || crowd[2].left {
		t.Errorf("entered: %v; left: %v %v %v", other.entered, crowd[0].left, crowd[1].left, crowd[2].left)
	}
}

// An idle connection is not taken from a client by one that has as many.
func TestNobodyTakesTheIdlePlaceOfAnEqual(t *testing.T) {
	p := admission.NewPlaces(2, 8)
	idle, busy, more := &guest{}, &guest{}, &guest{}
	p.Ask(client("10.0.0.1"), idle).Set(admission.Idle)
	p.Ask(client("10.0.0.2"), busy).Set(admission.Active)
	p.Ask(client("10.0.0.2"), more)
	if more.entered || more.left || idle.left {
		t.Errorf("entered: %v; turned away: %v; the idle one left: %v", more.entered, more.left, idle.left)
	}
	other := &guest{}
	if p.Ask(client("10.0.0.3"), other); !other.entered || !idle.left {
		t.Errorf("one that has nothing entered: %v; the idle one left: %v", other.entered, idle.left)
	}
}

// A client does not fill the room: when that is full, those that would crowd it are turned away.
func TestAFullRoomTurnsTheCrowdAway(t *testing.T) {
	p := admission.NewPlaces(1, 2)
	p.Ask(client("10.0.0.1"), &guest{}).Set(admission.Active)
	one, two, three := &guest{}, &guest{}, &guest{}
	p.Ask(client("10.0.0.2"), one)
	p.Ask(client("10.0.0.3"), two)
	if p.Ask(client("10.0.0.3"), three); !three.left || one.left || two.left {
		t.Errorf("left: %v %v; the last one: %v", one.left, two.left, three.left)
	}
}

// Whoever gives up waiting gives nobody a place.
func TestATurnThatEndsFreesNoPlace(t *testing.T) {
	p := admission.NewPlaces(1, 8)
	held := p.Ask(client("10.0.0.1"), &guest{})
	held.Set(admission.Active)
	next := &guest{}
	gone := p.Ask(client("10.0.0.2"), &guest{})
	p.Ask(client("10.0.0.3"), next)
	gone.End()
	if next.entered {
		t.Error("two have the one place")
	}
	held.End()
	held.End() // frees one place, not two
	if last := (&guest{}); !next.entered {
		t.Error("the next one waits for a free place")
	} else if p.Ask(client("10.0.0.4"), last); last.entered {
		t.Error("two have the one place")
	}
}
