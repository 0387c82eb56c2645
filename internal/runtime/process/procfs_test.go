package process

import (
	"encoding/json"
	"os"
	"testing"
)

// Not of ourselves: an emulator makes that one up. Its session may be 0: one whose leader lives outside of our PID
// namespace, as in a container.
func TestReadStatOfOurParent(t *testing.T) {
	s, err := readStat(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	if s.pid != os.Getppid() || s.start == 0 || s.dead() || s.threads < 1 {
		t.Errorf("got %+v", s)
	}
}

func TestParseStatOfANastyName(t *testing.T) {
	s, err := parseStat([]byte("7 (a) R 1 (b)) S 4 5 6 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 12345 1 2\n"))
	if want := (stat{state: 'S', parent: 4, group: 5, session: 6, threads: 3, start: 12345}); err != nil || s != want {
		t.Errorf("got %+v, %v, want %+v", s, err, want)
	}
}

func TestZombieLeaderWithThreadsIsAlive(t *testing.T) {
	if (stat{state: 'Z', threads: 2}).dead() || !(stat{state: 'Z', threads: 1}).dead() {
		t.Error("a process is dead when its last thread is")
	}
}

func FuzzStat(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStat(b); err == nil && s.state == 0 {
			t.Error("a stat without a state")
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := parseRecord(b)
		if !ok {
			return
		}
		if r.PID == 1 || r.PID < 0 || r.LogStart < 0 {
			t.Errorf("accepted %+v", r)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := parseRecord(again); !ok || s.Run != r.Run || s.PID != r.PID {
			t.Errorf("%+v became %+v", r, s)
		}
	})
}

func FuzzMark(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		run, _, path, ok := parseMark(s)
		if ok && (run == "" || path == "") {
			t.Errorf("accepted %q", s)
		}
	})
}
