package follow

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file counts when two looks found the same, and once; whatever of it changes, it counts anew.
func TestAFileCountsOnceItRests(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.volume")
	w := &watcher{seen: map[string]seen{}}
	looks := func(what string, want ...bool) {
		t.Helper()
		for k, yes := range want {
			one, there := fileAt(path)
			if got := there && w.unchanged(one); got != yes {
				t.Errorf("%s, look %d: %v", what, k+1, got)
			}
		}
	}
	write := func(name, text string, at time.Time) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(p, []byte(text), 0o600), os.Chtimes(p, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Unix(1_000_000, 0)
	looks("not there", false, false)
	write("x.volume", "one", now)
	looks("new", false, true, false, false)
	write("x.volume", "four", now)
	looks("another size", false, true, false)
	write("x.volume", "five", now.Add(time.Second))
	looks("another time", false, true, false)

	path = filepath.Join(dir, "y.volume.001")
	write("y.volume.001", "one", now)
	looks("a first part", false, true, false)
	write("y.volume.002", "two", now)
	write("y.volume.003", "three", now)
	looks("more parts", false, true, false)
	write("y.volume.003", "three and more", now)
	looks("a part grows", false, true, false)
	write("y.volume.003", "three and more", now.Add(time.Second))
	looks("a part is new", false, true, false)
}

func TestPollsAreSpread(t *testing.T) {
	const d = time.Minute
	least, most := time.Duration(1<<62), time.Duration(0)
	for range 2000 {
		j := jitter(d)
		least, most = min(least, j), max(most, j)
	}
	if least < d*3/4 || most > d*5/4 || least > d*4/5 || most < d*6/5 {
		t.Errorf("from %v to %v", least, most)
	}
}
