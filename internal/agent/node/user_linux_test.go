package node_test

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/agent/node"
	"overland/internal/errs"
)

// A user who may not read the node is told that, and not that its state is damaged.
func TestAPermissionIsNotDamage(t *testing.T) {
	dir := t.TempDir()
	must(t, open(t, dir, node.Options{}).Close())
	got := make(chan error)
	go func() {
		runtime.LockOSThread() // and is never unlocked: the thread ends with its user
		if err := unix.Setfsuid(65534); err != nil {
			got <- err
			return
		}
		_, _, err := node.Peek(dir)
		got <- err
	}()
	err := <-got
	if errs.KindOf(err) != errs.Denied || !strings.Contains(errs.HintOf(err), "sudo") || strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}
