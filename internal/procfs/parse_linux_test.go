package procfs

import "testing"

func TestParseANastyName(t *testing.T) {
	p, err := parse([]byte("7 (a) R 1 (b)) S 4 5 6 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 12345 1 2\n"))
	if want := (Process{State: 'S', Parent: 4, Group: 5, Session: 6, Threads: 3, Start: 12345}); err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
}

func FuzzStat(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parse(b); err == nil && p.State == 0 {
			t.Error("a stat without a state")
		}
	})
}
