package operator_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/confine/cell"
	"overland/internal/operator"
	"overland/internal/session"
)

// Two variables of a Makefile make a release believe that it is made in a recording. Then a command is
// not held to the commit's lock, and whoever releases hears it.
func TestAReleaseInARecordingIsTold(t *testing.T) {
	repo := t.TempDir()
	text := "overland: 1\nname: chat\nartifacts:\n  chat:\n    command:\n      run: [sh, -c, exit 1]\n      output: chat\n"
	if err := os.WriteFile(filepath.Join(repo, "overland.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=A", "-c", "user.email=a@localhost", "commit", "-qm", "first"}} {
		if out, err := exec.Command("git", append([]string{"-C", repo}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", args[0], err, out)
		}
	}
	for _, kind := range []string{session.Recording, session.Replaying} {
		var said []string
		p := open(t, filepath.Join(t.TempDir(), "site"), operator.Options{Env: []string{"PATH=" + os.Getenv("PATH"), "OVERLAND_SESSION=" + kind}}).
			With(operator.Callbacks{Warn: func(s string) { said = append(said, s) }})
		if _, err := p.InitTrust(t.Context(), nil, 0); err != nil {
			t.Fatal(err)
		}
		_, err := p.Release(t.Context(), operator.ReleaseOptions{Source: operator.SourceOptions{Dir: repo, Isolation: cell.None}})
		if err == nil {
			t.Errorf("%s: released", kind)
		}
		if told := strings.Contains(strings.Join(said, "\n"), "chat is built in a recording"); told != (kind == session.Recording) {
			t.Errorf("%s: told %q, then %v", kind, said, err)
		}
	}
}
