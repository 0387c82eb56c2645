package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/testkit/bins"
)

// A root file system, an image of it, a release and a volume come out the same when they are built again: by the verb in
// another folder, with another umask, language and time zone; and by a program that another Go compiled, more than a year later.
func TestAnotherGoOnAnotherDay(t *testing.T) {
	program, err := builder.Build(t.Context(), bins.Overland, "linux/amd64", "")
	must(t, err)
	text, err := os.ReadFile("/etc/os-release")
	must(t, err)
	_, codename, _ := strings.Cut(string(text), "VERSION_CODENAME=")
	codename, _, _ = strings.Cut(codename, "\n")

	dir := t.TempDir()
	repo := filepath.Join(dir, "repo")
	run := func(args ...string) []byte {
		t.Helper()
		var said strings.Builder
		c := exec.CommandContext(t.Context(), args[0], args[1:]...)
		c.Dir, c.Env, c.Stderr = repo, append(os.Environ(), "OVERLAND_HOME="+filepath.Join(dir, "home")), &said
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s%s", strings.Join(args, " "), err, out, &said)
		}
		return out
	}
	commit := func() {
		run("git", "add", ".")
		run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "a base")
	}
	must(t, os.Mkdir(repo, 0o755))
	run("git", "-c", "init.defaultBranch=main", "init", "-q")
	must(t, os.WriteFile(filepath.Join(repo, "overland.yaml"), fmt.Appendf(nil, `overland: 1
name: base
artifacts:
  root:
    rootfs: {from: debian/%s, packages: [tzdata], data-only: "yes", updates: none}
    platforms: [linux/amd64]
  picture:
    image: {base: root, files: {/etc/motd: ./overland.yaml}}
    platforms: [linux/amd64]
`, codename), 0o644))
	commit()
	run(program, "--quiet", "record", "--", program, "--quiet", "build")
	commit()
	run(program, "--quiet", "trust", "init")
	var released struct{ Release string }
	must(t, json.Unmarshal(run(program, "--quiet", "release", "--json"), &released))
	var rebuilt struct {
		Identical bool
		Artifacts []struct{ Name, Platform, Built string }
	}
	must(t, json.Unmarshal(run(program, "--quiet", "rebuild", released.Release, "--verify", "--json"), &rebuilt))
	if !rebuilt.Identical || len(rebuilt.Artifacts) != 2 {
		t.Errorf("%+v", rebuilt)
	}

	now, err := builder.Build(t.Context(), bins.Again, "linux/amd64", "")
	must(t, err)
	later, err := bins.Later(t.Context(), bins.Again, t.TempDir())
	must(t, err)
	var said [2]string
	for i, again := range []string{now, later} {
		var whose strings.Builder
		c := exec.CommandContext(t.Context(), again, repo, filepath.Join(dir, "home", "depot"), t.TempDir())
		c.Stderr = &whose
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", again, err, &whose)
		}
		said[i] = string(out)
		of, day, _ := strings.Cut(strings.TrimSpace(whose.String()), " ")
		at, err := time.Parse(time.DateOnly, day)
		must(t, err)
		if (of != runtime.Version()) != (i == 1) || (time.Until(at) > 300*24*time.Hour) != (i == 1) {
			t.Errorf("program %d is of %s, and it is %s", i, of, day)
		}
	}
	if diff := cmp.Diff(said[0], said[1]); diff != "" || strings.Count(said[0], "\n") != 5 {
		t.Errorf("%s(-this Go +another, later):\n%s", said[0], diff)
	}
	for _, a := range rebuilt.Artifacts {
		if line := fmt.Sprintln(a.Name, a.Platform, a.Built); !strings.Contains(said[0], line) {
			t.Errorf("%sis missing in\n%s", line, said[0])
		}
	}
}
