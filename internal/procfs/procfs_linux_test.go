package procfs

import (
	"os"
	"testing"
)

// Not of ourselves: an emulator makes that one up. Its session may be 0: one whose leader lives
// outside of our PID namespace, as in a container.
func TestReadOurParent(t *testing.T) {
	p, err := Read(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	if p.PID != os.Getppid() || p.Start == 0 || p.Dead() || p.Threads < 1 {
		t.Errorf("got %+v", p)
	}
}

func TestParseANastyName(t *testing.T) {
	p, err := parse([]byte("7 (a) R 1 (b)) S 4 5 6 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 12345 1 2\n"))
	if want := (Process{State: 'S', Parent: 4, Group: 5, Session: 6, Threads: 3, Start: 12345}); err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
}

func TestZombieLeaderWithThreadsIsAlive(t *testing.T) {
	if (Process{State: 'Z', Threads: 2}).Dead() || !(Process{State: 'Z', Threads: 1}).Dead() {
		t.Error("a process is dead when its last thread is")
	}
}

func FuzzStat(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parse(b); err == nil && p.State == 0 {
			t.Error("a stat without a state")
		}
	})
}
