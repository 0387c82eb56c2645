package cachetest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"overland/internal/cache"
	"overland/internal/errs"
)

// Memory is cache.Facts in memory. The zero value is empty.
type Memory struct {
	mu      sync.Mutex
	freezes []cache.Freeze
	offline bool
}

// Freezes implements cache.Facts.
func (m *Memory) Freezes(context.Context) ([]cache.Freeze, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.freezes), nil
}

// Freeze implements cache.Facts.
func (m *Memory) Freeze(_ context.Context, name string) (cache.Freeze, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(name)
	if i < 0 {
		return cache.Freeze{}, errs.Errorf(errs.NotFound, "there is no freeze %.80q", name)
	}
	return m.freezes[i], nil
}

func (m *Memory) find(name string) int {
	return slices.IndexFunc(m.freezes, func(f cache.Freeze) bool { return f.Name == name })
}

// AddFreeze implements cache.Facts.
func (m *Memory) AddFreeze(_ context.Context, f cache.Freeze) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(f.Name) < 0 {
		m.freezes = append(m.freezes, f)
		slices.SortFunc(m.freezes, func(a, b cache.Freeze) int { return strings.Compare(a.Name, b.Name) })
	}
	return nil
}

// RemoveFreeze implements cache.Facts.
func (m *Memory) RemoveFreeze(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.freezes = slices.DeleteFunc(m.freezes, func(f cache.Freeze) bool { return f.Name == name })
	return nil
}

// Offline implements cache.Facts.
func (m *Memory) Offline(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.offline, nil
}

// SetOffline implements cache.Facts.
func (m *Memory) SetOffline(_ context.Context, on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offline = on
	return nil
}

// Facts checks the cache.Facts that open returns. It must be empty at first; a second call returns
// the same facts, as another process sees them.
func Facts(t *testing.T, open func(t *testing.T) cache.Facts) {
	ctx := t.Context()
	at := time.UnixMilli(1_767_700_800_123)
	freeze := func(name string, at time.Time) cache.Freeze {
		return cache.Freeze{Name: name, At: at, Made: at.Add(time.Hour)}
	}
	one, other := open(t), open(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if list, err := one.Freezes(ctx); err != nil || len(list) != 0 {
		t.Fatalf("at first: %v, %v", list, err)
	}
	if on, err := one.Offline(ctx); on || err != nil {
		t.Fatalf("at first: offline %v, %v", on, err)
	}
	for _, name := range []string{"tuesday", "monday", "a.b_c-1"} {
		must(one.AddFreeze(ctx, freeze(name, at)))
	}
	must(other.AddFreeze(ctx, freeze("tuesday", at.Add(time.Minute)))) // the first one stays
	list, err := other.Freezes(ctx)
	must(err)
	if len(list) != 3 || list[0].Name != "a.b_c-1" || list[1].Name != "monday" || list[2].Name != "tuesday" {
		t.Errorf("freezes %v", list)
	}
	for _, f := range list {
		if !f.At.Equal(at) || !f.Made.Equal(at.Add(time.Hour)) {
			t.Errorf("%s: %v, made %v: want the millisecond %v", f.Name, f.At, f.Made, at)
		}
	}
	if f, err := other.Freeze(ctx, "monday"); err != nil || f.Name != "monday" || !f.At.Equal(at) || !f.Made.Equal(at.Add(time.Hour)) {
		t.Errorf("%v, %v", f, err)
	}
	must(one.RemoveFreeze(ctx, "monday"))
	must(one.RemoveFreeze(ctx, "monday"))
	if f, err := other.Freeze(ctx, "monday"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("removed: %v, %v", f, err)
	}
	must(other.AddFreeze(ctx, freeze("monday", at.Add(time.Minute)))) // the name is free again
	if f, err := one.Freeze(ctx, "monday"); err != nil || !f.At.Equal(at.Add(time.Minute)) {
		t.Errorf("again: %v, %v", f, err)
	}
	for _, on := range []bool{true, true, false} {
		must(one.SetOffline(ctx, on))
		if got, err := other.Offline(ctx); got != on || err != nil {
			t.Errorf("offline %v, %v: want %v", got, err, on)
		}
	}
}
