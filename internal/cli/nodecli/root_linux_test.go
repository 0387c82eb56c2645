package nodecli

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/errs"
)

// An ordinary user who installs on somebody else's node is told that it is not theirs, not that it trusts nobody.
func TestAnotherUsersNodeIsNotOneWithoutARoot(t *testing.T) {
	src, _ := newOffer(t)
	dir := filepath.Join(t.TempDir(), "node")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		runtime.LockOSThread() // and is never unlocked: the thread ends with its user
		if err := unix.Setfsuid(65534); err != nil {
			got <- err
			return
		}
		_, err := chooseRoot(t.Context(), env{}, &call{dir: dir}, src)
		got <- err
	}()
	if err := <-got; errs.KindOf(err) != errs.Denied || !strings.Contains(errs.HintOf(err), "sudo") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}
