package record_test

import (
	"fmt"
	"testing"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/testkit/recording"
)

// A command may ask for what is not there as often as it likes: what is remembered of that is bounded.
func TestMissesAreBounded(t *testing.T) {
	r := record.NewReplayer(recording.Store(t), &lockfile.Lock{})
	for i := range 2000 {
		r.Refuse(&record.RefusedError{Protocol: "url", Request: fmt.Sprint("GET /", i%1500), Err: errs.Errorf(errs.Invalid, "no")})
	}
	if n := len(r.Misses()); n != 1000 {
		t.Errorf("%d", n)
	}
}
