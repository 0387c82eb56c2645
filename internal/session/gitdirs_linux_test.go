package session_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/session"
)

// work returns a repository with two submodules: one that is checked out, and one that is not.
func work(t *testing.T) string {
	t.Helper()
	module, dir := t.TempDir(), t.TempDir()
	as := []string{"-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"}
	for _, at := range []string{module, dir} {
		git(t, at, "init", "-q", "-b", "main")
		if err := os.WriteFile(filepath.Join(at, "text"), []byte("x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		git(t, at, "add", "-A")
		git(t, at, append(as, "commit", "-q", "-m", "x")...)
	}
	git(t, dir, append(as, "submodule", "--quiet", "add", module, "third/lib")...)
	git(t, dir, "update-index", "--add", "--cacheinfo", "160000,1111111111111111111111111111111111111111,later")
	git(t, dir, append(as, "commit", "-q", "-m", "y")...)
	if err := os.Mkdir(filepath.Join(dir, "later"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What a replayed command leaves in its working folder never runs as the operator, who looks at it
// with git: it cannot change .git, and what it puts in the place of a submodule's is an error.
func TestS4AReplayDoesNotWriteWhatGitObeys(t *testing.T) {
	marks := t.TempDir()
	const evil = `git init -q . 2>/dev/null; git config -f .git/config core.fsmonitor "touch MARKS/ran; false"; git config -f .git/config core.hooksPath MARKS`
	for name, test := range map[string]struct {
		script string
		says   string // "" = the command is stopped from it
	}{
		"configuration": {`git config core.fsmonitor "touch MARKS/ran; false"; true`, ""},
		"a hook":        {`mkdir -p .git/hooks; printf '#!/bin/sh\ntouch MARKS/ran\n' >.git/hooks/post-checkout; chmod +x .git/hooks/post-checkout; true`, ""},
		"alternates":    {`mkdir objects; echo "$PWD/objects" >.git/objects/info/alternates; true`, ""},
		"another .git":  {`mv .git old && ` + evil + `; rm -rf .git; true`, ""},
		"a submodule's": {`mkdir .git/modules/third/lib/x; echo "gitdir: ../../evil" >third/lib/.git; mkdir evil; cd evil; ` + evil, ""},
		"a submodule's, by its folder": {
			`mv third moved; mkdir -p third/lib; cd third/lib; ` + evil, "third/lib/.git",
		},
		"one that was not there": {`cd later; ` + evil, "later/.git"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := work(t)
			before := read(t, filepath.Join(dir, ".git", "config"))
			o, out := newOptions(t, strings.ReplaceAll(test.script, "MARKS", marks))
			o.WorkDir, o.Lock = dir, &lockfile.Lock{}
			_, err := session.Replay(t.Context(), o)
			if test.says == "" && err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if test.says != "" && (errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), filepath.Join(dir, test.says)) || errs.HintOf(err) == "") {
				t.Errorf("%v (hint %q)\n%s", err, errs.HintOf(err), out)
			}
			if after := read(t, filepath.Join(dir, ".git", "config")); after != before {
				t.Errorf(".git/config is\n%s", after)
			}
			if test.says != "" { // what the hint says
				if err := os.RemoveAll(filepath.Join(dir, test.says)); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "git", "-c", "core.untrackedCache=false", "status", "--porcelain")
			cmd.Dir = dir
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("git status: %v\n%s", err, said)
			}
			if list, _ := os.ReadDir(marks); len(list) != 0 {
				t.Error("it ran as the operator")
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A person may say that a command writes there, and a repository without a work tree is no project.
func TestAReplayWritesWhatAPersonNames(t *testing.T) {
	dir := work(t)
	o, out := newOptions(t, "git config core.fsmonitor false && git log -1 --format=%s")
	o.Lock, o.WorkDir, o.Write = &lockfile.Lock{}, dir, []string{filepath.Join(dir, ".git")}
	if _, err := session.Replay(t.Context(), o); err != nil || strings.TrimSpace(out.String()) != "y" {
		t.Errorf("%v\n%s", err, out)
	}
	o.WorkDir, o.Write = filepath.Join(dir, ".git"), nil
	if _, err := session.Replay(t.Context(), o); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("in .git: %v", err)
	}
}
