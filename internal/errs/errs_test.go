package errs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"overland/internal/errs"
)

func TestTheOutermostKindWins(t *testing.T) {
	inner := errs.Errorf(errs.NotFound, "blob missing")
	for _, c := range []struct {
		err  error
		kind errs.Kind
		exit int
	}{
		{errors.New("plain"), errs.Internal, 1},
		{inner, errs.NotFound, 1},
		{fmt.Errorf("open volume: %w", inner), errs.NotFound, 1},
		{errs.E(errs.Untrusted, fmt.Errorf("verify: %w", inner)), errs.Untrusted, 4},
		{errs.Hint(errs.E(errs.Unavailable, inner), "try later"), errs.Unavailable, 5},
		{fmt.Errorf("fetch: %w", context.Canceled), errs.Cancelled, 130},
		{errs.E(errs.Partial, inner), errs.Partial, 3},
		{errs.E(errs.Invalid, inner), errs.Invalid, 2},
	} {
		if got := errs.KindOf(c.err); got != c.kind || got.Exit() != c.exit {
			t.Errorf("%v: kind %v exit %d, want %v %d", c.err, got, got.Exit(), c.kind, c.exit)
		}
	}
}

func TestNilStaysNil(t *testing.T) {
	if errs.E(errs.Invalid, nil) != nil || errs.Hint(nil, "x") != nil {
		t.Error("an error out of nothing")
	}
}

func TestExplainEndsWithTheHint(t *testing.T) {
	err := fmt.Errorf("seal: %w", errs.Hint(errors.New("no keys"), "overland key new"))
	if got, want := errs.Explain(err), "seal: no keys\n  hint: overland key new"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := errs.Explain(errors.New("x")); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestEveryKindHasARowOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for k := errs.Internal; k <= errs.Cancelled; k++ {
		if k.String() == "" || seen[k.String()] || k.Status() < 200 || k.Exit() == 0 {
			t.Errorf("kind %d: code %q, status %d, exit %d", k, k, k.Status(), k.Exit())
		}
		seen[k.String()] = true
	}
}
