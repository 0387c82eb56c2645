package switchover

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"overland/internal/agent/node"
	"overland/internal/fsx"
	"overland/internal/runtime"
)

// TestS17ASetUserIDFileInAVolume: a service of root's leaves a set-user-ID program in its volume, in a folder that it has
// opened. Another user of the machine does not reach it; a service of the application's own user does.
func TestS17ASetUserIDFileInAVolume(t *testing.T) {
	if os.Geteuid() != 0 { // the mode alone can be looked at
		dir := t.TempDir()
		if err := closeFolder(fsx.FS{}, dir, map[string]runtime.Instance{"a.a": {Dir: dir}}); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o710 {
			t.Fatalf("%v, %v", info.Mode(), err)
		}
		return
	}
	const own, other = 61234, 1234
	user := func(text string, dir string) runtime.Instance { return runtime.Instance{Dir: dir, User: text} }
	for name, c := range map[string]struct {
		mode  os.FileMode
		users []string
		may   bool // a process of own's
		all   bool // one of other's too
	}{
		"root alone":            {0o755, []string{"0"}, false, false},
		"its own":               {0o755, []string{"61234:61234"}, true, false},
		"its own and root":      {0o755, []string{"61234:61234", "0:0"}, true, false},
		"closed by a umask":     {0o700, []string{"61234:61234"}, true, false},
		"closed by an operator": {0o750, []string{"0"}, false, false},
		"one group twice":       {0o755, []string{"61234:61234", "61234:61234"}, true, false},
		"two groups, one often": {0o700, []string{"61234:61234", "61235:61235", "61235:61235", "61235:61235", "61235:61235"}, true, true},
		"two groups":            {0o700, []string{"61234:61234", "61235:61235"}, true, true},
	} {
		top, err := os.MkdirTemp("", "volumes")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(top) })
		dir := filepath.Join(top, "wallet")
		tool := filepath.Join(dir, "data", "tool")
		if err := errors.Join(os.Chmod(top, 0o755), os.MkdirAll(filepath.Dir(tool), 0o755), os.Chmod(filepath.Dir(tool), 0o777),
			os.WriteFile(tool, nil, 0o755), os.Chmod(tool, 0o755|os.ModeSetuid), os.Chmod(dir, c.mode)); err != nil {
			t.Fatal(err)
		}
		all := map[string]runtime.Instance{"another.s": user("61236:61236", top)}
		for i, u := range c.users {
			all["wallet."+string(rune('a'+i))] = user(u, dir)
		}
		for range 2 { // once for each service
			if err := closeFolder(fsx.FS{}, dir, all); err != nil {
				t.Fatal(err)
			}
		}
		for uid, want := range map[uint32]bool{own: c.may, other: c.all} {
			cmd := exec.Command("test", "-x", tool)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
			cmd.Dir = "/"
			if err := cmd.Run(); (err == nil) != want {
				t.Errorf("%s: a process of user %d reaches the program: %v, want %v", name, uid, err == nil, want)
			}
		}
	}
}

// A folder of the node's that lets nobody pass is opened; one that does is left as it is, and so is what is above.
func TestFoldersOnTheWay(t *testing.T) {
	above := t.TempDir()
	if err := os.Chmod(above, 0o700); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(filepath.Join(above, "node"), node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	want := map[string]os.FileMode{"..": 0o700, ".": 0o755, "gen": 0o711, "gen/1": 0o755, "gen/1/bin": 0o751, "volumes": 0o775}
	for _, dir := range []string{"gen/1/bin/wallet", "volumes/wallet"} {
		if err := os.MkdirAll(filepath.Join(n.Dir(), dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for dir, mode := range map[string]os.FileMode{".": 0o700, "gen": 0o711, "gen/1": 0o700, "gen/1/bin": 0o751, "volumes": 0o770} {
		if err := os.Chmod(filepath.Join(n.Dir(), dir), mode); err != nil {
			t.Fatal(err)
		}
	}
	s := &services{node: n}
	inst := runtime.Instance{Program: filepath.Join(n.Dir(), "gen/1/bin/wallet/node"), Dir: filepath.Join(n.Dir(), "volumes/wallet")}
	if err := s.open(inst); err != nil {
		t.Fatal(err)
	}
	for dir, mode := range want {
		if info, err := os.Stat(filepath.Join(n.Dir(), dir)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %v", dir, info.Mode(), err, mode)
		}
	}
}
