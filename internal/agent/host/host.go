package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// LinkPath is where install puts the program on the path.
const LinkPath = "/usr/local/bin/" + Program

// Host is one machine, as install and uninstall see it.
type Host struct {
	Dir     string // the node's directory, absolute
	Kind    Kind
	Root    string  // prefix of every path outside Dir; "" = the real file system. For tests
	Command Command // nil = RunCommand
	FS      fsx.FS
	NoStart bool                             // Install starts nothing and asks no service manager: the next boot does
	Say     func(format string, args ...any) // one progress line per change; nil = quiet
}

// CheckDir returns an error of kind Invalid when dir cannot be a node's directory: it must
// be absolute, not the root, and free of what service files cannot hold (systemd accepts
// no quotes in a program's path).
func CheckDir(dir string) error {
	if !filepath.IsAbs(dir) || dir == "/" || strings.ContainsAny(dir, "'\"`$\\\n\r\t\x00") {
		return errs.Hint(errs.Errorf(errs.Invalid, "%q cannot be a node's directory", dir),
			"use an absolute path without quotes, \"$\" and \"\\\"")
	}
	return nil
}

// Result is what Install did.
type Result struct {
	Changed  bool    // something outside Dir was written
	Started  bool    // the service was started or restarted
	Link     bool    // LinkPath leads to this node's program
	Unplaced []error // files that could not be placed (read-only root, somebody else's): the node works without
}

func (h *Host) slots() Slots { return Slots{Dir: h.Dir, FS: h.FS} }

func (h *Host) manager() manager {
	run := h.Command
	if run == nil {
		run = RunCommand
	}
	switch h.Kind {
	case Systemd:
		return systemd{run}
	case OpenRC:
		return openrc{run}
	default:
		return none{h.slots()}
	}
}

func (h *Host) say(format string, args ...any) {
	if h.Say != nil {
		h.Say(format, args...)
	}
}

func (h *Host) at(path string) string { return filepath.Join("/", h.Root, path) }

// Install places the link and the service file, enables the service and, but for NoStart, starts it. A program must be in a slot (see
// Slots.First). It is idempotent: what is right already is left alone, and a running service is restarted only when
// its file changed (which leaves the node's services running). When the service file cannot be placed, the supervisor
// is started as on a machine without a service manager.
func (h *Host) Install(ctx context.Context) (Result, error) {
	var r Result
	if !h.slots().runnable(h.slots().link("good")) {
		return r, errs.Errorf(errs.Internal, "install service: no agent program in %s", h.slots().path())
	}
	// supervise-daemon opens its log before the agent could make the folder.
	if err := h.FS.Mkdir(filepath.Join(h.Dir, "log"), 0o755); err != nil {
		return r, err
	}
	changed, err := h.placeLink()
	if err != nil {
		r.Unplaced = append(r.Unplaced, err)
	} else {
		r.Link = true
	}
	r.Changed = changed
	m := h.manager()
	f := m.file(h.Dir)
	changed, err = h.placeFile(f)
	switch {
	case unplaceable(err):
		r.Unplaced = append(r.Unplaced, fmt.Errorf("no service file could be placed, so nothing starts the agent at boot: %w", err))
		m, changed = none{h.slots()}, false
	case err != nil:
		return r, err
	}
	if changed {
		r.Changed = true
		h.say("service file %s", f.path)
	}
	if h.NoStart {
		linked, err := h.placeBoot(m)
		r.Changed = r.Changed || linked
		return r, err
	}
	if changed {
		if err := m.reload(ctx); err != nil {
			return r, err
		}
	}
	if !m.enabled(ctx) {
		r.Changed = true
		if err := m.enable(ctx); err != nil {
			return r, err
		}
		h.say("service %s starts at boot", ServiceName)
	}
	switch running := m.running(ctx); {
	case !running && !(none{h.slots()}).running(ctx):
		r.Started = true
		err = m.start(ctx)
	case running && changed:
		r.Started = true
		err = m.restart(ctx)
	}
	return r, err
}

// Link places the link LinkPath alone, for a node that something else starts. That it cannot be placed is not an error.
func (h *Host) Link() error {
	if _, err := h.placeLink(); err != nil && !unplaceable(err) {
		return err
	}
	return nil
}

// Running reports whether a supervisor has this node in hand, however it was started.
func (h *Host) Running(ctx context.Context) bool { return none{h.slots()}.running(ctx) }

// Stop ends the supervisor and the agent, and keeps what install made.
func (h *Host) Stop(ctx context.Context) error {
	if m := h.manager(); h.owns(m.file(h.Dir)) && m.running(ctx) {
		if err := m.stop(ctx); err != nil {
			return err
		}
	}
	return none{h.slots()}.stop(ctx)
}

