package health_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/health"
)

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m health.Memory[string]
		m.Set("a", time.Minute)
		if !m.Has("a") || m.Has("b") {
			t.Error("a is remembered, b is not")
		}
		time.Sleep(time.Minute)
		if m.Has("a") {
			t.Error("remembered for too long")
		}
		m.Set("a", time.Minute)
		m.Forget("a")
		if m.Has("a") {
			t.Error("not forgotten")
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	var m health.Memory[int]
	const many = 1 << 15
	for i := range many {
		m.Set(i, time.Hour)
	}
	if m.Has(0) || !m.Has(many-1) {
		t.Error("the newest stays, and room is made for it")
	}
}

func TestMemoryOfAClockThatWentBack(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := health.Memory[string]{Clock: func() time.Time { return now }}
	m.Set("down", time.Minute)
	now = now.Add(-24 * time.Hour)
	if m.Has("down") {
		t.Error("down for a day")
	}
}

func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r health.Record
		if r.Rest() > 0 || r.Avoided() {
			t.Error("an unknown source is asked")
		}
		for range 3 {
			r.Failed(time.Second, 10*time.Second, 0)
		}
		if rest := r.Rest(); rest < 2*time.Second || rest > 4*time.Second || r.Fails() != 3 {
			t.Errorf("rests %s after %d failures", rest, r.Fails())
		}
		time.Sleep(79 * time.Second)
		if r.Rest() > 0 || !r.Avoided() {
			t.Error("asked when alone, avoided while another one works")
		}
		time.Sleep(time.Second)
		if r.Avoided() {
			t.Error("avoided for too long")
		}
		r.Failed(time.Second, 0, 1<<20)
		if r.Rest() > 0 || r.Fails() != 0 {
			t.Error("a source that brought much rests for nothing")
		}
	})
}

func TestTrouble(t *testing.T) {
	var trouble health.Trouble
	one, other := errors.New("one"), errors.New("other")
	for i, step := range []struct {
		err  error
		want health.Change
	}{
		{nil, health.Same},
		{one, health.Began},
		{one, health.Same},
		{other, health.Began},
		{nil, health.Ended},
		{nil, health.Same},
	} {
		if got := trouble.Report(step.err); got != step.want || trouble.Lasts() != (step.err != nil) {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// Two sources that are down are each reported once, not each time that the other one was.
func TestTroublesAreApart(t *testing.T) {
	var troubles health.Troubles[string]
	down := errors.New("down")
	for i, step := range []struct {
		key  string
		err  error
		want health.Change
	}{
		{"a", down, health.Began},
		{"b", down, health.Began},
		{"a", down, health.Same},
		{"b", down, health.Same},
		{"a", nil, health.Ended},
		{"a", nil, health.Same},
		{"a", down, health.Began},
	} {
		if got := troubles.Report(step.key, step.err); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
