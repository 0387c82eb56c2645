package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"overland/internal/appfile"
	"overland/internal/confine"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// What a service sees: homes and hidden folders are empty ones in memory, temporary folders are its own and
// bounded, and its program is not to be written.
func TestS17WhatAServiceSees(t *testing.T) {
	node, program := t.TempDir(), filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	list, err := mounts(runtime.Instance{Program: program, Dir: "/", Hidden: []string{node}})
	if err != nil {
		t.Fatal(err)
	}
	at := func(target string) confine.Mount {
		i := slices.IndexFunc(list, func(m confine.Mount) bool { return m.Target == target })
		if i < 0 {
			t.Fatalf("no %s in %+v", target, list)
		}
		return list[i]
	}
	for _, dir := range []string{"/home", "/root", "/run", node} {
		wanted, ok := folder(dir)
		if ok && at(wanted).Kind != confine.Temp {
			t.Errorf("%s is shown", dir)
		}
	}
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		if wanted, ok := folder(dir); ok && wanted == dir && (at(dir).Kind != confine.Temp || at(dir).Size <= 0) {
			t.Errorf("%s: %+v", dir, at(dir))
		}
	}
	if m := at(program); m.Kind != confine.Bind || m.Writable {
		t.Errorf("the program: %+v", m)
	}
}

// A folder is within another by whole names.
func TestS17WritableBesideTheNodesFolder(t *testing.T) {
	node := filepath.Join(t.TempDir(), "node")
	beside := node + "-data"
	if err := errors.Join(os.Mkdir(node, 0o700), os.Mkdir(beside, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := apart(beside, []string{node}); err != nil {
		t.Error(err)
	}
	if err := apart(node, []string{node}); errs.KindOf(err) != errs.Denied {
		t.Errorf("the folder itself: %v", err)
	}
}

// What a machine cannot do is left out one by one, and nothing for a service that insists.
func TestS17WhatGivesWay(t *testing.T) {
	filters := &confine.UnableError{What: confine.SystemCallFilters, Remedy: "r", Err: errors.New("e")}
	other := &confine.UnableError{What: "namespaces", Remedy: "r", Err: errors.New("e")}
	var insists runtime.Instance
	insists.Spec.Isolation = appfile.Required
	for name, c := range map[string]struct {
		s          confine.Spec
		i          runtime.Instance
		err        error
		less, bare bool
		off        bool
	}{
		"it insists":               {i: insists, err: other},
		"no filters":               {err: filters, less: true, off: true},
		"no namespaces":            {err: other, less: true, bare: true},
		"bare already":             {s: confine.Spec{Bare: true}, err: other, bare: true},
		"something else was amiss": {err: errors.New("x")},
	} {
		less, missing := yield(&c.s, c.i, c.err)
		if less != c.less || (missing != "") != less || c.s.Bare != c.bare || (c.s.Filter == confine.FilterOff) != c.off {
			t.Errorf("%s: %v %q %+v", name, less, missing, c.s)
		}
	}
}

// Where devices cannot be kept apart, who may make device files does not run, nor who asks for devices.
func TestS17DevicesThatCannotBeKeptApart(t *testing.T) {
	for name, ask := range map[string]func(r *appfile.Rights){
		"mknod":   func(r *appfile.Rights) { r.Capabilities = []string{"mknod"} },
		"devices": func(r *appfile.Rights) { r.Devices = []string{"/dev/null"} },
	} {
		var c command // without a control group
		ask(&c.i.Spec.Rights)
		if err := c.devices(new(record)); errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	var rec record
	if err := new(command).devices(&rec); err != nil || len(rec.Confined.Missing) != 1 {
		t.Errorf("%v, %q; want it said", err, rec.Confined.Missing)
	}
}

// A run that was found by its control group is of an instance whose digest begins as the group's name says.
func TestS5WhichInstanceAGroupRuns(t *testing.T) {
	i := runtime.Instance{Name: "wallet", Program: "/bin/true"}
	mine := i.Digest()
	short := func(d digest.Digest) digest.Digest { return d[:len("sha256:")+digits] }
	for name, c := range map[string]struct {
		of   digest.Digest
		want bool
	}{
		"mine": {mine, true}, "mine, short": {short(mine), true}, "another, short": {short(digest.Of(nil)), false},
		"another": {digest.Of(nil), false}, "shorter": {mine[:len("sha256:")+1], false}, "nothing": {"", false},
	} {
		if got := (record{Instance: c.of}).runs(i); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if groupPrefix("/a/wallet.json") == groupPrefix("/b/wallet.json") {
		t.Error("two nodes' services share the names of their groups")
	}
}

// Who may be a service's process: its user with its group, or our own with ours.
func TestS5WhoOwnsAProcess(t *testing.T) {
	uid, gid, err := owner(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !(record{UID: uid + 1, GID: gid + 1}).owns(os.Getpid()) {
		t.Error("our own process, which a keeper is before it gives its rights up, is a stranger")
	}
	pid := sleeper(t)
	if !(record{UID: 23456, GID: 23457}).owns(pid) || (record{UID: 23456, GID: 1}).owns(pid) || (record{UID: 1, GID: 23457}).owns(pid) {
		t.Error("a process is owned by its user and its group, and by no half of them")
	}
}

// A program that runs as its owner is that one's, whoever started it.
func TestS5ASetUserIDProgramIsItsOwners(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(sleep)
	path := filepath.Join(t.TempDir(), "sleep")
	if err := errors.Join(err, os.WriteFile(path, b, 0o755), os.Chown(path, 23456, 23457), os.Chmod(path, 0o755|os.ModeSetuid|os.ModeSetgid)); err != nil { //nolint:gosec // that is what it is about
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "1000")
	if err := cmd.Start(); err != nil { // which has started the program when it returns
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if uid, gid, err := owner(cmd.Process.Pid); uid != 23456 || gid != 23457 || err != nil {
		t.Errorf("it is of %d:%d, %v", uid, gid, err)
	}
}

// A process that has got the number of the recorded one is neither signalled nor watched in its place.
func TestS5AReusedNumberIsLeftAlone(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s, err := procfs.Read(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	another, itself := record{PID: s.PID, Start: s.Start + 1}, record{PID: s.PID, Start: s.Start}
	if fd := openPidfd(another); fd != nil {
		t.Error("it is watched")
		fd.Close()
	}
	(&proc{rec: another}).signalGroup(syscall.SIGKILL)
	(&proc{rec: itself}).signalGroup(syscall.SIGTERM)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", err)
	}
}

// sleeper returns a process of the user 23456 and the group 23457.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 23456, Gid: 23457}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}
