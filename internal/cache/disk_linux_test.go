package cache_test

import (
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/testkit/crash"
)

// A real disk, with the index, the depot and what is being fetched on it: full, then larger.
func TestARealDiskIsFull(t *testing.T) {
	const mib = 1 << 20
	for what, c := range map[string]struct {
		disk, body, reserve int64
		apart               bool // what is being fetched is on another disk
	}{
		"while it is being fetched": {2 * mib, 3 * mib, -1, false},
		"while it is being stored":  {2 * mib, 3 * mib, -1, true},
		"no room":                   {4 * mib, mib, 4 * mib, false},
	} {
		t.Run(what, func(t *testing.T) {
			disk, resize := crash.SmallDisk(t, c.disk)
			b := newBench(t, func(b *bench) {
				b.dir, b.o.Upstream.Dir, b.room = disk, disk, c.reserve
				if c.apart {
					b.o.Upstream.Dir = t.TempDir()
				}
			})
			b.origin.set("small", "alpha")
			b.origin.set("a.zip", strings.Repeat("0123456789abcdef", int(c.body)/16))
			if c.reserve < 0 {
				b.want(b, "small", "alpha")
			}
			before := b.blobs()
			b.wantErr(b, "a.zip", errs.Unavailable)
			if n := b.blobs(); n != before {
				t.Errorf("%d blobs, were %d", n, before)
			}
			left, err := filepath.Glob(filepath.Join(disk, ".nameless-*"))
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			resize(16 * mib)
			b.want(b, "a.zip", strings.Repeat("0123456789abcdef", int(c.body)/16))
		})
	}
}
