package admission_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"overland/internal/admission"
)

func TestTurns(t *testing.T) {
	turns := &admission.Turns{Most: 2}
	as := func(ip string) context.Context {
		return admission.With(t.Context(), admission.ClientAt(netip.MustParseAddr(ip)))
	}
	var ends []func()
	for range 2 {
		ctx, end, err := turns.Begin(as("10.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
		if _, _, err := turns.Begin(ctx); err != nil { // a part of the same work
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(as("10.0.0.1"))
	cancel()
	if _, _, err := turns.Begin(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a third: %v", err)
	}
	for _, other := range []context.Context{as("10.0.0.2"), t.Context()} {
		if _, _, err := turns.Begin(other); err != nil {
			t.Errorf("somebody else: %v", err)
		}
	}
	got := make(chan error)
	go func() { _, _, err := turns.Begin(as("10.0.0.1")); got <- err }()
	ends[0]()
	ends[0]() // frees one place, not two
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// Clients that have gone are not remembered: there are as many as anybody likes to have addresses.
func TestTurnsForgetWhoHasGone(t *testing.T) {
	turns := &admission.Turns{Most: 1}
	ctx := admission.With(t.Context(), client("10.0.0.1"))
	_, end, err := turns.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := turns.Begin(ended); err == nil {
		t.Error("two at once")
	}
	if n := admission.Lanes(turns); n != 1 {
		t.Errorf("%d clients while one is at work", n)
	}
	if end(); admission.Lanes(turns) != 0 {
		t.Errorf("%d clients are remembered", admission.Lanes(turns))
	}
}

// A request that gives up does not go on waiting: the place that is free then is another's.
func TestARequestThatGivesUpTakesNoPlace(t *testing.T) {
	q := admission.NewRequests(1)
	enter := func(ip string) (func(), bool) {
		return q.Enter(admission.With(t.Context(), client(ip)), time.Millisecond)
	}
	end, ok := enter("10.0.0.1")
	if !ok || q.Served() != 1 {
		t.Fatalf("entered: %v, %d served", ok, q.Served())
	}
	if _, ok := enter("10.0.0.2"); ok {
		t.Error("two have the one place")
	}
	end()
	end, ok = enter("10.0.0.3")
	if !ok {
		t.Error("a free place is nobody's")
	}
	if end(); q.Served() != 0 {
		t.Errorf("%d are served at the end", q.Served())
	}
}
