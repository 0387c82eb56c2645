package confine_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// inRunc runs command in a container of runc with the machine's programs, moby's filter (as its
// generated profile has it) and no capabilities, and returns what it printed.
func inRunc(t *testing.T, command []string) (string, error) {
	t.Helper()
	bundle := t.TempDir()
	for _, dir := range []string{"rootfs", "state"} {
		if err := os.Mkdir(filepath.Join(bundle, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	type m = map[string]any
	bind := func(from, to string) m {
		return m{"destination": to, "type": "bind", "source": from, "options": []string{"rbind", "ro", "nosuid", "nodev"}}
	}
	mounts := []m{
		bind("/usr", "/usr"),
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755", "size=65536k"}},
		{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": []string{"newinstance", "ptmxmode=0666", "mode=0620"}},
		{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": []string{"mode=1777"}},
		bind(program(t), "/attempt"),
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(bundle, "rootfs", name)); err != nil {
			t.Fatal(err)
		}
	}
	profile, err := os.ReadFile("testdata/moby.json")
	if err != nil {
		t.Fatal(err)
	}
	config := m{
		"ociVersion": "1.0.2",
		"process": m{
			"user": m{"uid": 1000, "gid": 1000}, "args": command, "cwd": "/", "noNewPrivileges": true,
			"env":          []string{"PATH=/usr/bin:/bin"},
			"capabilities": m{"bounding": []string{}, "effective": []string{}, "inheritable": []string{}, "permitted": []string{}, "ambient": []string{}},
		},
		"root": m{"path": "rootfs", "readonly": true}, "hostname": "overland", "mounts": mounts,
		"linux": m{
			"namespaces":    []m{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}},
			"maskedPaths":   []string{"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi"},
			"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			"seccomp":       json.RawMessage(profile),
		},
	}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(soon(t), "runc", "--root", filepath.Join(bundle, "state"), "run", "--bundle", bundle, fmt.Sprintf("overland-test-%d-%s", os.Getpid(), filepath.Base(bundle)))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
