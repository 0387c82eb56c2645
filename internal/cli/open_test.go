package cli_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/cli"
	"overland/internal/errs"
)

// openable seals live.volume with everything that the build of the current folder needs: a script, for
// whose build no compiler is fetched and unpacked. inputs.txtar opens what a compiler made.
func openable(t *testing.T, env map[string]string, must func(...string)) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	t.Setenv(asOverland, "1")
	committed(t, map[string]string{
		"build.sh":      "mkdir -p out && printf '#!/bin/sh\n' >out/wallet\n",
		"overland.yaml": "overland: 1\nname: wallet\nartifacts:\n  wallet:\n    command: {run: [sh, build.sh], output: out/wallet}\n    platforms: [linux/amd64]\n",
	})
	must("seal", "--with-inputs", "-o", "live.volume")
}

// committed commits files in the current folder.
func committed(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"add", "-A"}, {"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "more"}} {
		if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
}

// pictured makes the application of the current folder one with an image.
func pictured(t *testing.T) {
	t.Helper()
	committed(t, map[string]string{
		"motd":          "hello\n",
		"overland.yaml": "overland: 1\nname: wallet\nartifacts:\n  wallet-image:\n    image: {args: {NETWORK: main}, env: {NETWORK: '{{.Args.NETWORK}}'}, files: {/etc/motd: ./motd}}\n",
	})
}

// packaged commits an application that is a package, in the current folder.
func packaged(t *testing.T) {
	t.Helper()
	committed(t, map[string]string{
		"motd": "hello\n",
		"overland.yaml": "overland: 1\nname: wallet\nartifacts:\n  wallet-deb:\n    package: {format: deb, maintainer: A <a@localhost>, description: a wallet, files: {/usr/share/wallet: ./motd}}\n" +
			"    platforms: [linux/amd64]\n",
	})
}

// headVersion returns the version of the commit in the current folder.
func headVersion(t *testing.T) string {
	t.Helper()
	var words []string
	for _, args := range [][]string{{"rev-list", "--count", "HEAD"}, {"rev-parse", "--short=12", "HEAD"}} {
		out, err := exec.CommandContext(t.Context(), "git", args...).Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		words = append(words, strings.TrimSpace(string(out)))
	}
	return "r" + strings.Join(words, ".")
}

// An interrupted run leaves nothing behind, and what a killed one left is gone after the next.
func TestOpenLeavesNothingBehind(t *testing.T) {
	site, versions := newSite(t)
	env := siteEnv(site)
	file := filepath.Join(site, "wallet", "live.volume")
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dead := filepath.Join(tmp, "overland-open-wallet-"+versions[1], "source", "deep")
	if err := os.MkdirAll(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dead), 0o500); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := &firstWrite{done: cancel}
	code := cli.Run(ctx, cli.Env{
		Args:  []string{"open", file, "--", "sh", "-c", "test -e main.go && test ! -e deep && echo begun; exec sleep 1000"},
		Stdin: strings.NewReader(""), Stdout: begun, Stderr: os.Stderr,
		Getenv: func(name string) string { return env[name] },
	})
	if code != errs.Cancelled.Exit() || begun.String() != "begun\n" {
		t.Errorf("exit code %d, printed %q", code, begun.String())
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
