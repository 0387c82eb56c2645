package golang

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/builder"
	"overland/internal/confine/cell"
)

// The compiler sees what it compiles and nothing else, may write to its cache and its folder, and
// leaves the checkout alone.
func TestTheCompilerIsInACell(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	c := compile{
		host: &host{Go: goEnv{GOMODCACHE: filepath.Join(dir, "mod")}}, root: filepath.Join(dir, "root"), src: filepath.Join(dir, "src"),
		scratch: filepath.Join(dir, "scratch"), cache: filepath.Join(dir, "cache"), confined: true,
		settings: settings{Dir: "."}, job: builder.Job{Platform: "linux/amd64"},
	}
	for _, dir := range []string{c.src, c.root, c.host.Go.GOMODCACHE, c.scratch} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.prepare(); err != nil {
		t.Fatal(err)
	}
	const script = `: >"$GOCACHE/x" && : >"$HOME/x" && : >"$TMPDIR/x" || exit 11
for dir in "$PWD" "$GOROOT" "$GOMODCACHE"; do ! (: >"$dir/x") 2>/dev/null || exit 12; done
[ ! -e OUTSIDE ] || exit 13
for net in /proc/sys/net/ipv4/conf/e*; do [ ! -e "$net" ] || exit 14; done
[ -z "$OPERATOR_TOKEN" ] || exit 15`
	t.Setenv("OPERATOR_TOKEN", "s3cr3t")
	text := strings.ReplaceAll(script, "OUTSIDE", outside)
	if err := c.run(t.Context(), []string{"/bin/sh", "-c", text}); err != nil {
		t.Error(err)
	}
	c.confined = false
	if err := c.run(t.Context(), []string{"/bin/sh", "-c", text}); err == nil {
		t.Error("without a cell it fails nowhere, so this test shows nothing")
	}
}

// The bytes are the same in a cell and without one, and each result says which it is. The standard
// library is compiled once for both: what differs is told by the module's packages and the program.
func TestACellChangesNoByte(t *testing.T) {
	dir := commit(t, nil)
	var built []builder.Built
	for _, isolation := range []cell.Isolation{cell.Full, cell.None} {
		w := newSite(t, t.TempDir(), sharedCache(t))
		w.Builders["go"] = New(Options{Cache: sharedCache(t), Isolation: isolation})
		if isolation == cell.None {
			owners, err := ownedBy(sharedCache(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, owner := range owners {
				cache := filepath.Join(sharedCache(t), owner, "compiled-none")
				if err := errors.Join(os.MkdirAll(cache, 0o700), addTree(cache, filepath.Join(sharedCache(t), seeds, "go1.26.8-linux-amd64"))); err != nil {
					t.Fatal(err)
				}
			}
		}
		b, err := w.build(t.Context(), dir, greeter, "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		if b[0].Isolation != isolation {
			t.Errorf("it says %q, want %q", b[0].Isolation, isolation)
		}
		built = append(built, b...)
	}
	if built[0].Digest != built[1].Digest {
		t.Errorf("%s in a cell, %s without", built[0].Digest, built[1].Digest)
	}
}
