package nodecli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overland/internal/agent/host"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/testkit/badlink"
	"overland/internal/testkit/publisher"
	"overland/internal/volume"
)

// tmpfs mounts a file system for one test.
func tmpfs(t *testing.T, at string, flags uintptr) {
	t.Helper()
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", at, "tmpfs", flags, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(at, syscall.MNT_DETACH) })
}

// said runs args with nobody at the terminal and returns the exit code and all that was printed.
func said(ctx context.Context, args ...string) (int, string) {
	var out bytes.Buffer
	code := Run(ctx, strings.NewReader(""), &out, &out, args)
	return code, out.String()
}

func TestAFolderMountedNoExecIsRefusedBeforeAnythingIsMade(t *testing.T) {
	dir := t.TempDir()
	tmpfs(t, dir, syscall.MS_NOEXEC)
	empty := filepath.Join(t.TempDir(), "x.volume")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "lib", "overland")
	code, text := said(t.Context(), "install", "--volume", empty, "--state", state)
	if code != errs.Denied.Exit() || !strings.Contains(text, "noexec") || !strings.Contains(text, "remount,exec "+dir) {
		t.Errorf("exit code %d: %s", code, text)
	}
	if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
}

func TestPurgeRoundAMount(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	disk := filepath.Join(dir, "volumes", "wallet", "data")
	for _, name := range []string{"volumes/wallet/other/file", "log/wallet.node.log"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tmpfs(t, disk, 0)
	kept := filepath.Join(disk, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := said(t.Context(), "uninstall", "--state", dir); code != 0 || !strings.Contains(text, "rm -r "+dir) {
		t.Errorf("without --purge: exit code %d, and it does not say how to remove the rest: %s", code, text)
	}
	code, text := said(t.Context(), "uninstall", "--purge", "--yes", "--state", dir)
	if code != errs.Partial.Exit() || !strings.Contains(text, disk+": something is mounted there") || !strings.Contains(text, "unmount") {
		t.Errorf("exit code %d: %s", code, text)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{"volumes/wallet/other", "log", "gen", "agent", "state.a"} {
		if _, err := os.Lstat(filepath.Join(dir, gone)); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	if err := syscall.Unmount(disk, 0); err != nil {
		t.Fatal(err)
	}
	if code, text := said(t.Context(), "uninstall", "--purge", "--yes", "--state", dir); code != 0 {
		t.Errorf("exit code %d: %s", code, text)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
}

func TestCtrlCSaysWhatGoesOn(t *testing.T) {
	dir := t.TempDir()
	agentSaying(t, dir, nodeapi.Response{Status: &nodeapi.Status{
		Running: true, Trial: &nodeapi.Trial{Generation: 7}, Services: []nodeapi.Service{{Name: "wallet.node", State: "starting"}},
	}})
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	tellGoesOn(ctx, env{err: &out}, dir)
	if out.Len() > 0 {
		t.Errorf("nobody ended it, and it says %q", out.String())
	}
	cancel()
	tellGoesOn(ctx, env{err: &out}, dir)
	for _, want := range []string{"generation 7", "status", "rollback"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it says %q, want %q in it", out.String(), want)
		}
	}
}

func TestSeveralSites(t *testing.T) {
	origin := badlink.NewOrigin(nil)
	defer origin.Close()
	origin.AddTrust("timestamp.json", []byte("{}"))
	down, up := strings.Replace(origin.URL("127.0.0.1:1"), "localhost", "127.0.0.1", 1), origin.URL(origin.Addr())
	c, _, err := parse(verbs()[0], []string{"--site", down, "--site", up})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.installOptions().Sites, " "); got != down+" "+up {
		t.Errorf("kept: %s", got)
	}
	if name, err := c.origin(); err != nil || name != down {
		t.Errorf("from %q, %v", name, err)
	}
	var out bytes.Buffer
	if got := answering(t.Context(), env{err: &out}, c.sites); got != up || !strings.Contains(out.String(), "127.0.0.1:1") {
		t.Errorf("%q is asked, and it says %q", got, out.String())
	}
	if got := answering(t.Context(), env{err: &out}, []string{down}); got != down {
		t.Errorf("none answers: %q", got)
	}
}

// A file whose signed metadata names a release that is not in it was changed on its way.
func TestVerifyOfAFileThatLacksARelease(t *testing.T) {
	dir := t.TempDir()
	o := publisher.New(t, dir, nil)
	quick := map[string]appfile.Service{"node": {Artifact: "node", Runtime: "process"}}
	for _, app := range []string{"tea", "wallet"} {
		o.Release(app, "r1.aaaaaaaaaaaa", map[string]string{"node": app}, quick)
		o.Promote("live", app, "r1.aaaaaaaaaaaa")
	}
	o.Promote("other", "wallet", "r1.aaaaaaaaaaaa")
	c, other := o.Content("live"), o.Content("other")
	list, err := store.ParseIndex(other.Index)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		list[i].Annotations[release.AnnotationChannel] = "live"
	}
	c.Blobs = other.Blobs
	if c.Index, err = store.MarshalIndex(list); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x.volume")
	if _, err := volume.Seal(t.Context(), path, c, volume.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"verify", path, "--root", o.Root()},
		{"install", "--volume", path, "--root", o.Root(), "--channel", "live", "--service", "none"},
	} {
		code, text := said(t.Context(), append(args, "--state", filepath.Join(dir, "node"))...)
		if code != errs.Untrusted.Exit() || !strings.Contains(text, "does not hold") {
			t.Errorf("%s: exit code %d: %s", args[0], code, text)
		}
	}
}

// What came in place of a volume is named, and never taken.
func TestAFileThatIsNoVolume(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ text, want string }{
		"empty": {"", "0 bytes"}, "a page": {"<!DOCTYPE html>\n<title>Log in</title>", "hint: a login page"},
		"a long page": {"<html>" + strings.Repeat("x", 20<<10), "hint: a login page"}, "cut": {"#!/bin/sh\n# overland volume 3\n", "cut short"},
	} {
		path := filepath.Join(dir, "x.volume")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"install", "verify", "list", "inspect", "extract"} {
			code, text := said(t.Context(), verb, "--volume", path, "--state", filepath.Join(dir, "node"))
			if code != errs.Untrusted.Exit() || !strings.Contains(text, tt.want) {
				t.Errorf("%s of %s: exit code %d: %s", verb, name, code, text)
			}
		}
	}
}

func TestNoStartExcludesForeground(t *testing.T) {
	if code, text := said(t.Context(), "install", "--no-start", "--foreground", "--volume", "x"); code != errs.Invalid.Exit() || !strings.Contains(text, "exclude") {
		t.Errorf("exit code %d: %s", code, text)
	}
}

func TestAGoodLinkToAProgramThatIsGone(t *testing.T) {
	s := host.Slots{Dir: t.TempDir()}
	if err := placeProgram(t.Context(), env{err: &bytes.Buffer{}}, s); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.GoodPath()); err != nil {
		t.Fatal(err)
	}
	if err := placeProgram(t.Context(), env{err: &bytes.Buffer{}}, s); err != nil || !s.Placed() {
		t.Errorf("the next install does not mend it: %v", err)
	}
}
