package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

// Tries is how often a new generation may be started before it counts as bad.
const Tries = 3

// Options are the settings of a Node. The zero value works.
type Options struct {
	FS    fsx.FS
	Clock clock.Clock                    // for the times that people read
	Boot  func() (string, time.Duration) // nil = Boot
}

// Node is the state directory of this machine, held by one process. Its methods are safe for
// concurrent use; the steps of a switch are the caller's to order.
type Node struct {
	dir  string
	o    Options
	lock *fsx.Lock

	mu     sync.Mutex
	state  State
	seq    uint64
	older  string // the copy that the next save overwrites
	damage []string

	problems problems
}

// Open takes the lock of dir, reads the state and mends what a crash, a power cut or a damaged file
// left behind: the generation that Current then names is whole. Damage says what was found. A
// directory in use is errs.Conflict.
func Open(dir string, o Options) (*Node, error) {
	if o.Boot == nil {
		o.Boot = Boot
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	if err := o.FS.Mkdir(filepath.Join(dir, "gen"), 0o755); err != nil {
		err = fmt.Errorf("open node %s: %w", dir, err)
		if errors.Is(err, fs.ErrPermission) {
			err = errs.Hint(err, "run it as root, or name a directory of yours: --state DIR")
		}
		return nil, err
	}
	closed := []string{dir, filepath.Join(dir, "gen"), filepath.Join(dir, "volumes")}
	for _, below := range []string{"*", "*/bin", "*/bin/*"} { // programs of generations that it staged
		some, err := filepath.Glob(filepath.Join(dir, "gen", below))
		if err != nil {
			return nil, fmt.Errorf("open node %s: %w", dir, err)
		}
		closed = append(closed, some...)
	}
	if err := unclose(closed...); err != nil {
		return nil, fmt.Errorf("open node %s: %w", dir, err)
	}
	lock, err := fsx.TryLock(filepath.Join(dir, "lock"))
	if errors.Is(err, fsx.ErrLocked) {
		return nil, errs.Hint(errs.Errorf(errs.Conflict, "open node %s: an agent is running here: %w", dir, err),
			"ask the running agent: overland-agent status --state %s", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open node %s: %w", dir, err)
	}
	n := &Node{dir: dir, o: o, lock: lock}
	if err := n.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open node %s: %w", dir, err), lock.Unlock())
	}
	n.noteDamage()
	return n, nil
}

// unclose lets every user pass through the folders on the way to programs and data, as far as they
// are there: an agent that obeyed the umask of a shell has closed them. What they hold has modes of
// its own.
func unclose(dirs ...string) error {
	const pass = 0o055
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || info.Mode().Perm()&pass == pass {
			continue
		}
		if err := os.Chmod(dir, info.Mode().Perm()|pass); err != nil {
			return err
		}
	}
	return nil
}

// Peek returns the state of dir without the lock and without changing anything. A directory that
// never held a node is errs.NotFound.
func Peek(dir string) (State, *Generation, error) {
	a, b := readCopy(filepath.Join(dir, "state.a")), readCopy(filepath.Join(dir, "state.b"))
	switch {
	case a.err != nil && b.err != nil && a.missing && b.missing:
		return State{}, nil, errs.Hint(errs.Errorf(errs.NotFound, "no node in %s", dir), "install a volume: sh FILE.volume install")
	case errors.Is(a.err, fs.ErrPermission) && b.err != nil:
		return State{}, nil, errs.Hint(errs.E(errs.Denied, fmt.Errorf("read the state of the node: %w", a.err)), "it is its owner's alone: sudo overland-agent …")
	case a.err != nil && b.err != nil:
		return State{}, nil, errs.Hint(fmt.Errorf("both copies of the state in %s are damaged: %w", dir, a.err),
			"start the agent: it returns to the last good generation")
	case a.err != nil || (b.err == nil && b.seq > a.seq):
		a = b
	}
	number := a.state.Current
	if i := a.state.Intent; i != nil {
		number = i.Generation
	}
	if number == 0 {
		return a.state, nil, nil
	}
	g, err := readGeneration(genDir(dir, number), number)
	if err != nil {
		return a.state, nil, fmt.Errorf("generation %d: %w", number, err)
	}
	return a.state, g, nil
}

