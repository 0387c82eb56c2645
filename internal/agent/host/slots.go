package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

// Program is the agent's file name.
const Program = "overland-agent"

// Defaults of a Trial.
const (
	DefaultTries  = 3
	DefaultReady  = 2 * time.Minute
	DefaultStable = 15 * time.Second
)

// Slots are the versions of the agent's program, side by side. The zero FS is the real disk. One
// process at a time changes them: the agent stages and arms, the supervisor decides.
type Slots struct {
	Dir string // the node's directory, not agent/ below it
	FS  fsx.FS
}

// SlotOf returns the Slot of the program with digest d: all of its digits, because somebody can make
// two programs whose digests begin alike.
func SlotOf(d digest.Digest) nodeapi.Slot {
	return nodeapi.Slot(d.Encoded())
}

// Trial is how a new version must prove itself. The zero value uses the defaults.
type Trial struct {
	Tries  int           // starts before it is taken back
	Ready  time.Duration // how long each start may take to report ready
	Stable time.Duration // how long it must then stay up
}

// The environment variables that change the defaults of a Trial: durations like
// "30s". A slow machine may need more.
const (
	ReadyEnv  = "OVERLAND_AGENT_READY"
	StableEnv = "OVERLAND_AGENT_STABLE"
)

// trialFromEnv returns the Trial that the environment asks for. A value that is
// not a duration counts as not set.
func trialFromEnv() Trial {
	get := func(name string) time.Duration {
		d, err := appfile.ParseDuration(os.Getenv(name))
		if err != nil {
			return 0
		}
		return time.Duration(d)
	}
	return Trial{Ready: get(ReadyEnv), Stable: get(StableEnv)}
}

// intent is a switch that is being tried. Lengths are measured from each start with the
// monotonic clock, because a node's time of day may be wrong; tries is what bounds a machine
// that loses power during every try.
type intent struct {
	Version int              `json:"version"`
	To      nodeapi.Slot     `json:"to"`
	Digest  digest.Digest    `json:"digest"` // of to's program
	From    nodeapi.Slot     `json:"from"`
	Tries   int              `json:"tries"` // left
	Ready   appfile.Duration `json:"ready"`
	Stable  appfile.Duration `json:"stable"`
	Reason  string           `json:"reason,omitempty"` // why the last try failed
}

func (s Slots) path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir, "agent"}, parts...)...)
}

// GoodPath returns the path of the program that last proved itself: what the service file and the
// link in /usr/local/bin lead to. (Not current: a person who asks for the status while a version
// that hangs is being tried would wait with it.)
func (s Slots) GoodPath() string { return s.path("good", Program) }

// Stage puts the program named d into its slot: place must make the file at the path it is
// given (a hard link or a copy); its bytes are hashed before the slot gets its name. A slot
// that is there already is left alone.
func (s Slots) Stage(_ context.Context, d digest.Digest, place func(path string) error) (nodeapi.Slot, error) {
	slot := SlotOf(d)
	if r, refused := s.refused(slot); refused {
		return "", errs.Errorf(errs.Conflict, "agent %s was refused before: %s", slot, r.Reason)
	}
	if s.runnable(slot) && !s.damaged(slot) {
		return slot, nil
	}
	tmp := s.path("." + string(slot) + ".tmp")
	if err := s.FS.RemoveAll(tmp); err != nil {
		return "", fmt.Errorf("stage agent %s: %w", slot, err)
	}
	if err := s.FS.Mkdir(tmp, 0o755); err != nil {
		return "", fmt.Errorf("stage agent %s: %w", slot, err)
	}
	if err := s.fill(tmp, d, place); err != nil {
		return "", errors.Join(fmt.Errorf("stage agent %s: %w", slot, err), s.FS.RemoveAll(tmp))
	}
	// A slot without a runnable program is the rest of something damaged.
	if err := s.FS.RemoveAll(s.path(string(slot))); err != nil {
		return "", fmt.Errorf("stage agent %s: %w", slot, err)
	}
	if err := s.FS.Rename(tmp, s.path(string(slot))); err != nil {
		return "", fmt.Errorf("stage agent %s: %w", slot, err)
	}
	return slot, s.FS.SyncDir(s.path())
}

