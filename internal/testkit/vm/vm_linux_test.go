package vm_test

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/testkit/vm"
)

// suites are the tests that a cgroup v2 or another kernel may answer otherwise: limits, ends, devices, filters, who a
// service is. Their variants that are about something else run on this machine alone: each costs a second in there.
var suites = map[string]string{
	"confine": "^TestACommandIsWhatItsSpecSays$|^TestLimits$/^(memory|processes|enough)$|^TestEverythingEndsWithTheCommand$|" +
		"^TestMounts$|^TestListen$|^TestWhatIsAppliedIsSaid$|^TestNoAttemptGetsThrough$/^(in_a_user_namespace|as_root_without_one)$|^TestS17DisksAreKeptAwayByTheControlGroup$",
	"runtime/process": "^(TestS5AnotherUserTakesNoServicesPlace|TestS17CapabilitiesAreAskedFor|TestS17LimitsHoldAndAreNamed|" +
		"TestS17AServiceCannotWriteTheDisk|TestDamagedRecord|TestS17AKeeperHasNoRights)$/^(pidfd|empty)$",
}

// What holds on this machine holds on a pure cgroup v2 with another kernel too: builds and services, in one boot.
// OVERLAND_VM_ARCH chooses another kind of machine (make vm).
func TestInAMachineWithCgroup2(t *testing.T) {
	arch := cmp.Or(os.Getenv("OVERLAND_VM_ARCH"), "amd64")
	dir := t.TempDir()
	files, script, tests := map[string]string{}, "", 0
	for room, run := range suites {
		name := filepath.Base(room) + ".test"
		files["/"+name] = filepath.Join(dir, name)
		cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-o", files["/"+name], "overland/internal/"+room)
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOARCH="+arch, "GOARM=7")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		script += "/" + name + " -test.v -test.timeout=10m -test.run '" + run + "' || exit\n"
		tests += strings.Count(run, "Test")
	}
	out, code := vm.Run(t, vm.Options{Arch: arch, Files: files, Command: []string{"/bin/sh", "-c", script + "exit 7"}})
	if code != 7 || !strings.Contains(out, "cgroup v2") || strings.Count("\n"+out, "\n--- PASS: Test") != tests {
		t.Errorf("exit %d, %d tests are to pass:\n%s", code, tests, out)
	}
}
