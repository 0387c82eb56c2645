package tool_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
)

// A tool gets its own settings and what every program needs, in a folder without files, and none
// of the words that are secret.
func TestWhatAToolIsAskedWith(t *testing.T) {
	out, err := tool.Ask(t.Context(), tool.Question{
		Argv: []string{"sh", "-c", "env; ls -A | wc -l; pwd"}, Keep: []string{"PIP_"},
		Environ: []string{"PATH=.:bin:" + os.Getenv("PATH"), "HOME=/h", "PIP_INDEX_URL=x", "pip_lower=y", "PIP_TOKEN=t", "PIP_CLIENT_SECRET=s", "pip_password=p", "PIP_CREDENTIALS=c", "PIP__AUTH=a", "OTHER=o", "GITHUB_TOKEN=g", "PYTHONPATH=."},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := "\n" + string(out)
	for _, want := range []string{"\nHOME=/h\n", "\nPIP_INDEX_URL=x\n", "\npip_lower=y\n", "\nPATH=" + os.Getenv("PATH") + "\n", "\nLC_ALL=C\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, never := range []string{"PIP_TOKEN", "PIP_CLIENT_SECRET", "pip_password", "PIP_CREDENTIALS", "PIP__AUTH", "OTHER", "GITHUB", "PYTHONPATH"} {
		if strings.Contains(text, never) {
			t.Errorf("%s in\n%s", never, text)
		}
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	at, n := lines[len(lines)-1], strings.TrimSpace(lines[len(lines)-2])
	if at != "/" && n != "0" {
		t.Errorf("%s files in %s", n, at)
	}
	// Whatever is above may hold settings.
	for up := at; ; up = filepath.Dir(up) {
		if info, err := os.Stat(up); err == nil && info.Mode()&0o022 != 0 {
			t.Errorf("asked in %s, and others may write to %s", at, up)
		}
		if up == "/" {
			break
		}
	}
	if _, err := os.Stat(at); at != "/" && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was left behind: %v", err)
	}
}

// A folder of this user's own is not enough: cargo and npm read what others put above it.
func TestS1NobodyElseWritesAboveTheFolder(t *testing.T) {
	shared := t.TempDir()
	own := filepath.Join(shared, "own")
	if err := errors.Join(os.Mkdir(own, 0o700), os.Chmod(shared, 0o777)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", own)
	out, err := tool.Ask(t.Context(), tool.Question{Argv: []string{"pwd"}})
	if err != nil || strings.HasPrefix(string(out), shared) {
		t.Errorf("asked in %s, %v", out, err)
	}
}

func TestAToolThatFails(t *testing.T) {
	_, err := tool.Ask(t.Context(), tool.Question{Argv: []string{"sh", "-c", "echo why >&2; exit 3"}})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "why") {
		t.Errorf("%v", err)
	}
	if _, err := tool.Ask(t.Context(), tool.Question{Argv: []string{"no-such-tool"}}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := tool.Ask(ctx, tool.Question{Argv: []string{"sh", "-c", "sleep 1000 & wait"}}); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
}

// Files of a project are read as data: within a limit, regular ones, and of its repository only.
func TestProjectFiles(t *testing.T) {
	above := t.TempDir()
	inner := filepath.Join(above, "p", "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{"rc": "above", "p/rc": "top", "p/a/rc": strings.Repeat("x", 100), "p/a/b/rc": "near"} {
		if err := os.WriteFile(filepath.Join(above, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(dir string) string {
		var list []string
		for _, b := range tool.ProjectFiles(dir, "rc", 10) {
			list = append(list, string(b))
		}
		return strings.Join(list, " ")
	}
	if got := read(inner); got != "near" {
		t.Errorf("no repository: %q", got)
	}
	if err := os.Mkdir(filepath.Join(above, "p", ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := read(inner); got != "near top" {
		t.Errorf("%q", got)
	}
	if got := read(""); got != "" {
		t.Errorf("none: %q", got)
	}
}
