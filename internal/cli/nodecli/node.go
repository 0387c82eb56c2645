package nodecli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"overland/internal/agent"
	"overland/internal/agent/control"
	"overland/internal/agent/host"
	"overland/internal/agent/node"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/printer"
	"overland/internal/runtime"
)

func noVerb(name string) error {
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	err := errs.Errorf(errs.Invalid, "no verb %.40q", name)
	if near := printer.Nearest(name, names); near != "" {
		return errs.Hint(err, "did you mean %s %s?", Program, near)
	}
	return errs.Hint(err, "%s help", Program)
}

func status(ctx context.Context, e env, c *call, _ []string) (int, error) {
	s, err := nodeStatus(ctx, c.dir, answerTime)
	if err != nil {
		return 0, err
	}
	v := host.Slots{Dir: c.dir}.Versions()
	s.Program = &v
	if c.json {
		err = writeJSON(e.out, s)
	} else {
		printStatus(e, s, v)
	}
	switch {
	case err != nil:
		return 0, err
	case !s.Running:
		return errs.Unavailable.Exit(), nil
	case !allUp(s.Services):
		return errs.Partial.Exit(), nil
	}
	return 0, nil
}

// answerTime is how long an agent may take to say how it is: it needs no disk for that.
const answerTime = 10 * time.Second

// nodeStatus asks the agent that runs, for at most limit, else the disk.
func nodeStatus(ctx context.Context, dir string, limit time.Duration) (nodeapi.Status, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := control.Call(bounded, dir, nodeapi.Request{Op: nodeapi.OpStatus})
	if err == nil && r.Status != nil {
		return *r.Status, nil
	}
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		s, err := agent.Peek(dir)
		s.Problems = append(s.Problems, fmt.Sprintf("the agent does not answer within %s; this is what the disk says. Its supervisor starts it again when it hangs", limit))
		return s, err
	}
	if err != nil && errs.KindOf(err) != errs.Unavailable {
		return nodeapi.Status{}, err
	}
	s, err := agent.Peek(dir)
	if why := (host.Slots{Dir: dir}).NotedFailure(); why != "" && err == nil {
		s.Problems = append(s.Problems, "the agent does not start: "+why)
	}
	if why := host.Executable(dir); why != nil && err == nil {
		s.Problems = append(s.Problems, why.Error()+": "+errs.HintOf(why))
	}
	return s, err
}

func allUp(list []nodeapi.Service) bool {
	for _, s := range list {
		if s.State != "running" && !s.Done && s.Kind == "" {
			return false
		}
	}
	return true
}

