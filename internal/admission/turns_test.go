package admission_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

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
