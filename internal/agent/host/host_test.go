package host_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/agent/host"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// fakeManager stands for systemctl, rc-service and rc-update: it keeps what they
// would remember, and what was asked.
type fakeManager struct {
	running, enabled bool
	changes          []string // calls that change something
}

func (f *fakeManager) command(_ context.Context, name string, args ...string) (string, error) {
	call := name + " " + strings.Join(args, " ")
	no := fmt.Errorf("%s: exit status 3", call)
	switch call {
	case "systemctl is-active --quiet overland-agent.service", "rc-service overland-agent status":
		if !f.running {
			return "", no
		}
		return "", nil
	case "systemctl is-enabled --quiet overland-agent.service":
		if !f.enabled {
			return "", no
		}
		return "", nil
	case "rc-update show default":
		if f.enabled {
			return "        overland-agent | default\n", nil
		}
		return "                  sshd | default\n", nil
	}
	f.changes = append(f.changes, call)
	switch args[len(args)-1] {
	case "start":
		f.running = true
	case "stop":
		f.running = false
	}
	switch args[0] {
	case "enable", "add":
		f.enabled = true
	case "disable", "del":
		f.enabled = false
	case "start", "restart":
		f.running = true
	case "stop":
		f.running = false
	}
	return "", nil
}

func newHost(t *testing.T, kind host.Kind, f *fakeManager) *host.Host {
	t.Helper()
	h := &host.Host{Dir: filepath.Join(t.TempDir(), "node"), Kind: kind, Root: t.TempDir(), Command: f.command}
	slots := host.Slots{Dir: h.Dir}
	slot := host.StageScript(t, slots, crashScript)
	if _, err := slots.First(slot); err != nil {
		t.Fatal(err)
	}
	return h
}