// Close frees the lock. Nothing else is open.
func (n *Node) Close() error { return n.lock.Unlock() }

// Dir returns the node's directory, absolute.
func (n *Node) Dir() string { return n.dir }

// State returns a copy of the state.
func (n *Node) State() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state.clone()
}

// Damage returns what Open found damaged and how it was mended, for
// people. Empty when all was well.
func (n *Node) Damage() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.damage)
}

// LogPath returns the log file of service app.service.
func (n *Node) LogPath(service string) string { return LogPath(n.dir, service) }

// LogPath returns the log file of service app.service of the node in dir.
func LogPath(dir, service string) string { return filepath.Join(dir, "log", service+".log") }

// GenerationDir returns the folder of generation number.
func (n *Node) GenerationDir(number int) string { return genDir(n.dir, number) }

// Generation returns the document of generation number: errs.NotFound when it is not kept.
func (n *Node) Generation(number int) (*Generation, error) {
	dir := genDir(n.dir, number)
	if !exists(dir) {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "generation %d is not kept on this node", number), "overland-agent history")
	}
	g, err := readGeneration(dir, number)
	if err != nil {
		return nil, fmt.Errorf("generation %d: %w", number, err)
	}
	return g, nil
}

// Update changes the state by change, durably, or not at all. Use it for what is not part of a
// switch: settings, candidates, events. An unchanged state is not written.
func (n *Node) Update(change func(*State)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.state.clone()
	change(&next)
	return n.save(next)
}

// AddEvent puts e into s, for use in Update; its time is filled in by the caller.
func (s *State) AddEvent(e nodeapi.Event) { s.add(e) }

// save writes next over the older copy, in place: those blocks exist, so a full disk
// cannot stop it, and the newer copy is whole until this one is. Between switches both
// copies hold the same. On a disk that turned read-only next counts until the agent ends: what is
// there must go on running, and a person must be able to go back. n.mu is held.
func (n *Node) save(next State) error {
	next.Schema = Schema
	if err := next.check(); err != nil {
		return fmt.Errorf("save node state: %w", err)
	}
	if same(n.state, next) && n.seq > 0 {
		return nil
	}
	b, err := encodeState(n.seq+1, next)
	if err != nil {
		return err
	}
	err = n.overwrite(n.older, b)
	if n.seq > 0 && errors.Is(err, syscall.EROFS) {
		n.Problem("disk", fmt.Sprintf("the disk of %s is read-only: what is decided now is forgotten when the agent starts again", n.dir))
		n.state = next
		return nil
	}
	if err != nil {
		return fsx.Full(fmt.Errorf("save node state %s: %w", n.older, err))
	}
	n.Problem("disk", "")
	n.seq, n.state = n.seq+1, next
	if n.older == "state.a" {
		n.older = "state.b"
	} else {
		n.older = "state.a"
	}
	if next.Intent == nil {
		// A decision stands: both copies say so, and one may rot. That
		// one failing takes nothing back.
		_ = n.writeBoth()
	}
	return nil
}

func same(a, b State) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

func (n *Node) overwrite(name string, b []byte) error {
	path := filepath.Join(n.dir, name)
	file, err := n.o.FS.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return n.o.FS.WriteFile(path, slot(b), 0o600)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return err
	} else if info.Size() < stateSlot {
		b = slot(b)
	}
	if _, err := file.WriteAt(b, 0); err != nil {
		return err
	}
	return file.Sync()
}

// slot returns b padded to the size that a copy occupies.
func slot(b []byte) []byte {
	if len(b) >= stateSlot {
		return b
	}
	return append(slices.Clip(b), make([]byte, stateSlot-len(b))...)
}

func (n *Node) now() time.Time { return n.o.Clock.Or()() }

func genDir(dir string, number int) string {
	return filepath.Join(dir, "gen", fmt.Sprint(number))
}
