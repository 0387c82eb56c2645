package nodecli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"overland/internal/agent"
	"overland/internal/agent/control"
	"overland/internal/agent/follow"
	"overland/internal/agent/host"
	"overland/internal/agent/stage"
	"overland/internal/digest"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/nodeapi"
)

// outcomeTimeout bounds the wait for the supervised agent to prove an
// installation: longer than any self-test may take.
const outcomeTimeout = 3 * time.Hour

// startTimeout bounds the wait for a supervisor and its agent to appear.
const startTimeout = 30 * time.Second

// origin returns what the flags name as the source, and whether the node follows it from now on.
func (c *call) origin() (string, error) {
	n := 0
	name := ""
	for _, s := range []string{c.volume, c.source, strings.Join(c.sites, " ")} {
		if s != "" {
			n++
			name = s
		}
	}
	if n == 0 {
		return "", errs.Hint(errs.Errorf(errs.Invalid, "install: from where?"),
			"sh FILE install, or --volume FILE, --dir-source DIR or --site URL")
	}
	if n > 1 {
		return "", errs.Errorf(errs.Invalid, "install: only one of --volume, --dir-source and --site")
	}
	if len(c.sites) > 0 {
		name = c.sites[0]
	}
	return name, nil
}

func (c *call) installOptions() nodeapi.InstallOptions {
	o := nodeapi.InstallOptions{Channel: c.channel, Offline: c.offline, Retry: c.retry, Watch: c.watch}
	o.Sites = c.sites
	if c.source != "" {
		o.Watch = append(o.Watch, c.source)
	}
	return o
}

func install(ctx context.Context, e env, c *call, _ []string) (int, error) {
	defer removeUnpacked()
	name, err := c.origin()
	if err != nil {
		return 0, err
	}
	opts := c.installOptions()
	if err := host.Executable(c.dir); err != nil {
		return 0, err
	}
	if len(c.sites) > 1 {
		name = answering(ctx, e, c.sites)
	}
	src, closeSrc, err := follow.OpenSource(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = closeSrc() }()
	defer tellGoesOn(ctx, e, c.dir)
	if opts.Root, err = chooseRoot(ctx, e, c, src); err != nil {
		return 0, err
	}
	h := &host.Host{Dir: c.dir, Kind: c.kind, Say: e.say}
	if opts.Channel, err = chooseChannel(e, c, src); err != nil {
		return serveInstead(ctx, e, c, h, err)
	}
	var report nodeapi.Report
	supervised := h.Running(ctx)
	running := supervised || answers(ctx, c.dir)
	if running && c.noStart {
		return 0, errs.Hint(errs.Errorf(errs.Invalid, "install --no-start: an agent runs here, in %s", c.dir), "leave out --no-start, or name the image's own folder: --state DIR")
	}
	if running {
		report, err = installRunning(ctx, e, c, name, opts)
	} else {
		report, err = installFresh(ctx, e, c, src, opts)
	}
	if err != nil && errs.KindOf(err) != errs.Partial {
		return serveInstead(ctx, e, c, h, err)
	}
	switch {
	case err == nil && running && !supervised:
		e.say("note: the agent that runs has no supervisor, and nothing starts it at boot: end it and install again to have it so")
	case err == nil:
		h.NoStart = c.noStart
		if err := place(ctx, e, c, h); err != nil {
			return 0, err
		}
		if c.noStart {
			e.say("note: nothing was started: the next boot starts and self-tests it")
		} else if report.Outcome == nodeapi.Staged {
			if c.fore {
				return 0, foreground(e, c)
			}
			refused := report.Refused
			report, err = awaitOutcome(ctx, e, c.dir, report.Tried, startTimeout)
			report.Refused = refused
			if err == nil {
				err = offerProgram(ctx, e, c, name, opts)
			}
		} else if c.fore && !h.Running(ctx) {
			return 0, foreground(e, c)
		}
	}
	if err != nil && report.Outcome == "" {
		return 0, err
	}
	if err == nil && len(report.Refused) > 0 {
		err = errs.Hint(errs.Errorf(errs.Partial, "not all of the channel runs here: %s", strings.Join(report.Refused, "; ")),
			"the channel's operator sees it too: overland channel show %s", report.Channel)
	}
	return finish(e, c, report, err)
}

// answering returns the first of sites that answers, in the order in which the node will ask them
// too; the first when none does, whose error then tells.
func answering(ctx context.Context, e env, sites []string) string {
	const limit = 1 << 20 // bytes; nothing is done with them
	for _, name := range sites {
		site, err := fetch.Site(name, fetch.SiteOptions{Attempts: 2})
		if err == nil {
			_, err = site.Metadata(ctx, "timestamp.json", limit)
			site.CloseIdleConnections()
		}
		if err == nil {
			return name
		}
		e.say("note: %v", err)
	}
	return sites[0]
}