func (s Slots) fill(dir string, d digest.Digest, place func(string) error) error {
	path := filepath.Join(dir, Program)
	if err := place(path); err != nil {
		return err
	}
	f, err := s.FS.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, digest.Reader(f, d, -1)); err != nil {
		return errs.E(errs.Untrusted, err)
	}
	if err := s.FS.Chmod(path, 0o755); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return s.FS.SyncDir(dir)
}

// StageFile stages the program at path, for example the one that is running.
func (s Slots) StageFile(ctx context.Context, path string) (nodeapi.Slot, error) {
	d, err := Name(path)
	if err != nil {
		return "", fmt.Errorf("stage agent from %s: %w", path, err)
	}
	return s.Stage(ctx, d, func(to string) error { return s.copyTo(path, to) })
}

// Name returns the digest of the program at path.
func Name(path string) (digest.Digest, error) {
	f, err := fsx.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := digest.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return h.Digest(), nil
}

func (s Slots) copyTo(from, to string) error {
	f, err := fsx.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.FS.WriteWith(to, 0o755, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}

// First makes slot current and good when there is no version yet, as a first install does; else it
// changes nothing. It returns whether it did.
func (s Slots) First(slot nodeapi.Slot) (bool, error) {
	if s.runnable(s.link("good")) {
		return false, nil
	}
	if err := s.FS.Symlink(string(slot), s.path("good")); err != nil {
		return false, err
	}
	return true, s.FS.Symlink(string(slot), s.path("current"))
}

// Arm makes the supervisor try slot at its next start of the agent. A version that
// was refused before is a Conflict, with the reason; arming the current version
// changes nothing and returns false.
func (s Slots) Arm(slot nodeapi.Slot, t Trial) (bool, error) {
	if r, refused := s.refused(slot); refused {
		return false, errs.Errorf(errs.Conflict, "agent %s was refused before: %s", slot, r.Reason)
	}
	d, err := Name(s.path(string(slot), Program))
	if err != nil || SlotOf(d) != slot {
		return false, errs.Errorf(errs.NotFound, "agent %s is not staged", slot)
	}
	if slot == s.link("current") {
		return false, nil
	}
	i := intent{
		Version: 1, To: slot, Digest: d, From: s.link("current"), Tries: t.Tries,
		Ready: appfile.Duration(t.Ready), Stable: appfile.Duration(t.Stable),
	}
	if i.Tries <= 0 {
		i.Tries = DefaultTries
	}
	return true, s.writeIntent(i)
}

// Upgrade stages the program named d, which lies at path, and arms it: what the agent
// calls for a new version in its channel. When it returns true the agent ends with
// ExitSwitch and the supervisor starts the new one. The program is linked when path is on
// the same file system, else copied.
func (s Slots) Upgrade(ctx context.Context, d digest.Digest, path string) (bool, error) {
	if SlotOf(d) == s.link("current") {
		return false, nil
	}
	slot, err := s.Stage(ctx, d, func(to string) error {
		if s.FS.Link(path, to) == nil {
			return nil
		}
		return s.copyTo(path, to)
	})
	if err != nil {
		return false, err
	}
	return s.Arm(slot, trialFromEnv())
}

// Versions reports which versions there are. It never fails: what cannot be read is left empty.
func (s Slots) Versions() nodeapi.AgentVersions {
	v := nodeapi.AgentVersions{Current: s.link("current"), Good: s.link("good")}
	if i, ok := s.readIntent(); ok {
		v.Trying = i.To
	}
	for _, slot := range s.list() {
		if r, refused := s.refused(slot); refused {
			v.Refused = append(v.Refused, r)
		}
	}
	return v
}

// refused returns why slot was taken back. A mark that cannot be read refuses as well.
func (s Slots) refused(slot nodeapi.Slot) (nodeapi.RefusedVersion, bool) {
	const longest = 8 << 10
	r := nodeapi.RefusedVersion{Slot: slot, Reason: "the reason cannot be read"}
	b, err := fsx.ReadFile(s.path(string(slot), "refused"), longest)
	if errors.Is(err, fs.ErrNotExist) {
		return nodeapi.RefusedVersion{}, false
	}
	var read nodeapi.RefusedVersion
	if json.Unmarshal(b, &read) == nil && read.Reason != "" {
		r.Reason = read.Reason
		if d, err := digest.Parse(string(read.Digest)); err == nil {
			r.Digest = d
		}
	}
	return r, true
}

// refuse takes r.Slot out for good and says why; its program is removed to free the space.
func (s Slots) refuse(r nodeapi.RefusedVersion) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := s.FS.Mkdir(s.path(string(r.Slot)), 0o755); err != nil {
		return err
	}
	if err := s.FS.WriteFile(s.path(string(r.Slot), "refused"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return s.FS.Remove(s.path(string(r.Slot), Program))
}

// startable reports whether there is any program that the supervisor would start.
func (s Slots) startable() bool {
	for _, slot := range append([]nodeapi.Slot{s.link("current"), s.link("good")}, s.list()...) {
		if _, refused := s.refused(slot); !refused && s.runnable(slot) {
			return true
		}
	}
	return false
}

// Placed reports whether there is a good program. A link to one that is gone does not count.
func (s Slots) Placed() bool { return s.runnable(s.link("good")) }

// waitingName is the lock that a supervisor holds while it waits for a program.
const waitingName = "waiting"

// awaited reports whether a supervisor waits for a program and will start it.
func (s Slots) awaited() bool {
	lock, err := fsx.TryLock(s.path(waitingName))
	if err == nil {
		lock.Unlock()
	}
	return errors.Is(err, fsx.ErrLocked)
}

// Executable returns an error (Denied) when no program can be started below dir, a node's directory,
// because of how its file system is mounted. nodev and nosuid are no hindrance.
func Executable(dir string) error {
	for _, path := range []string{dir, filepath.Join(dir, "agent"), filepath.Join(dir, "gen")} {
		if at := fsx.NoExec(path); at != "" {
			return errs.Hint(errs.Errorf(errs.Denied, "%s is on %s, which is mounted noexec: neither the agent nor a service can be started there", path, at),
				"mount -o remount,exec %s, and mend its line in /etc/fstab; or another directory: --state DIR", at)
		}
	}
	return nil
}

func (s Slots) runnable(slot nodeapi.Slot) bool {
	if slot == "" {
		return false
	}
	info, err := os.Stat(s.path(string(slot), Program))
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

// damaged reports whether slot's program is not the one its name promises.
func (s Slots) damaged(slot nodeapi.Slot) bool {
	d, err := Name(s.path(string(slot), Program))
	return err != nil || SlotOf(d) != slot
}

// link returns where the link name points, or "" when it is not a link to a slot.
func (s Slots) link(name string) nodeapi.Slot {
	to, err := os.Readlink(s.path(name))
	if err != nil || !isSlot(to) {
		return ""
	}
	return nodeapi.Slot(to)
}

func isSlot(name string) bool {
	_, err := digest.FromHex(name)
	return err == nil
}

func (s Slots) list() []nodeapi.Slot {
	entries, _ := os.ReadDir(s.path())
	var slots []nodeapi.Slot
	for _, e := range entries {
		if e.IsDir() && isSlot(e.Name()) {
			slots = append(slots, nodeapi.Slot(e.Name()))
		}
	}
	return slots
}

func (s Slots) writeIntent(i intent) error {
	b, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return s.FS.WriteFile(s.path("intent.json"), append(b, '\n'), 0o644)
}

// readIntent returns the switch that is being tried. One that makes no sense counts as none: the
// last good version is then the answer.
func (s Slots) readIntent() (intent, bool) {
	const longest = 64 << 10
	b, err := fsx.ReadFile(s.path("intent.json"), longest)
	if err != nil {
		return intent{}, false
	}
	return parseIntent(b)
}

func parseIntent(b []byte) (intent, bool) {
	var i intent
	if json.Unmarshal(b, &i) != nil || i.Version != 1 || !isSlot(string(i.To)) || !isSlot(string(i.From)) ||
		i.To == i.From || i.Tries < 0 || i.Tries > 100 {
		return intent{}, false
	}
	return i, true
}

func (s Slots) hasIntent() bool {
	_, err := os.Lstat(s.path("intent.json"))
	return !errors.Is(err, fs.ErrNotExist)
}

// NodeOf returns the node's directory when program lies in one of its slots.
func NodeOf(program string) (dir string, ok bool) {
	slot := filepath.Dir(program)
	agents := filepath.Dir(slot)
	if filepath.Base(program) != Program || !isSlot(filepath.Base(slot)) || filepath.Base(agents) != "agent" {
		return "", false
	}
	return filepath.Dir(agents), true
}
