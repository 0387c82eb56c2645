package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/fsx"
	"overland/internal/testkit/crash"
)

// Whatever a verb was writing, on a full disk it names the file and says what helps; with room again it goes on from what was there.
func TestVerbsOnAFullDisk(t *testing.T) {
	disk, resize := crash.SmallDisk(t, 1<<20)
	env := map[string]string{"OVERLAND_HOME": filepath.Join(disk, "home")}
	if code, _, msg := run(t.Context(), env, "trust", "init", "--no-passphrase", "--yes"); code != 0 {
		t.Fatal(msg)
	}
	f, err := os.Create(filepath.Join(disk, "rest"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !fsx.IsFull(err) {
		t.Fatal(err)
	}
	verbs := [][]string{
		{"key", "new", "k", "--no-passphrase"},
		{"trust", "init", "--home", filepath.Join(disk, "other"), "--no-passphrase", "--yes"},
		{"site", "init", filepath.Join(disk, "site")},
		{"record", "--lock", filepath.Join(disk, "a.lock"), "--", "true"},
	}
	for _, args := range verbs {
		code, _, msg := run(t.Context(), env, args...)
		if code != 5 || !strings.Contains(msg, "no space left on device · hint: free some space") || !strings.Contains(msg, disk) {
			t.Errorf("%v: exit code %d, %s", args, code, msg)
		}
	}
	if code, _, msg := run(t.Context(), env, "trust", "show"); code != 0 {
		t.Errorf("what only reads: %s", msg)
	}
	resize(8 << 20)
	for _, args := range verbs {
		if code, _, msg := run(t.Context(), env, args...); code != 0 {
			t.Errorf("with room again, %v: exit code %d, %s", args, code, msg)
		}
	}
}