// tellGoesOn tells a person who ended a command, or whose terminal did, what the agent goes on with.
func tellGoesOn(ctx context.Context, e env, dir string) {
	if ctx.Err() == nil {
		return
	}
	const patience = 2 * time.Second
	s, err := nodeStatus(context.WithoutCancel(ctx), dir, patience)
	if err == nil && s.Trial != nil && s.Running {
		e.say("note: generation %d is being tried all the same, by the agent: %s status shows what becomes of it, %[2]s rollback ends it", s.Trial.Generation, Program)
	} else if err == nil && s.Running {
		e.say("note: the agent goes on with what it was asked for: %s status shows it, %[1]s rollback goes back", Program)
	}
}

// serveInstead ends an installation that failed with err. A container that starts again with an older
// volume, or with another channel, must serve what it has.
func serveInstead(ctx context.Context, e env, c *call, h *host.Host, err error) (int, error) {
	if c.fore && ctx.Err() == nil && installed(c.dir) && !h.Running(ctx) {
		complain(e, err)
		e.say("running what is installed")
		return 0, foreground(e, c)
	}
	return 0, err
}

// answers reports whether an agent runs in dir. One that a person
// started with run has no supervisor.
func answers(ctx context.Context, dir string) bool {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := control.Call(ctx, dir, nodeapi.Request{Op: nodeapi.OpStatus})
	return err == nil
}

