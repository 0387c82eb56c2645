package source

import (
	"os/exec"
	"strings"
	"testing"

	"overland/internal/errs"
)

// Entries are counted over all submodules, not for each.
func TestSubmodulesShareOneBound(t *testing.T) {
	dir := t.TempDir()
	const script = `git init -q && echo a > a && echo b > b && git add -A && git -c user.name=a -c user.email=a commit -qm x && git rev-parse HEAD`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	link := entry{mode: modeSubmodule, hash: strings.TrimSpace(string(out))}
	for most, fits := range map[int]bool{6: true, 5: false} { // two links, and two files of each
		list := []entry{link, link}
		list[0].path, list[1].path = "x", "y"
		if _, err := r.expand(t.Context(), list, &bounds{maxModules, most}, false); (err == nil) != fits || !fits && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%d: %v", most, err)
		}
	}
}

func FuzzParseCommit(f *testing.F) {
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx\n"))
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ncommitter a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseCommit(b); err == nil && !isHex(c.Tree) {
			t.Errorf("tree %q", c.Tree)
		}
	})
}
