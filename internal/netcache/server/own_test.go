package server

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"overland/internal/admission"
	"overland/internal/errs"
)

// One client causes only so many fetches at once: what others fetch it may wait for, and others are not held up.
func TestOneClientCausesFewFetches(t *testing.T) {
	s := New(NewShelf(t), Options{Through: &Through{Lists: []string{"http://127.0.0.1:0"}}})
	defer s.Close()
	at := func(ip string) context.Context {
		return admission.With(t.Context(), admission.ClientAt(netip.MustParseAddr(ip)))
	}
	ann, bob := at("10.0.0.1"), at("10.0.0.2")
	open := make(chan struct{})
	var calls []*call
	begin := func(ctx context.Context, id string) error {
		c, _, err := s.through.start(ctx, id, func(context.Context, *call) error { <-open; return nil })
		if err == nil {
			calls = append(calls, c)
		}
		return err
	}
	for i := range ownCalls {
		if err := begin(ann, fmt.Sprint(i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := begin(ann, "more"); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("one more: %v", err)
	}
	for what, err := range map[string]error{"another's": begin(bob, "more"), "what is fetched already": begin(ann, "0"), "what another one fetches": begin(ann, "more")} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	close(open)
	for _, c := range calls {
		if _, err := c.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := begin(ann, "later"); err != nil {
		t.Errorf("after them: %v", err)
	}
	if _, err := calls[len(calls)-1].Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
