package confine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"overland/internal/confine"
)

// What there was before the command is known before it runs, however long it takes to look.
func TestADiskLimitCountsFromTheBeginning(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "z"} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o777), os.Chmod(filepath.Join(dir, name), 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	for k := range 20_000 {
		if err := os.WriteFile(filepath.Join(dir, "a", strconv.Itoa(k)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := spec(t, "fill", filepath.Join(dir, "z"), "one")
	s.Mounts = append(s.Mounts, confine.Mount{Kind: confine.Bind, Source: dir, Target: dir, Writable: true})
	s.Limits.Disk = 4 << 20
	_, exit, err := run(t, s)
	var limit *confine.LimitError
	if !errors.As(err, &limit) || limit.What != "disk" {
		t.Errorf("%+v, %v", exit, err)
	}
}
