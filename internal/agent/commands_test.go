package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/agent"
	"overland/internal/nodeapi"
)

// command returns what DIR/bin/name leads to, "" when it leads nowhere.
func (w *world) command(name string) string {
	b, _ := os.ReadFile(filepath.Join(w.dir, "bin", name))
	return string(b)
}

// commands releases and promotes app@version with commands, and installs the channel.
func (w *world) commands(app, version, service, program string, commands ...string) nodeapi.Report {
	w.t.Helper()
	w.Commands = map[string]string{}
	for _, name := range commands {
		w.Commands[name] = "cli"
	}
	w.Release(app, version, map[string]string{"node": service, "cli": program}, services(quick))
	w.Promote("live", app, version)
	r, _ := w.install(w.volume(version), nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	return r
}

// A command leads to the program of the generation that runs: it goes with a switch, comes back with a
// rollback, and ends with the node.
func TestCommandsSwitchWithTheirGeneration(t *testing.T) {
	w := newWorld(t)
	if r := w.commands("wallet", v1, "up one", "cli one", "tool", "other"); r.Outcome != nodeapi.Installed || w.command("tool") != "cli one" || w.command("other") != "cli one" {
		t.Fatalf("installed: %+v, tool is %q", r, w.command("tool"))
	}
	if info, err := os.Stat(filepath.Join(w.dir, "bin", "tool")); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("a person cannot run it: %v, %v", info, err)
	}
	if w.commands("wallet", v2, "up two", "cli two", "tool"); w.command("tool") != "cli two" || w.command("other") != "" {
		t.Errorf("upgraded: %q, and what it has no more: %q", w.command("tool"), w.command("other"))
	}
	if r := w.commands("wallet", v3, "crash three", "cli three", "tool"); r.Outcome != nodeapi.RolledBack || w.command("tool") != "cli two" {
		t.Errorf("a version that fails: %s, tool is %q", r.Outcome, w.command("tool"))
	}
	w.running(func(a *agent.Agent) {
		if apps := a.Status().Apps; len(apps) != 1 || strings.Join(apps[0].Commands, " ") != "tool" {
			t.Errorf("status: %+v", apps)
		}
		if _, err := a.Rollback(t.Context(), 0); err != nil || w.command("tool") != "cli one" || w.command("other") != "cli one" {
			t.Errorf("rolled back: %v, tool is %q", err, w.command("tool"))
		}
	})
	a := w.open()
	mustUninstall(t, a, false)
	if _, err := os.Lstat(filepath.Join(w.dir, "bin")); err == nil {
		t.Error("DIR/bin is there after uninstall")
	}
}

// Of two applications with one command, the one that has it here keeps it.
func TestTwoApplicationsWithOneCommand(t *testing.T) {
	w := newWorld(t)
	w.commands("wallet", v1, "up one", "of wallet", "tool")
	r := w.commands("chat", v2, "up two", "of chat", "tool")
	const why = "chat is not installed: command tool of application chat is one of wallet already"
	if len(r.Refused) != 1 || r.Refused[0] != why || w.command("tool") != "of wallet" {
		t.Errorf("a newcomer: %+v; tool is %q", r, w.command("tool"))
	}
	if r = w.commands("chat", v3, "up three", "of chat", "chat-tool"); len(r.Refused) != 0 || w.command("chat-tool") != "of chat" || w.command("tool") != "of wallet" {
		t.Errorf("under a name of its own: %+v", r)
	}
	r = w.commands("wallet", "r4.dddddddddddd", "up four", "of wallet", "tool", "chat-tool")
	if len(r.Refused) != 1 || !strings.HasPrefix(r.Refused[0], "wallet stays at "+v1+": command chat-tool") || w.command("chat-tool") != "of chat" {
		t.Errorf("one that wants another's besides: %+v", r)
	}
}

// What a person put there is left alone, and the node says so.
func TestAFolderOfAPersonsInTheWayOfCommands(t *testing.T) {
	w := newWorld(t)
	own := filepath.Join(w.dir, "bin", "tool")
	must(t, os.MkdirAll(filepath.Dir(own), 0o755))
	must(t, os.WriteFile(own, []byte("a person's"), 0o755))
	if r := w.commands("wallet", v1, "up one", "cli one", "tool"); r.Outcome != nodeapi.Installed || w.command("tool") != "a person's" {
		t.Fatalf("%+v, tool is %q", r, w.command("tool"))
	}
	w.running(func(a *agent.Agent) {
		if p := strings.Join(a.Status().Problems, "\n"); !strings.Contains(p, "no commands in "+filepath.Join(w.dir, "bin")) {
			t.Errorf("problems: %q", p)
		}
	})
	a := w.open()
	mustUninstall(t, a, false)
	if w.command("tool") != "a person's" {
		t.Error("uninstall removed what a person put there")
	}
}
