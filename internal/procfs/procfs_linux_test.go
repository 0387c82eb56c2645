package procfs_test

import (
	"os"
	"testing"

	"overland/internal/procfs"
)

// Not of ourselves: an emulator makes that one up. Its session may be 0: one whose leader lives
// outside of our PID namespace, as in a container.
func TestReadOurParent(t *testing.T) {
	p, err := procfs.Read(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	if p.PID != os.Getppid() || p.Start == 0 || p.Dead() || p.Threads < 1 {
		t.Errorf("got %+v", p)
	}
}

func TestZombieLeaderWithThreadsIsAlive(t *testing.T) {
	if (procfs.Process{State: 'Z', Threads: 2}).Dead() || !(procfs.Process{State: 'Z', Threads: 1}).Dead() {
		t.Error("a process is dead when its last thread is")
	}
}
