package environ_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"overland/internal/environ"
)

// TestMain also plays a program with a secret: it hides it, starts a child without a thought, and
// shows what others can see of itself.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_PROGRAM") == "" {
		os.Exit(m.Run())
	}
	getenv := environ.Hide()
	out, err := exec.Command("env").Output()
	shown, err2 := os.ReadFile("/proc/self/environ")
	fmt.Printf("mine %s %s\nchild %s %v\nshown %s %v\n", getenv("OVERLAND_PASSPHRASE"), getenv("OVERLAND_HOME"), out, err, shown, err2)
}

func TestS19ASecretStaysInTheProcess(t *testing.T) {
	const word = "geheim-0815"
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), "TEST_PROGRAM=1", "OVERLAND_PASSPHRASE="+word, "OVERLAND_HOME=/h", "OVERLAND_SIGNING_KEY="+word, "LAST=1")
	b, err := cmd.CombinedOutput()
	out := string(b)
	if err != nil || !strings.HasPrefix(out, "mine "+word+" /h\n") || strings.Count(out, word) != 1 {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range []string{"OVERLAND_HOME=/h", "LAST=1"} {
		if strings.Count(out, want) != 2 { // the child's, and its own
			t.Errorf("%s is lost:\n%s", want, out)
		}
	}
}

func TestWithout(t *testing.T) {
	in := []string{"A=1", "OVERLAND_PASSPHRASE=x", "OVERLAND_NEW_PASSPHRASE=y", "OVERLAND_HOME=h", "NPM_TOKEN=t", "OVERLAND_SESSION=record", "OVERLAND_RUN=r"}
	want := []string{"A=1", "OVERLAND_HOME=h", "NPM_TOKEN=t", "OVERLAND_SESSION=record", "OVERLAND_RUN=r"}
	if got := environ.Without(in); !slices.Equal(got, want) || len(in) != 7 {
		t.Errorf("%q", got)
	}
}

func TestLookup(t *testing.T) {
	list := []string{"A=1", "AB=2", "A=", "B=x=y"}
	for name, want := range map[string]string{"A": "", "AB": "2", "B": "x=y"} {
		if got, set := environ.Lookup(list, name); got != want || !set {
			t.Errorf("%s: %q, %v", name, got, set)
		}
	}
	if got, set := environ.Lookup(list, "C"); set {
		t.Errorf("C: %q", got)
	}
}
