package process_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/testkit/vm"
)

// What holds on this machine holds with a pure cgroup v2 too: who a service is, its limits, its devices.
func TestServicesInAMachineWithCgroup2(t *testing.T) {
	program := filepath.Join(t.TempDir(), "process.test")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const tests = "TestS5AnotherUserTakesNoServicesPlace|TestS17CapabilitiesAreAskedFor|TestS17LimitsHoldAndAreNamed|TestS17AServiceCannotWriteTheDisk|TestDamagedRecord"
	out, code := vm.Run(t, vm.Options{
		Files:   map[string]string{"/process.test": program},
		Command: []string{"/process.test", "-test.v", "-test.timeout=10m", "-test.run", "^(" + tests + ")$/^(pidfd|empty)$"},
	})
	if code != 0 || strings.Count(out, "\n--- PASS: Test") < strings.Count(tests, "|")+1 {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
