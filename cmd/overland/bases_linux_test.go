package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/testkit/bins"
)

// TestBasesStart makes root file systems from the archive of the machine's own Debian, again from the lock with
// no network, and starts each on the processors that it is for, by QEMU: armel on an ARM926 (v5) and an ARM1176 (v6).
func TestBasesStart(t *testing.T) {
	program, err := builder.Build(t.Context(), bins.Overland, "linux/amd64", "")
	must(t, err)
	release, err := os.ReadFile("/etc/os-release")
	must(t, err)
	_, codename, _ := strings.Cut(string(release), "VERSION_CODENAME=")
	codename, _, _ = strings.Cut(codename, "\n")

	dir := t.TempDir()
	repo := filepath.Join(dir, "repo")
	run := func(env []string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), args[0], args[1:]...)
		c.Dir, c.Env = repo, append(append(os.Environ(), "OVERLAND_HOME="+filepath.Join(dir, "home")), env...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	commit := func() {
		t.Helper()
		run(nil, "git", "-c", "init.defaultBranch=main", "init", "-q")
		run(nil, "git", "add", ".")
		run(nil, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "a base")
	}
	must(t, os.Mkdir(repo, 0o755))
	// Neither updates nor security: Debian 12 has none for armel, and a mirror may be between two days.
	must(t, os.WriteFile(filepath.Join(repo, "overland.yaml"), fmt.Appendf(nil, `overland: 1
name: base
artifacts:
  root:
    rootfs: {from: debian/%s, packages: [busybox, ca-certificates, libc-bin, tzdata], updates: none}
    platforms: [linux/amd64, linux/arm/v5, linux/arm/v7, linux/arm64]
`, codename), 0o644))
	commit()
	run(nil, program, "--quiet", "record", "--", program, "--quiet", "build", "--jobs", "2")
	commit()
	nowhere := []string{"http_proxy=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9"}
	run(nowhere, program, "--quiet", "build", "--rebuild", "--jobs", "2", "--out", filepath.Join(dir, "out"))

	for platform, cpus := range map[string][]string{
		"linux-amd64":  {"qemu-x86_64-static -cpu qemu64"},
		"linux-arm-v5": {"qemu-arm-static -cpu arm926", "qemu-arm-static -cpu arm1176"},
		"linux-arm-v7": {"qemu-arm-static -cpu cortex-a7"},
		"linux-arm64":  {"qemu-aarch64-static -cpu cortex-a53"},
	} {
		root := filepath.Join(dir, platform)
		must(t, os.Mkdir(root, 0o755))
		run(nil, "tar", "-xf", filepath.Join(dir, "out", platform, "root"), "-C", root)
		for _, cpu := range cpus {
			inside := append(strings.Fields(cpu), "-L", root, filepath.Join(root, "usr/bin/busybox"))
			if out := run(nil, append(inside, "cat", "/etc/os-release")...); !strings.Contains(out, "VERSION_CODENAME="+codename+"\n") {
				t.Errorf("%s: os-release: %s", cpu, out)
			}
			if out := run([]string{"TZ=Asia/Kathmandu"}, append(inside, "date", "+%H:%M", "-d", "@0")...); out != "05:30\n" {
				t.Errorf("%s: in Kathmandu it was %q", cpu, out)
			}
		}
		// Its own ldconfig finds nothing to change.
		cache := filepath.Join(root, "etc/ld.so.cache")
		ours, err := os.ReadFile(cache)
		must(t, err)
		must(t, os.Remove(cache))
		run(nil, strings.Fields(cpus[0])[0], filepath.Join(root, "usr/sbin/ldconfig"), "-r", root)
		if theirs, err := os.ReadFile(cache); err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%s: ldconfig writes another cache: %v", platform, err)
		}
		bundle, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
		must(t, err)
		if n := strings.Count(string(bundle), "-----BEGIN CERTIFICATE-----"); n < 100 {
			t.Errorf("%s: %d certificates", platform, n)
		}
	}
}
