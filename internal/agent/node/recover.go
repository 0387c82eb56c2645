package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

type copyRead struct {
	seq     uint64
	state   State
	err     error
	missing bool
}

func readCopy(path string) copyRead {
	file, err := fsx.Open(path)
	if err != nil {
		return copyRead{err: err, missing: errors.Is(err, fs.ErrNotExist)}
	}
	defer file.Close()
	seq, s, err := decodeState(file)
	return copyRead{seq: seq, state: s, err: err}
}

// recover reads the state and makes the disk agree with it.
func (n *Node) recover() error {
	if err := n.removeUnfinished(); err != nil {
		return err
	}
	a, b := readCopy(filepath.Join(n.dir, "state.a")), readCopy(filepath.Join(n.dir, "state.b"))
	n.older = "state.b"
	switch {
	case a.err == nil && (b.err != nil || a.seq >= b.seq):
		n.seq, n.state = a.seq, a.state
	case b.err == nil:
		n.seq, n.state, n.older = b.seq, b.state, "state.a"
	case a.missing && b.missing && !n.anything():
		n.state = State{Schema: Schema, Next: 1}
		return n.both()
	default:
		return n.rebuild(errors.Join(a.err, b.err))
	}
	if a.err != nil || b.err != nil || (n.state.Intent == nil && a.seq != b.seq) {
		// One copy was cut while it was written, or is damaged: the other
		// one is the truth. Write it again.
		if err := n.writeBoth(); err != nil && !fsx.TakesNothing(err) {
			return err
		}
	}
	return n.agree()
}

// removeUnfinished removes files that were never finished, so that crashes do not add up.
func (n *Node) removeUnfinished() error {
	left, err := filepath.Glob(filepath.Join(n.dir, ".*.tmp-*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := n.o.FS.Remove(path); err != nil && !fsx.TakesNothing(err) {
			return err
		}
	}
	return nil
}

// both writes the first two copies, so that both occupy their blocks from now on.
func (n *Node) both() error {
	if err := n.save(n.state); err != nil || n.state.Intent == nil {
		return err
	}
	return n.writeBoth()
}

// again writes the state as it is over the older copy.
func (n *Node) writeBoth() error {
	b, err := encodeState(n.seq, n.state)
	if err != nil {
		return err
	}
	if err := n.overwrite(n.older, b); err != nil {
		return fsx.Full(fmt.Errorf("save node state %s: %w", n.older, err))
	}
	return nil
}

// anything reports whether a generation lies here: then missing state was lost, not never written.
func (n *Node) anything() bool {
	return linkNumber(filepath.Join(n.dir, "current")) > 0 || len(n.numbers()) > 0
}

// numbers returns the generations that have a folder, ascending.
func (n *Node) numbers() []int {
	entries, err := os.ReadDir(filepath.Join(n.dir, "gen"))
	if err != nil {
		return nil
	}
	var list []int
	for _, e := range entries {
		if number := generationNumber(e.Name()); number > 0 && e.IsDir() {
			list = append(list, number)
		}
	}
	sort.Sort(sort.IntSlice(list)) //nolint:staticcheck // slices.Sort costs the agent 8 KB for numbers
	return list
}

// linkNumber returns the generation that the symbolic link path names, or 0.
func linkNumber(path string) int {
	target, err := os.Readlink(path)
	if err != nil {
		return 0
	}
	return generationNumber(strings.TrimPrefix(target, "gen/"))
}

// whole returns what is wrong with generation number; every byte of its programs is read when deep.
func (n *Node) whole(number int, deep bool) error {
	g, err := readGeneration(genDir(n.dir, number), number)
	if err != nil {
		return err
	}
	return verifyGeneration(genDir(n.dir, number), g, deep)
}

// rebuild makes a state from the disk alone: the last good generation, else the
// current one as if it were new.
func (n *Node) rebuild(cause error) error {
	numbers := n.numbers()
	s := State{Schema: Schema, Next: 1}
	if len(numbers) > 0 {
		s.Next = numbers[len(numbers)-1] + 1
	}
	current, good := linkNumber(filepath.Join(n.dir, "current")), linkNumber(filepath.Join(n.dir, "good"))
	s.Next = max(s.Next, current+1, good+1)
	switch {
	case good > 0 && n.whole(good, true) == nil:
		s.Current, s.Good = good, good
	case current > 0 && n.whole(current, true) == nil:
		s.Intent = &Intent{Generation: current, Tries: Tries, By: "recovery"}
	default:
		for _, number := range slices.Backward(numbers) {
			if n.whole(number, true) == nil {
				s.Intent = &Intent{Generation: number, Tries: Tries, By: "recovery"}
				break
			}
		}
	}
	found := "nothing that can run was found; install a volume again"
	if s.Current > 0 {
		found = fmt.Sprintf("went back to generation %d, the last good one", s.Current)
	} else if s.Intent != nil {
		found = fmt.Sprintf("trying generation %d, which is whole", s.Intent.Generation)
	}
	why := fmt.Sprintf("both copies of the node's state were lost (%v): %s; history and refused releases are forgotten",
		strings.ReplaceAll(cause.Error(), "\n", "; "), found)
	n.damage = append(n.damage, why)
	s.add(nodeapi.Event{At: n.now(), What: "recovered", Generation: max(s.Current, 0), Reason: why})
	n.seq = 0
	n.state = s
	if err := n.both(); err != nil {
		return err
	}
	return n.agree()
}

