package engines

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programs are the packages, without the libraries that they need.
var programs = []string{"docker.io", "podman", "buildah"}

// Registry returns the registry of the distribution project as Debian has it, a program that runs without being installed.
func Registry(t testing.TB) string {
	t.Helper()
	return filepath.Join(fetch(t, "docker-registry"), "usr", "bin", "docker-registry")
}

// fetch returns a folder with the packages names, unpacked, and of what they need all that this machine lacks.
func fetch(t testing.TB, names ...string) string {
	t.Helper()
	top := strings.TrimSpace(run(t, "", "go", "env", "GOMOD"))
	cache := filepath.Join(filepath.Dir(top), ".cache", "engines")
	dir := filepath.Join(cache, strings.Join(names, "+"))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o777); err != nil { // apt fetches as a user of its own
		t.Fatal(err)
	}
	asApt := []string{"apt-get", "download", "-q"}
	download := asApt
	for line := range strings.Lines(run(t, tmp, append([]string{"apt-get", "-s", "install", "--no-install-recommends"}, names...)...)) {
		// "Inst podman (4.3.1 …)", and with "[1.0]" before the version for one that would be upgraded.
		if f := strings.Fields(line); len(f) > 2 && f[0] == "Inst" && !strings.HasPrefix(f[2], "[") {
			download = append(download, f[1])
		}
	}
	if len(download) > len(asApt) { // not all of them are installed
		run(t, tmp, download...)
	}
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	root := filepath.Join(tmp, "root")
	for _, sub := range []string{"usr", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, deb := range debs {
		run(t, tmp, "dpkg-deb", "-x", deb, root)
	}
	if err := os.Rename(root, dir); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return dir
}

func run(t testing.TB, dir string, argv ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, &said)
	}
	return string(out)
}
