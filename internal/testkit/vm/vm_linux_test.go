package vm_test

import (
	"strings"
	"testing"

	"overland/internal/testkit/vm"
)

func TestAMachineRunsACommand(t *testing.T) {
	out, code := vm.Run(t, vm.Options{Command: []string{"/bin/sh", "-c", "echo \"it's up\"; cat /sys/fs/cgroup/cgroup.controllers; uname -m; exit 7"}})
	if code != 7 || !strings.Contains(out, "it's up\n") || !strings.Contains(out, "memory") || !strings.Contains(out, "x86_64") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