// agree makes the links and folders agree with the state, which is on the disk.
func (n *Node) agree() error {
	if i := n.state.Intent; i != nil {
		if err := n.whole(i.Generation, false); err != nil && i.Failed == "" {
			next := n.state.clone()
			next.Intent.Damaged = true
			next.Intent.Failed = fmt.Sprintf("generation %d is damaged on the disk: %v", i.Generation, err)
			if err := n.save(next); err != nil {
				return err
			}
		}
	} else if c := n.state.Current; c > 0 {
		if err := n.whole(c, false); err != nil {
			if err := n.retreat(c, err); err != nil {
				return err
			}
		}
	}
	if err := n.links(); err != nil {
		return err
	}
	return n.mendCopies()
}

// retreat leaves a decided generation whose files are damaged for another whole one. It is not
// refused: the same releases may be installed again.
func (n *Node) retreat(damaged int, cause error) error {
	next := n.state.clone()
	next.Current, next.Good, next.Before = 0, 0, 0
	candidates := []int{n.state.Good, n.state.Before}
	for _, number := range candidates {
		if number > 0 && number != damaged && n.whole(number, true) == nil {
			next.Current, next.Good = number, number
			break
		}
	}
	why := fmt.Sprintf("generation %d is damaged on the disk (%v)", damaged, cause)
	if next.Current > 0 {
		why += fmt.Sprintf("; went back to generation %d", next.Current)
	}
	why += "; install the same volume again to return to it"
	n.damage = append(n.damage, why)
	next.add(nodeapi.Event{At: n.now(), What: "recovered", Generation: next.Current, From: damaged, Reason: why})
	return n.save(next)
}

// want returns where the link current should lead.
func (s *State) want() int {
	if i := s.Intent; i != nil {
		if i.Failed != "" {
			return i.From
		}
		return i.Generation
	}
	return s.Current
}

// links points current and good to where the state says. Both are for people, and for a state that is
// lost: on a disk that takes nothing new they stay behind, until the next switch.
func (n *Node) links() error {
	n.linkCommands()
	err := cmp.Or(n.point("current", n.state.want()), n.point("good", n.state.Good))
	if !fsx.TakesNothing(err) {
		return err
	}
	n.Problem("links", fmt.Sprintf("what runs is as it should be, but %v", err))
	return nil
}

// commandsDir is the folder of a generation with a link for each command; DIR/bin leads to that of
// the current one, so the commands switch when it does.
const (
	commandsDir     = "commands"
	currentCommands = "current/" + commandsDir
)

func (n *Node) commandsLinked() bool {
	to, err := os.Readlink(filepath.Join(n.dir, "bin"))
	return err == nil && to == currentCommands
}

// UnlinkCommands removes DIR/bin, unless it is somebody else's.
func (n *Node) UnlinkCommands() {
	if n.commandsLinked() {
		_ = n.o.FS.Remove(filepath.Join(n.dir, "bin"))
	}
}

// linkCommands makes DIR/bin, once there are commands. That it cannot is told, and hinders nothing.
func (n *Node) linkCommands() {
	path, target := filepath.Join(n.dir, "bin"), currentCommands
	if n.commandsLinked() || !exists(filepath.Join(genDir(n.dir, n.state.want()), commandsDir)) {
		n.Problem(commandsDir, "")
		return
	}
	err := fs.ErrExist // somebody else's
	if !exists(path) {
		err = n.o.FS.Symlink(target, path)
	}
	if err != nil {
		n.Problem(commandsDir, fmt.Sprintf("no commands in %s: %v; they are in %s/%s", path, err, n.dir, target))
	}
}

func (n *Node) point(name string, number int) error {
	path := filepath.Join(n.dir, name)
	if number == 0 {
		if !exists(path) {
			return nil
		}
		if err := n.o.FS.Remove(path); err != nil {
			return fsx.Full(fmt.Errorf("remove %s: %w", path, err))
		}
		return n.o.FS.SyncDir(n.dir)
	}
	target := "gen/" + fmt.Sprint(number)
	if got, err := os.Readlink(path); err == nil && got == target {
		return nil
	}
	if err := n.o.FS.Symlink(target, path); err != nil {
		return fsx.Full(fmt.Errorf("point %s to generation %d: %w", name, number, err))
	}
	return nil
}

// mendCopies writes the copy of the running generation's document that is
// damaged from the one that is not.
func (n *Node) mendCopies() error {
	number := n.state.want()
	if number == 0 {
		return nil
	}
	dir := genDir(n.dir, number)
	g, err := readGeneration(dir, number)
	if err != nil {
		return nil //nolint:nilerr // nothing to mend it from; Generation reports it
	}
	b, err := encodeGeneration(g)
	if err != nil {
		return err
	}
	for _, name := range []string{documentName, documentCopy} {
		if path := filepath.Join(dir, name); !sameDocument(path, b) {
			if err := n.o.FS.WriteFile(path, b, 0o644); err != nil {
				if fsx.TakesNothing(err) {
					return nil // the other copy still serves
				}
				return fmt.Errorf("mend %s: %w", path, err)
			}
			n.damage = append(n.damage, fmt.Sprintf("%s was damaged and is mended from its copy", path))
		}
	}
	return nil
}
