package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/agent/host"
	"overland/internal/digest"
	"overland/internal/errs"
)

func TestStageRefusesAnotherProgram(t *testing.T) {
	s := host.Slots{Dir: t.TempDir()}
	if err := s.FS.Mkdir(filepath.Join(s.Dir, "agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := s.Stage(t.Context(), digest.Of([]byte(host.NewProgram)), func(path string) error {
		return os.WriteFile(path, []byte(host.OldProgram), 0o600)
	})
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("Stage = %v, want Untrusted", err)
	}
	if left := tree(t, s.Dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestUpgradeToWhatRunsChangesNothing(t *testing.T) {
	s := host.Slots{Dir: t.TempDir()}
	if _, err := s.First(host.StageScript(t, s, host.OldProgram)); err != nil {
		t.Fatal(err)
	}
	if armed, err := s.Upgrade(t.Context(), digest.Of([]byte(host.OldProgram)), "/nowhere"); armed || err != nil {
		t.Errorf("Upgrade = %v, %v", armed, err)
	}
}

// Whoever may release the agent can make two programs whose digests begin alike.
func TestS24TwoProgramsShareNoSlot(t *testing.T) {
	s := host.Slots{Dir: t.TempDir()}
	old := digest.Of([]byte(host.OldProgram))
	if _, err := s.First(host.StageScript(t, s, host.OldProgram)); err != nil {
		t.Fatal(err)
	}
	for at := range old.Encoded() {
		hex := []byte(old.Encoded())
		hex[at] = "0123456789abcdef"[(strings.IndexByte("0123456789abcdef", hex[at])+1)%16]
		other := digest.Digest("sha256:" + string(hex))
		if host.SlotOf(other) == host.SlotOf(old) {
			t.Fatalf("%s and %s share slot %s", old, other, host.SlotOf(old))
		}
		_, err := s.Stage(t.Context(), other, func(path string) error {
			return os.WriteFile(path, []byte(host.OldProgram), 0o600)
		})
		if errs.KindOf(err) != errs.Untrusted {
			t.Fatalf("Stage(%s), which begins like the one that runs: %v", other, err)
		}
		if armed, err := s.Upgrade(t.Context(), other, "/nowhere"); armed || err == nil {
			t.Fatalf("Upgrade(%s), which begins like the one that runs: %v, %v", other, armed, err)
		}
	}
}

func TestNodeOf(t *testing.T) {
	if dir, ok := host.NodeOf("/srv/n/agent/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/overland-agent"); !ok || dir != "/srv/n" {
		t.Errorf("NodeOf = %q, %v", dir, ok)
	}
	for _, path := range []string{"/usr/local/bin/overland-agent", "/agent/current/overland-agent", "/x/agent/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/sh", ""} {
		if dir, ok := host.NodeOf(path); ok {
			t.Errorf("NodeOf(%q) = %q", path, dir)
		}
	}
}