// Uninstall ends the supervisor and removes exactly what Install made: the service file, the link, and the programs in
// DIR/agent. Stop the node's services before it. A second call finds nothing to do.
func (h *Host) Uninstall(ctx context.Context) error {
	if _, err := os.Lstat(h.slots().path()); err == nil {
		if err := h.Stop(ctx); err != nil {
			return err
		}
	}
	m := h.manager()
	var failed error
	if f := m.file(h.Dir); h.owns(f) {
		if m.enabled(ctx) {
			failed = m.disable(ctx)
		}
		if link, to := m.boot(); h.leads(link, to) { // disable has not removed it: nothing of the manager runs
			failed = h.FS.Remove(h.at(link))
		}
		if err := h.FS.Remove(h.at(f.path)); err != nil {
			failed = errors.Join(failed, fmt.Errorf("remove service file: %w", err))
		} else {
			if err := m.reload(ctx); err != nil && Detect(h.Root) == h.Kind { // else it does not run, as in a chroot
				failed = errors.Join(failed, err)
			}
			h.say("removed %s", f.path)
		}
	}
	if h.ownsLink() {
		if err := h.FS.Remove(h.at(LinkPath)); err != nil {
			failed = errors.Join(failed, fmt.Errorf("remove link: %w", err))
		} else {
			h.say("removed %s", LinkPath)
		}
	}
	return errors.Join(failed, h.FS.RemoveAll(h.slots().path()))
}

// placeBoot makes the link by which m starts the service at boot, as enabling it would.
func (h *Host) placeBoot(m manager) (bool, error) {
	link, to := m.boot()
	if link == "" || h.leads(link, to) {
		return false, nil
	}
	if err := h.FS.Mkdir(filepath.Dir(h.at(link)), 0o755); err != nil {
		return false, fmt.Errorf("enable the service: %w", err)
	}
	if err := h.FS.Symlink(to, h.at(link)); err != nil {
		return false, fmt.Errorf("enable the service: %w", err)
	}
	h.say("service %s starts at boot", ServiceName)
	return true, nil
}

// leads reports whether link is one that leads to the path to.
func (h *Host) leads(link, to string) bool {
	if link == "" {
		return false
	}
	is, err := os.Readlink(h.at(link))
	return err == nil && is == to
}

// placeFile writes a service file and returns whether it was not right before. One without the marker is not touched.
func (h *Host) placeFile(f file) (bool, error) {
	if f.path == "" {
		return false, nil
	}
	path := h.at(f.path)
	have, err := readSmall(path)
	switch {
	case err == nil && string(have) == f.text:
		return false, nil
	case err == nil && !bytes.Contains(have, []byte(marker)):
		return false, errs.Hint(errs.Errorf(errs.Conflict, "service file %s exists and install did not make it", f.path),
			"move it away and install again")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("service file: %w", err)
	case err == nil && !h.names(have):
		return false, errs.Hint(errs.Errorf(errs.Conflict, "service file %s belongs to a node in another directory", f.path),
			"uninstall that one first, or install with --service none")
	}
	if err := h.FS.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return false, fmt.Errorf("service file: %w", err)
	}
	if err := h.FS.WriteFile(path, []byte(f.text), f.mode); err != nil {
		return false, fmt.Errorf("service file: %w", err)
	}
	return true, nil
}

// owns reports whether f is in place and install made it for this node.
func (h *Host) owns(f file) bool {
	if f.path == "" {
		return false
	}
	have, err := readSmall(h.at(f.path))
	return err == nil && bytes.Contains(have, []byte(marker)) && h.names(have)
}

// names reports whether the service file text starts this node's agent.
func (h *Host) names(text []byte) bool {
	return bytes.Contains(text, []byte(h.Dir+"/agent/good/"))
}

func (h *Host) placeLink() (bool, error) {
	path := h.at(LinkPath)
	if h.ownsLink() {
		return false, nil
	}
	if _, err := os.Lstat(path); err == nil {
		return false, errs.Errorf(errs.Conflict, "%s exists and leads elsewhere: left alone", LinkPath)
	}
	if err := h.FS.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return false, fmt.Errorf("no program on the path: %w", err)
	}
	if err := h.FS.Symlink(h.slots().GoodPath(), path); err != nil {
		return false, fmt.Errorf("no program on the path: %w", err)
	}
	h.say("program %s", LinkPath)
	return true, nil
}

func (h *Host) ownsLink() bool {
	to, err := os.Readlink(h.at(LinkPath))
	return err == nil && to == h.slots().GoodPath()
}

// unplaceable reports whether err says that a file cannot be there, which a node can live with.
func unplaceable(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) || errs.KindOf(err) == errs.Conflict
}

func readSmall(path string) ([]byte, error) {
	const longest = 64 << 10
	return fsx.ReadFile(path, longest)
}
