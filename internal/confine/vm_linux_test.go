package confine_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/testkit/vm"
)

// What holds on this machine holds on a pure cgroup v2 with another kernel too.
func TestInAMachineWithCgroup2(t *testing.T) {
	program := filepath.Join(t.TempDir(), "confine.test")
	cmd := exec.CommandContext(soon(t), "go", "test", "-c", "-o", program, ".")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, code := vm.Run(t, vm.Options{
		Files: map[string]string{"/confine.test": program},
		Command: []string{
			"/confine.test", "-test.v", "-test.timeout=10m", "-test.run",
			"^(TestACommandIsWhatItsSpecSays|TestLimits|TestEverythingEndsWithTheCommand|TestMounts|TestListen|TestWhatIsAppliedIsSaid|TestNoAttemptGetsThrough|TestS17DisksAreKeptAwayByTheControlGroup)$",
		},
	})
	if code != 0 || !strings.Contains(out, "cgroup v2") || strings.Count(out, "--- PASS: Test") < 8 {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
