package home_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overland/internal/fsx"
	"overland/internal/home"
)

// The page and the table are one: a place that is added here is documented, and
// nothing documented is made up.
func TestThePageIsTheTable(t *testing.T) {
	var want strings.Builder
	for _, e := range home.Table() {
		name, mode := string(e.Place), ""
		if e.Dir {
			name += "/"
		}
		if e.Mode != 0 {
			mode = fmt.Sprintf("%04o", e.Mode)
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", name, e.Life, e.For, mode)
	}
	page, err := os.ReadFile("../../docs/format/home.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "|---|---|---|---|\n")
	got, _, end := strings.Cut(rest, "\n\n")
	if !ok || !end || got+"\n" != want.String() {
		t.Errorf("docs/format/home.md has\n%s\n\nwant\n%s", got, &want)
	}
}

// What is below a folder that may be removed may be removed too.
func TestNothingDurableIsInACache(t *testing.T) {
	if home.Find("elsewhere") != (home.Entry{}) {
		t.Error("a place that is in no line has one")
	}
	for _, e := range home.Table() {
		above := home.Find(home.Place(path.Dir(string(e.Place))))
		if above.Life == home.Rebuildable && e.Life != home.Rebuildable {
			t.Errorf("%s is %s, in %s which is %s", e.Place, e.Life, above.Place, above.Life)
		}
	}
}

// What was fetched with a login is not for other users, whatever the umask; what a person opened stays open.
func TestS20ASiteDirectoryIsItsOwners(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	above := filepath.Join(t.TempDir(), "share")
	dir := filepath.Join(above, "overland")
	for range 2 {
		if err := home.Make(fsx.FS{}, dir); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]os.FileMode{above: 0o755, dir: 0o700, home.Depot.In(dir): 0o700, home.Cache.In(dir): 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v, want %o", path, info, err, want)
			}
		}
	}
	if err := os.Chmod(home.Depot.In(dir), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := home.Make(fsx.FS{}, dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(home.Depot.In(dir)); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestIn(t *testing.T) {
	if got, want := home.CacheIndex.In("site"), filepath.Join("site", "cache", "index.db"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
