package switchover

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/runtime"
)

// nothing is a runtime that starts nothing.
type nothing struct{}

func (nothing) DataPath(i runtime.Instance, name string) string { return i.Data[name] }

func (nothing) Start(context.Context, runtime.Instance) (runtime.Process, error) {
	return nil, os.ErrInvalid
}

func (nothing) Adopt(context.Context, runtime.Instance) (runtime.Process, bool) { return nil, false }

// A service sees nothing of the node but what is its own, and is never root unless it says so: applications
// have a user each. A task is of one release, and runs once.
func TestS17WhatAnInstanceIsGiven(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run it as root: services become somebody else")
	}
	n, err := node.Open(filepath.Join(t.TempDir(), "node"), node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	s := &services{node: n, runtimes: runtime.Set{"process": nothing{}}, fs: fsx.FS{}}
	app := func(name string) node.App {
		return node.App{App: name, Version: "r1.a", Release: digest.Of([]byte(name)), Programs: []node.Program{{Artifact: "node", File: "node"}}, Services: map[string]appfile.Service{
			"plain": {Artifact: "node"}, "named": {Artifact: "node", User: "61234"},
			"task": {Artifact: "node", Kind: appfile.Task, Restart: appfile.Restart{Policy: "always"}},
		}}
	}
	list, err := s.instances(&node.Generation{Number: 1, Apps: []node.App{app("wallet"), app("other")}})
	if err != nil || len(list) != 6 {
		t.Fatalf("%d services, %v", len(list), err)
	}
	users := map[string]bool{}
	for _, name := range []string{"wallet", "other"} {
		uid, err := n.UserOf(name)
		if err != nil || uid == 0 {
			t.Fatal(uid, err)
		}
		own := fmt.Sprintf("%d:%d", uid, uid)
		users[own] = true
		for service, want := range map[string]string{"plain": own, "task": own, "named": "61234"} {
			i := list[name+"."+service]
			if i.User != want || !slices.Equal(i.Hidden, []string{n.Dir()}) || i.Dir != filepath.Join(n.Dir(), "volumes", name) || len(i.Fellows) != 2 {
				t.Errorf("%s.%s: user %s (want %s), %+v", name, service, i.User, want, i)
			}
		}
		task := list[name+".task"]
		mark := taskVar + "=" + name + "@r1.a " + digest.Of([]byte(name)).String()
		if task.Spec.Restart.Policy != "never" || !slices.Contains(task.Env, mark) {
			t.Errorf("%s: %+v", task.Name, task)
		}
		if plain := list[name+".plain"]; strings.Contains(fmt.Sprint(plain.Env), taskVar) {
			t.Errorf("%s: %v", plain.Name, plain.Env)
		}
	}
	if len(users) != 2 {
		t.Errorf("two applications have one user: %v", users)
	}
}