// tree lists the files below dir, so that a test sees exactly what was made and removed.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestInstallAndUninstall(t *testing.T) {
	for _, tt := range []struct {
		kind      host.Kind
		file      string
		installed []string
		removed   []string
	}{
		{
			host.Systemd, "/etc/systemd/system/overland-agent.service",
			[]string{"systemctl daemon-reload", "systemctl enable overland-agent.service", "systemctl start overland-agent.service"},
			[]string{"systemctl stop overland-agent.service", "systemctl disable overland-agent.service", "systemctl daemon-reload"},
		},
		{
			host.OpenRC, "/etc/init.d/overland-agent",
			[]string{"rc-update add overland-agent default", "rc-service overland-agent start"},
			[]string{"rc-service overland-agent stop", "rc-update del overland-agent default"},
		},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			f := &fakeManager{}
			h := newHost(t, tt.kind, f)
			r, err := h.Install(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !r.Changed || !r.Started || !r.Link || len(r.Unplaced) > 0 {
				t.Errorf("Result = %+v, want changed, started, linked", r)
			}
			if diff := cmp.Diff(tt.installed, f.changes); diff != "" {
				t.Errorf("service manager was told (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{tt.file, host.LinkPath}, tree(t, h.Root)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if got, _ := os.Readlink(filepath.Join(h.Root, host.LinkPath)); got != h.Dir+"/agent/good/overland-agent" {
				t.Errorf("link leads to %s", got)
			}

			f.changes = nil
			if r, err = h.Install(t.Context()); err != nil || r.Changed || r.Started || len(f.changes) > 0 {
				t.Errorf("second Install = %+v, %v and told %q; want nothing", r, err, f.changes)
			}

			// Another version of Overland writes another file: reload and restart, nothing else.
			if err := os.WriteFile(filepath.Join(h.Root, tt.file), []byte(host.Marker+"\n"+h.Dir+"/agent/good/\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if r, err = h.Install(t.Context()); err != nil || !r.Started {
				t.Errorf("Install over an older service file = %+v, %v", r, err)
			}

			f.changes = nil
			if err := h.Uninstall(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.removed, f.changes); diff != "" {
				t.Errorf("service manager was told (-want +got):\n%s", diff)
			}
			if left := tree(t, h.Root); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if left := tree(t, h.Dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			f.changes = nil
			if err := h.Uninstall(t.Context()); err != nil || len(f.changes) > 0 {
				t.Errorf("second Uninstall = %v and told %q", err, f.changes)
			}
		})
	}
}

// An image is made in a chroot, where no service manager answers.
func TestInstallWithoutAStart(t *testing.T) {
	for kind, link := range map[host.Kind]string{
		host.Systemd: "/etc/systemd/system/multi-user.target.wants/overland-agent.service",
		host.OpenRC:  "/etc/runlevels/default/overland-agent",
		host.None:    "",
	} {
		t.Run(string(kind), func(t *testing.T) {
			f := &fakeManager{}
			h := newHost(t, kind, f)
			h.NoStart = true
			for i := range 2 {
				r, err := h.Install(t.Context())
				if err != nil || r.Started || len(f.changes) > 0 || r.Changed != (i == 0) {
					t.Errorf("Install %d = %+v, %v and told %q", i+1, r, err, f.changes)
				}
			}
			if h.Running(t.Context()) {
				t.Error("a supervisor runs")
			}
			if link == "" {
				return
			}
			to, err := os.Readlink(filepath.Join(h.Root, link))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(h.Root, to)); err != nil {
				t.Errorf("%s leads to %s: %v", link, to, err)
			}
			h.Command = func(context.Context, string, ...string) (string, error) { return "", fs.ErrNotExist }
			if err := h.Uninstall(t.Context()); err != nil {
				t.Errorf("no service manager runs here: %v", err)
			}
			if left := tree(t, h.Root); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestDetectImage(t *testing.T) {
	for want, files := range map[host.Kind][]string{
		host.Systemd: {"lib/systemd/systemd"}, host.OpenRC: {"sbin/openrc-run", "usr/lib/systemd/systemd"}, host.None: {"bin/busybox"},
	} {
		root := t.TempDir()
		for _, name := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if got := host.DetectImage(root); got != want {
			t.Errorf("%v: %s, want %s", files, got, want)
		}
		if err := os.MkdirAll(filepath.Join(root, "sbin"), 0o755); err != nil {
			t.Fatal(err)
		}
		// Both may be installed: what /sbin/init is decides.
		if err := os.Symlink("../lib/systemd/systemd", filepath.Join(root, "sbin", "init")); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(root, "sbin", "init")); err == nil && host.DetectImage(root) != host.Systemd {
			t.Errorf("%v: /sbin/init is systemd", files)
		}
	}
}

func TestInstallLeavesWhatIsNotItsOwn(t *testing.T) {
	f := &fakeManager{}
	h := newHost(t, host.Systemd, f)
	mine := map[string]string{
		"/etc/systemd/system/overland-agent.service": "[Service]\nExecStart=/opt/mine\n",
		host.LinkPath: "my own program",
	}
	for path, text := range mine {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(h.Root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.Root, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The supervisor is started directly instead; a shell script stands for it.
	r, err := h.Install(t.Context())
	if err == nil {
		t.Error("the stand-in supervisor ends at once, which start must report")
	}
	if len(r.Unplaced) != 2 || len(f.changes) > 0 {
		t.Errorf("Unplaced = %v, told %q; want both files refused and nothing told", r.Unplaced, f.changes)
	}
	if err := h.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, want := range mine {
		if got, err := os.ReadFile(filepath.Join(h.Root, path)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want it untouched", path, got, err)
		}
	}
}

func TestInstallRefusesAnotherNodesServiceFile(t *testing.T) {
	f := &fakeManager{}
	first := newHost(t, host.OpenRC, f)
	if _, err := first.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := newHost(t, host.OpenRC, f)
	second.Root = first.Root
	_, err := second.PlaceService()
	if errs.KindOf(err) != errs.Conflict {
		t.Errorf("placeFile = %v, want a Conflict", err)
	}
	if err := second.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !first.OwnsService() || !f.enabled {
		t.Error("uninstalling one node removed another's service")
	}
}

func TestReadOnlyRoot(t *testing.T) {
	h := newHost(t, host.Systemd, &fakeManager{})
	h.FS = fsx.FS{Before: func(op fsx.Op) error {
		if strings.HasPrefix(op.Path, h.Root) {
			return syscall.EROFS
		}
		return nil
	}}
	r, _ := h.Install(t.Context())
	if len(r.Unplaced) != 2 || !strings.Contains(fmt.Sprint(r.Unplaced), "no service file could be placed") {
		t.Errorf("Unplaced = %v, want both files with a clear line", r.Unplaced)
	}
	if left := tree(t, h.Root); len(left) > 0 {
		t.Errorf("wrote %q", left)
	}
}

func TestDetect(t *testing.T) {
	for _, tt := range []struct {
		files []string
		want  host.Kind
	}{
		{nil, host.None},
		{[]string{"run/systemd/system/x"}, host.Systemd},
		{[]string{"run/openrc/softlevel", "sbin/openrc-run"}, host.OpenRC},
		{[]string{"sbin/openrc-run"}, host.None}, // installed, but not what runs this machine
		{[]string{"run/systemd/system/x", "run/openrc/softlevel", "sbin/openrc-run"}, host.Systemd},
	} {
		root := t.TempDir()
		for _, name := range tt.files {
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := host.Detect(root); got != tt.want {
			t.Errorf("Detect(%q) = %s, want %s", tt.files, got, tt.want)
		}
	}
}

// The unit is judged by systemd itself. (Nothing here runs systemd as
// process 1: systemctl is faked above.)
func TestSystemdAcceptsTheUnit(t *testing.T) {
	for _, name := range []string{"node", "a node at 50 %"} {
		dir := filepath.Join(t.TempDir(), name)
		slot := host.StageScript(t, host.Slots{Dir: dir}, works("unit"))
		if _, err := (host.Slots{Dir: dir}).First(slot); err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(t.TempDir(), "overland-agent.service")
		if err := os.WriteFile(unit, []byte(host.SystemdUnit(dir)), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}

func TestCheckDir(t *testing.T) {
	for _, dir := range []string{"/var/lib/overland", "/srv/a node at 50 %"} {
		if err := host.CheckDir(dir); err != nil {
			t.Errorf("CheckDir(%q) = %v", dir, err)
		}
	}
	for _, dir := range []string{"", "/", "relative", "/a'b", `/a"b`, "/a$b", `/a\b`, "/a\nb", "/a`b"} {
		if errs.KindOf(host.CheckDir(dir)) != errs.Invalid {
			t.Errorf("CheckDir(%q) accepts it", dir)
		}
	}
}
