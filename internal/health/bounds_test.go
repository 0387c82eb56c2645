package health_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/health"
)

const many = 1 << 15 // more than are remembered

func TestPausesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r health.Record
		for range 30 {
			r.Failed(time.Second, 0, 0)
		}
		if rest := r.Rest(); rest < 20*time.Second || rest > 40*time.Second {
			t.Errorf("rests %s after %d failures", rest, r.Fails())
		}
		if !r.Avoided() {
			t.Error("it rests, and is preferred all the same")
		}
		time.Sleep(40 * time.Second)
		if r.Avoided() {
			t.Error("failures that cost no time are held against it after its rest")
		}
		r.Failed(time.Second, time.Hour, 0)
		time.Sleep(5 * time.Minute)
		if r.Avoided() {
			t.Error("avoided for more than five minutes")
		}
	})
}

// A link that is cut after every few bytes moves on: its pauses do not grow.
func TestAFewBytesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r health.Record
		for range 10 {
			r.Failed(time.Second, 0, 0)
		}
		for range 5 {
			r.Failed(time.Second, 0, 1)
		}
		if rest := r.Rest(); r.Fails() != 1 || rest <= 0 || rest > time.Second {
			t.Errorf("rests %s after %d failures", rest, r.Fails())
		}
	})
}

func TestRecordsAreBoundedAndForgetTheWell(t *testing.T) {
	var r health.Records[int]
	for i := range many {
		r.Failed(i, time.Hour, 0, 0)
	}
	if rest, avoided := r.Look(0); rest > 0 || avoided {
		t.Error("nothing was forgotten")
	}
	if rest, avoided := r.Look(many - 1); rest <= 0 || !avoided {
		t.Error("the newest is forgotten")
	}
	r.Well(many - 1)
	if rest, avoided := r.Look(many - 1); rest > 0 || avoided {
		t.Error("a source that answered is left alone")
	}
	// Those that are well take no room from those that are not.
	var fresh health.Records[int]
	fresh.Failed(-1, time.Hour, 0, 0)
	for i := range many {
		fresh.Failed(many+i, time.Hour, 0, 0)
		fresh.Well(many + i)
	}
	if rest, _ := fresh.Look(-1); rest <= 0 {
		t.Error("the well ones pushed out one that is down")
	}
}

func TestTroublesAreBoundedAndForgetTheWell(t *testing.T) {
	var troubles health.Troubles[int]
	down := errors.New("down")
	troubles.Report(-1, down)
	for i := range many {
		troubles.Report(i, down)
		troubles.Report(i, nil)
	}
	if got := troubles.Report(-1, down); got != health.Same {
		t.Errorf("those that ended pushed out one that lasts: %v", got)
	}
	for i := range many {
		troubles.Report(i, down)
	}
	if got := troubles.Report(-1, down); got != health.Began {
		t.Errorf("nothing was forgotten: %v", got)
	}
}
