package errs

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestTheOutermostKindWins(t *testing.T) {
	inner := Errorf(NotFound, "blob missing")
	for _, c := range []struct {
		err  error
		kind Kind
		exit int
	}{
		{errors.New("plain"), Internal, 1},
		{inner, NotFound, 1},
		{fmt.Errorf("open volume: %w", inner), NotFound, 1},
		{E(Untrusted, fmt.Errorf("verify: %w", inner)), Untrusted, 4},
		{Hint(E(Unavailable, inner), "try later"), Unavailable, 5},
		{fmt.Errorf("fetch: %w", context.Canceled), Cancelled, 130},
		{E(Partial, inner), Partial, 3},
		{E(Invalid, inner), Invalid, 2},
	} {
		if got := KindOf(c.err); got != c.kind || got.Exit() != c.exit {
			t.Errorf("%v: kind %v exit %d, want %v %d", c.err, got, got.Exit(), c.kind, c.exit)
		}
	}
}

func TestNilStaysNil(t *testing.T) {
	if E(Invalid, nil) != nil || Hint(nil, "x") != nil {
		t.Error("an error out of nothing")
	}
}

func TestExplainEndsWithTheHint(t *testing.T) {
	err := fmt.Errorf("seal: %w", Hint(errors.New("no keys"), "overland key new"))
	if got, want := Explain(err), "seal: no keys\n  hint: overland key new"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Explain(errors.New("x")); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestEveryKindHasARowOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for k := Internal; k <= Cancelled; k++ {
		if k.String() == "" || seen[k.String()] || k.Status() < 200 || k.Exit() == 0 {
			t.Errorf("kind %d: code %q, status %d, exit %d", k, k, k.Status(), k.Exit())
		}
		seen[k.String()] = true
	}
}
