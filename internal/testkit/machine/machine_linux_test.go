package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	Init()
	os.Exit(m.Run())
}

func start(t *testing.T, o Options) *Machine {
	t.Helper()
	m, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

func run(t *testing.T, m *Machine, argv ...string) string {
	t.Helper()
	out, err := m.Run(t.Context(), argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", argv, err, out)
	}
	return strings.TrimSpace(out)
}

func TestAMachineHasNoWayOut(t *testing.T) {
	for _, root := range []Root{Host, Busybox} {
		t.Run(string(root), func(t *testing.T) {
			m := start(t, Options{Name: "alone", Root: root})
			if got := run(t, m, "cat", "/proc/net/route"); strings.Count(got, "\n") != 0 {
				t.Errorf("routes: %s", got)
			}
			if got := run(t, m, "hostname"); got != "alone" {
				t.Errorf("host name %q", got)
			}
			if got := run(t, m, "sh", "-c", "id -u; echo $$; ls /proc | grep -c '^[0-9]'"); !strings.HasPrefix(got, "0\n") {
				t.Errorf("id, pid, processes: %s", got)
			}
		})
	}
}

func TestWhatAMachineWritesIsGone(t *testing.T) {
	mark, state := "/usr/local/bin/overland-machine-test", "/var/lib/overland-machine-test"
	m := start(t, Options{})
	run(t, m, "touch", mark, state)
	m.Stop()
	for _, path := range []string{mark, state, m.dir} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestAMachineRunsARM(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	text := "package main\nimport \"runtime\"\nfunc main() { println(runtime.GOARCH) }\n"
	if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "hello"), src)
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm", "GOARM=6", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	arm, err := ARM()
	if err != nil {
		t.Fatal(err)
	}
	m := start(t, Options{Root: Busybox, Binds: map[string]string{dir: "/mnt"}, Interpreters: []string{arm}})
	if got := run(t, m, "/mnt/hello"); got != "arm" {
		t.Errorf("got %q", got)
	}
}