func printStatus(e env, s nodeapi.Status, v nodeapi.AgentVersions) {
	// Not text/tabwriter, which costs the agent 10 KB: no label is longer than "generation".
	row := func(label, format string, args ...any) {
		printer.Fprintf(e.out, "%-12s"+format, append([]any{label}, args...)...)
	}
	running := "not running"
	if s.Running {
		running = fmt.Sprintf("running, process %d", s.PID)
	}
	row("agent", "%s, %s (%s)\n", running, s.Agent, v.Current)
	if v.Trying != "" {
		row("", "trying version %s\n", v.Trying)
	}
	for _, r := range v.Refused {
		row("", "refused version %s: %s\n", r.Slot, r.Reason)
	}
	row("node", "%s, %s\n", s.Platform, s.Dir)
	row("channel", "%s\n", orNone(s.Channel))
	for _, site := range s.Sites {
		row("site", "%s\n", site)
	}
	for _, dir := range s.Watch {
		row("watches", "%s\n", dir)
	}
	row("generation", "%d (good: %d)\n", s.Generation, s.Good)
	if s.Trial != nil {
		row("", "trying %d, %d tries left\n", s.Trial.Generation, s.Trial.TriesLeft)
	}
	for _, a := range s.Apps {
		row("app", "%s@%s\n", a.App, a.Version)
		for _, name := range a.Commands {
			row("", "command %s/bin/%s\n", s.Dir, name)
		}
	}
	for _, svc := range s.Services {
		row(cmp.Or(svc.Kind, "service"), "%s %s", svc.Name, svc.State)
		if svc.PID != 0 {
			printer.Fprintf(e.out, ", process %d", svc.PID)
		}
		if !svc.Since.IsZero() {
			printer.Fprintf(e.out, ", since %s", svc.Since.UTC().Format(time.RFC3339))
		}
		switch {
		case svc.Restarts > 0:
			printer.Fprintf(e.out, ", %d restarts (last: %s)", svc.Restarts, svc.LastExit)
		case svc.LastExit != "":
			printer.Fprintf(e.out, ", %s", svc.LastExit)
		}
		printer.Fprintf(e.out, "\n")
		if len(svc.Ports) > 0 {
			row("", "port %s\n", strings.Join(svc.Ports, ", "))
		}
		if svc.Error != "" {
			row("", "%s\n", svc.Error)
		}
		if svc.User != "" {
			row("", "%s\n", confinedLine(svc))
		}
		for _, m := range svc.Confined.Missing {
			row("", "less confined: %s\n", m)
		}
	}
	switch {
	case s.Freshness.SignedAt.IsZero():
	case s.Freshness.Known:
		row("signed", "%s, expires %s\n", stamp(s.Freshness.SignedAt), stamp(s.Freshness.Expires))
	default:
		row("signed", "%s, freshness unknown (taken offline)\n", stamp(s.Freshness.SignedAt))
	}
	if s.Last != nil {
		row("last look", "%s: %s %s%s\n", stamp(s.Last.At), s.Last.Source, s.Last.Outcome, s.Last.Error)
	}
	for _, r := range s.Returned {
		row("fallback", "%s stands on %s: %s was undone by one signer, key %s\n", r.App, r.Version, r.Undone, strings.Join(r.By, ", "))
	}
	for _, r := range s.Refused {
		row("refused", "generation %d: %s\n", r.Generation, r.Reason)
	}
	for _, p := range s.Problems {
		row("problem", "%s\n", p)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func history(ctx context.Context, e env, c *call, _ []string) (int, error) {
	var events []nodeapi.Event
	r, err := control.Call(ctx, c.dir, nodeapi.Request{Op: nodeapi.OpHistory})
	if err == nil {
		events = r.Events
	} else if errs.KindOf(err) != errs.Unavailable {
		return 0, err
	} else if events, err = agent.PeekHistory(c.dir); err != nil {
		return 0, err
	}
	if c.json {
		return 0, writeJSON(e.out, events)
	}
	for _, ev := range events {
		printer.Fprintf(e.out, "%s  %-9s generation %d", stamp(ev.At), ev.What, ev.Generation)
		if len(ev.Apps) > 0 {
			printer.Fprintf(e.out, "  %s", strings.Join(ev.Apps, " "))
		}
		if ev.Reason != "" {
			printer.Fprintf(e.out, "  %s", ev.Reason)
		}
		printer.Fprintf(e.out, "\n")
		for _, line := range ev.Log {
			printer.Fprintf(e.out, "    | %s\n", line)
		}
	}
	return 0, nil
}

func rollback(ctx context.Context, e env, c *call, args []string) (int, error) {
	to := 0
	if len(args) == 1 {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 {
			return 0, errs.Errorf(errs.Invalid, "rollback %s: a generation is a number, as in status and history", args[0])
		}
		to = n
	}
	defer tellGoesOn(ctx, e, c.dir)
	r, err := control.CallProgress(ctx, c.dir, nodeapi.Request{Op: nodeapi.OpRollback, Generation: to}, e.progress())
	if r.Report == nil || err != nil && r.Report.Outcome == "" {
		if errs.KindOf(err) == errs.Unavailable {
			err = errs.Hint(err, "start the agent: %s supervise, or the service %s", Program, host.ServiceName)
		}
		return 0, err
	}
	return finish(e, c, *r.Report, err)
}

func logs(ctx context.Context, e env, c *call, args []string) (int, error) {
	if c.lines < 0 || c.lines > 10000 {
		return 0, errs.Errorf(errs.Invalid, "logs: -n %d: between 0 and 10000", c.lines)
	}
	s, err := nodeStatus(ctx, c.dir, answerTime)
	if err != nil {
		return 0, err
	}
	path := ""
	var names []string
	for _, svc := range s.Services {
		names = append(names, svc.Name)
		if svc.Name == args[0] {
			path = svc.Log
		}
	}
	// Those of a version that was taken back are told of too: that is when they are read.
	kept, err := os.ReadDir(filepath.Dir(node.LogPath(c.dir, "")))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	for _, file := range kept {
		name, isLog := strings.CutSuffix(file.Name(), ".log")
		if !isLog || !strings.Contains(name, ".") { // the agent's own
			continue
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		if path == "" && name == args[0] {
			path = node.LogPath(c.dir, name)
		}
	}
	if path == "" {
		return 0, errs.Hint(errs.Errorf(errs.NotFound, "no service %s on this node", args[0]), "there are: %s", orNone(strings.Join(names, ", ")))
	}
	lines, err := runtime.Tail(path, c.lines)
	if err != nil {
		return 0, fmt.Errorf("log of %s: %w", args[0], err)
	}
	out := e.out
	if e.screen && !c.raw {
		clean := printer.To(e.out)
		defer clean.Close()
		out = clean
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return 0, err
		}
	}
	if !c.follow {
		return 0, nil
	}
	err = runtime.Follow(ctx, path, -1, out)
	if ctx.Err() != nil {
		err = nil // Ctrl-C is how following ends
	}
	return 0, err
}

func uninstall(ctx context.Context, e env, c *call, _ []string) (int, error) {
	if _, err := os.Stat(c.dir); errors.Is(err, os.ErrNotExist) {
		e.say("nothing is installed in %s", c.dir)
		return 0, nil
	}
	if c.purge && !c.yes {
		if err := confirmPurge(e, c.dir); err != nil {
			return 0, err
		}
	}
	h := &host.Host{Dir: c.dir, Kind: c.kind, Say: e.say}
	if err := h.Stop(ctx); err != nil {
		return 0, err
	}
	o, err := agentOptions(host.Slots{Dir: c.dir})
	if err != nil {
		return 0, err
	}
	a, err := agent.Open(c.dir, o)
	if err != nil {
		return 0, err
	}
	left, err := a.Uninstall(ctx, c.purge)
	err = errors.Join(err, h.Uninstall(ctx)) // what starts at boot goes, whatever is left
	if err != nil {
		return 0, err
	}
	if c.purge {
		_ = os.Remove(c.dir) // not empty when something that is not ours is in it: said below
	}
	if entries, err := os.ReadDir(c.dir); err == nil && len(entries) > 0 {
		var kept []string
		for _, entry := range entries {
			kept = append(kept, entry.Name())
		}
		e.say("kept in %s: %s", c.dir, strings.Join(kept, ", "))
		if !c.purge {
			e.say("to remove that too, when nothing is mounted there: rm -r %s", c.dir)
		}
	}
	fmt.Fprintln(e.out, "uninstalled")
	return 0, notRemoved(c.dir, left)
}

// notRemoved returns the error (Partial) of what uninstall could not remove; nil when there is nothing.
func notRemoved(dir string, left []fsx.Left) error {
	const most = 10
	if len(left) == 0 {
		return nil
	}
	var lines []string
	hint := "mend that, then"
	for _, l := range left[:min(most, len(left))] {
		lines = append(lines, fmt.Sprintf("%s: %v", l.Path, l.Err))
		if errors.Is(l.Err, fsx.ErrMount) {
			hint = "unmount it, then"
		}
	}
	if len(left) > most {
		lines = append(lines, fmt.Sprintf("and %d more", len(left)-most))
	}
	return errs.Hint(errs.Errorf(errs.Partial, "uninstalled, but for what could not be removed: %s", strings.Join(lines, "; ")), "%s: rm -r %s", hint, dir)
}

// confirmPurge says what is lost and asks.
func confirmPurge(e env, dir string) error {
	folders, _ := filepath.Glob(filepath.Join(dir, "volumes", "*", "*"))
	e.say("--purge removes the state, the logs and this data of services in %s:", dir)
	for _, v := range folders {
		e.say("  %s", v)
	}
	if len(folders) == 0 {
		e.say("  (none)")
	}
	if !e.terminal {
		return errs.Hint(errs.Errorf(errs.Invalid, "uninstall --purge: nobody is here to confirm"), "add --yes")
	}
	fmt.Fprint(e.err, "Type yes to remove them: ")
	if answer, err := e.ask(); err != nil || answer != "yes" {
		return errs.Errorf(errs.Cancelled, "uninstall --purge: not confirmed: nothing was removed")
	}
	return nil
}

// confinedLine says as whom a service runs and what it is kept from.
func confinedLine(svc nodeapi.Service) string {
	c := svc.Confined
	text := "user " + svc.User
	switch {
	case c.Apart && c.Filter:
		text += ", confined"
	case c.Apart:
		text += ", confined, without a system-call filter"
	case c.Filter:
		text += ", system calls filtered"
	default:
		text += ", not confined"
	}
	if len(c.Asked) > 0 {
		text += "; asks for " + strings.Join(c.Asked, ", ")
	}
	return text
}