// installRunning hands the source to the agent that runs.
func installRunning(ctx context.Context, e env, c *call, name string, o nodeapi.InstallOptions) (nodeapi.Report, error) {
	// A supervised agent may just have ended, and be back in a moment.
	for until := time.Now().Add(startTimeout); !answers(ctx, c.dir); {
		if time.Now().After(until) {
			return nodeapi.Report{}, doesNotStart(c.dir)
		}
		select {
		case <-ctx.Done():
			return nodeapi.Report{}, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	e.say("the running agent takes %s", name)
	r, err := control.CallProgress(ctx, c.dir, nodeapi.Request{Op: nodeapi.OpInstall, Source: name, Install: &o}, e.progress())
	if r.Report != nil {
		return *r.Report, err
	}
	return nodeapi.Report{}, err
}

// offerProgram shows the source to the agent that runs now, which takes a newer version of its own
// program from it. The installation is done by then: an agent that is already being replaced does
// not answer, which is not a failure.
func offerProgram(ctx context.Context, e env, c *call, name string, o nodeapi.InstallOptions) error {
	_, err := control.Call(ctx, c.dir, nodeapi.Request{Op: nodeapi.OpInstall, Source: name, Install: &o})
	if err != nil && ctx.Err() == nil {
		e.say("note: the agent did not look for a newer version of itself: %v", err)
		return nil
	}
	return err
}

// installFresh verifies and stages, and leaves the start to the supervised agent: services must
// belong to the service, not to the terminal session in which somebody installed.
func installFresh(ctx context.Context, e env, c *call, src stage.Source, o nodeapi.InstallOptions) (nodeapi.Report, error) {
	o.Defer = true
	slots := host.Slots{Dir: c.dir}
	ao, err := agentOptions(slots)
	if err != nil {
		return nodeapi.Report{}, err
	}
	ao.Progress = e.progress()
	ao.Upgrade = func(ctx context.Context, path, _ string, d digest.Digest) error {
		if err := placeProgram(ctx, e, slots); err != nil {
			return err
		}
		_, err := slots.Upgrade(ctx, d, path)
		return err
	}
	_, statErr := os.Lstat(c.dir)
	a, err := agent.Open(c.dir, ao)
	if err != nil {
		return nodeapi.Report{}, err
	}
	report, err := a.Install(ctx, src, o)
	if made := errors.Is(statErr, fs.ErrNotExist); made && refused(err) {
		// While the lock is held: no other process uses the directory yet.
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return report, firstOf(err, a.Close())
}

// refused reports whether err says that the source is not to be installed at all:
// what broke off is kept, to go on.
func refused(err error) bool {
	switch errs.KindOf(err) {
	case errs.Untrusted, errs.Invalid, errs.NotFound, errs.Denied:
		return err != nil
	}
	return false
}

// place puts the agent's own program, link and service on the machine, and starts the supervisor.
func place(ctx context.Context, e env, c *call, h *host.Host) error {
	if err := placeProgram(ctx, e, host.Slots{Dir: c.dir}); err != nil {
		return err
	}
	if c.fore {
		h.Kind = host.None
		return h.Link()
	}
	r, err := h.Install(ctx)
	for _, u := range r.Unplaced {
		e.say("note: %v", u)
		if hint := errs.HintOf(u); hint != "" {
			e.say("  hint: %s", hint)
		}
	}
	if err != nil {
		return err
	}
	if r.Started {
		e.say("agent started (%s)", h.Kind)
	}
	if h.Kind == host.None && (r.Started || c.noStart) {
		e.say("note: nothing starts the agent at boot: let your init run %s supervise", host.LinkPath)
	}
	return nil
}

// placeProgram puts this very program into a slot when the node has no agent yet: it is the one
// that is known to run here. What the channel names instead is tried by the supervisor.
func placeProgram(ctx context.Context, e env, slots host.Slots) error {
	if slots.Placed() {
		return nil
	}
	exe, err := self()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	slot, err := slots.StageFile(ctx, exe)
	if err != nil {
		return err
	}
	if _, err := slots.First(slot); err != nil {
		return err
	}
	e.say("agent %s placed in %s", slot, slots.Dir)
	return nil
}

// foreground becomes the supervisor, with the same process id: a container's process 1 stays
// itself, and the memory that installing took is given back.
func foreground(e env, c *call) error {
	program := host.Slots{Dir: c.dir}.GoodPath()
	args := []string{Program, "supervise", "--stop-services", "--say-outcome", "--state", c.dir}
	removeUnpacked()
	if err := syscall.Exec(program, args, environ.Child()); err != nil {
		return fmt.Errorf("become the supervisor: %w", err)
	}
	return nil
}

// installed reports whether the node in dir has something good to run and an agent to do it.
func installed(dir string) bool {
	s, err := agent.Peek(dir)
	return err == nil && s.Good > 0 && host.Slots{Dir: dir}.Versions().Good != ""
}

// removeUnpacked removes the folder to which a volume's stub unpacked this program before it became
// it: with --foreground no shell is left to do so.
func removeUnpacked() {
	dir := os.Getenv("OVERLAND_UNPACKED")
	exe, err := self()
	if dir == "" || err != nil || filepath.Dir(exe) != dir {
		return
	}
	os.RemoveAll(dir)
	os.Unsetenv("OVERLAND_UNPACKED")
}

// awaitOutcome waits until the supervised agent has decided generation number, which was staged. An
// agent that does not answer within patience is not waited for when it is known why.
func awaitOutcome(ctx context.Context, e env, dir string, number int, patience time.Duration) (nodeapi.Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, outcomeTimeout,
		errs.Hint(errs.Errorf(errs.Unavailable, "the agent did not decide within %s", outcomeTimeout), "%s status", Program))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	said := ""
	h, answered, seen := host.Host{Dir: dir}, time.Now(), time.Now()
	for {
		asking, done := context.WithTimeout(ctx, patience)
		r, err := control.Call(asking, dir, nodeapi.Request{Op: nodeapi.OpStatus})
		done()
		if err == nil && r.Status != nil {
			if s := r.Status; s.Trial == nil {
				report := outcome(s, number)
				return report, rolledBack(report)
			}
			if now := servicesLine(r.Status.Services); now != said {
				said = now
				e.say("%s", now)
			}
		}
		if err == nil {
			answered = time.Now()
		}
		if err == nil || h.Running(ctx) {
			seen = time.Now()
		}
		why := host.Slots{Dir: dir}.Failure
		if silent := time.Since(answered); silent > patience && (time.Since(seen) > patience || silent > slowStart*patience || why() != "") {
			return nodeapi.Report{}, doesNotStart(dir)
		}
		select {
		case <-ctx.Done():
			return nodeapi.Report{}, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// slowStart is how many times longer an agent is waited for that may only be slow.
const slowStart = 4

// doesNotStart returns the error of an agent that its supervisor does not get to answer.
func doesNotStart(dir string) error {
	why := host.Slots{Dir: dir}.Failure()
	if why == "" {
		why = "nothing says why"
	}
	return errs.Hint(errs.Errorf(errs.Unavailable, "the agent does not start: %s", why),
		"mend that, and the supervisor starts it by itself; see %s/log/agent.log, or the log of the service %s", dir, host.ServiceName)
}

// outcome returns what became of generation number. The agent's own report is lost when it was
// restarted since; then what it remembers says the same in fewer words.
func outcome(s *nodeapi.Status, number int) nodeapi.Report {
	if s.Report != nil && (s.Report.Tried == number || number == 0) {
		return *s.Report
	}
	r := nodeapi.Report{Outcome: nodeapi.Installed, Generation: s.Generation, Tried: number, Channel: s.Channel, Apps: s.Apps}
	if number != 0 && s.Generation != number {
		r.Outcome, r.Reason = nodeapi.RolledBack, "see history"
		for _, bad := range s.Refused {
			if bad.Generation == number {
				r.Reason = bad.Reason
			}
		}
	}
	return r
}

func rolledBack(r nodeapi.Report) error {
	if r.Outcome != nodeapi.RolledBack {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.Partial, "generation %d did not prove itself and was taken back: %s", r.Tried, r.Reason),
		"%s history; mend the release and promote it again, or try this one again with --retry", Program)
}
