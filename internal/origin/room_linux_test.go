package origin_test

import (
	"errors"
	"net/http"
	"testing"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/origin"
	"overland/internal/testkit/crash"
)

// Who chooses what is asked for, a build script for one, may choose a hundred answers without an end.
func TestAnAnswerLeavesRoomOnTheDisk(t *testing.T) {
	const mib = 1 << 20
	asked := 0
	o := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path == "/long" {
			w.Header().Set("Content-Length", "40000000")
		}
		for piece := make([]byte, mib); r.Context().Err() == nil; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	for _, name := range []string{"/long", "/endless"} {
		disk, _ := crash.SmallDisk(t, 48*mib)
		up := quick(t)
		up.Dir, asked = disk, 0
		least := int64(48 * mib)
		look := func() {
			if free, err := fsx.Free(disk); err == nil {
				least = min(least, free)
			}
		}
		_, err := up.Get(t.Context(), origin.Request{URL: o.URL + name, Fixed: true, Heard: look})
		if !errors.Is(err, fsx.ErrNoRoom) || errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" || asked != 1 {
			t.Errorf("%s: %v, asked %d times", name, err, asked)
		}
		if least < 12*mib {
			t.Errorf("%s: %d bytes were free", name, least)
		}
	}
}
