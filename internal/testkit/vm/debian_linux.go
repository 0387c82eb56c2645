package vm

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// debian returns the machine's kernel and a static busybox for its processor. Apt fetches both,
// verified, once for a checkout.
func debian(t testing.TB, m machine) (kernel, busybox string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), ".cache", "vm", "linux-"+m.arch)
	if kernel, busybox := look(dir); kernel != "" {
		return kernel, busybox
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	a := &apt{t: t, dir: tmp}
	if m.goarch != runtime.GOARCH {
		a.foreign(m.arch)
	}
	var name string
	for s := bufio.NewScanner(strings.NewReader(a.run("apt-cache", "depends", m.kernel))); s.Scan() && name == ""; {
		_, name, _ = strings.Cut(s.Text(), "Depends: ")
	}
	if name == "" {
		t.Fatalf("apt knows no %s: run apt-get update", m.kernel)
	}
	if err := os.Chmod(tmp, 0o777); err != nil { // apt fetches as a user of its own
		t.Fatal(err)
	}
	a.run("apt-get", "download", "-q", name, "busybox-static")
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	root := filepath.Join(tmp, "root")
	for _, deb := range debs {
		a.run("dpkg-deb", "-x", deb, root)
	}
	if err := os.RemoveAll(filepath.Join(root, "lib")); err != nil { // no module is needed
		t.Fatal(err)
	}
	if err := os.Rename(root, dir); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	kernel, busybox = look(dir)
	if kernel == "" {
		t.Fatalf("no kernel and busybox in %q", debs)
	}
	return kernel, busybox
}

// look returns what debian has put into dir; "" when something is missing.
func look(dir string) (kernel, busybox string) {
	busybox = filepath.Join(dir, "bin", "busybox")
	found, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if _, err := os.Stat(busybox); err != nil || len(found) == 0 {
		return "", ""
	}
	return found[0], busybox
}

// apt runs apt's programs in dir.
type apt struct {
	t       testing.TB
	dir     string
	options []string
}

// foreign makes it fetch for another processor, by lists of its own: this machine's apt is as it was.
func (a *apt) foreign(arch string) {
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, dir), 0o755); err != nil {
			a.t.Fatal(err)
		}
	}
	status := filepath.Join(a.dir, "status")
	if err := os.WriteFile(status, nil, 0o600); err != nil {
		a.t.Fatal(err)
	}
	for _, o := range []string{
		"APT::Architecture=" + arch, "APT::Architectures::=" + arch, "APT::Sandbox::User=root", "Acquire::Languages=none",
		"Dir::State=" + a.dir + "/state", "Dir::State::status=" + status, "Dir::Cache=" + a.dir + "/cache",
	} {
		a.options = append(a.options, "-o", o)
	}
	// A list that a mirror is just writing does not hold up the others: what is not known is named then.
	if out, err := a.command("apt-get", "update", "-q").CombinedOutput(); err != nil {
		a.t.Logf("apt-get update: %v\n%s", err, out)
	}
}

func (a *apt) command(program string, args ...string) *exec.Cmd {
	if strings.HasPrefix(program, "apt") {
		args = append(args, a.options...)
	}
	cmd := exec.CommandContext(a.t.Context(), program, args...)
	cmd.Dir = a.dir
	return cmd
}

func (a *apt) run(program string, args ...string) string {
	a.t.Helper()
	cmd := a.command(program, args...)
	var diagnosis bytes.Buffer
	cmd.Stderr = &diagnosis
	out, err := cmd.Output()
	if err != nil {
		a.t.Fatalf("%q: %v\n%s", cmd.Args, err, &diagnosis)
	}
	return string(out)
}
