package node

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

// ErrExhausted is returned by Try when the generation may not be started
// again: it has to be left with Back.
var ErrExhausted = errors.New("no tries left")

// Stage writes g as the next generation and returns its number; g.Number is ignored. place
// puts program p, verified, at path, whose folder exists. Nothing that runs is touched;
// until Begin names it, a staged generation is waste that Collect removes. The caller
// holds back other calls of Stage.
func (n *Node) Stage(g Generation, place func(p Program, path string) error) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	number := n.state.Next
	if list := n.numbers(); len(list) > 0 {
		number = max(number, list[len(list)-1]+1)
	}
	g.Schema, g.Number, g.Staged = Schema, number, n.now()
	if err := g.check(); err != nil {
		return 0, fmt.Errorf("stage: %w", err)
	}
	dir := genDir(n.dir, number)
	if err := n.write(&g, dir, place); err != nil {
		return 0, fsx.Full(errors.Join(fmt.Errorf("stage generation %d: %w", number, err), n.o.FS.RemoveAll(dir+".tmp")))
	}
	return number, nil
}

func (n *Node) write(g *Generation, dir string, place func(Program, string) error) error {
	fs, tmp := n.o.FS, dir+".tmp"
	if err := fs.RemoveAll(tmp); err != nil {
		return err
	}
	if err := fs.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	dirs := []string{tmp}
	if slices.ContainsFunc(g.Apps, func(a App) bool { return len(a.Commands) > 0 }) {
		dirs = append(dirs, filepath.Join(tmp, commandsDir))
		if err := fs.Mkdir(dirs[1], 0o755); err != nil {
			return err
		}
	}
	for _, a := range g.Apps {
		if len(a.Programs) == 0 {
			continue
		}
		bin := filepath.Join(tmp, "bin", a.App)
		if err := fs.Mkdir(bin, 0o755); err != nil {
			return err
		}
		for _, p := range a.Programs {
			if err := place(p, filepath.Join(bin, p.File)); err != nil {
				return fmt.Errorf("app %s: program %s: %w", a.App, p.File, err)
			}
		}
		dirs = append(dirs, bin)
		for name, artifact := range a.Commands {
			if err := fs.Symlink(filepath.Join("..", a.ProgramPath(*a.program(artifact))), filepath.Join(tmp, commandsDir, name)); err != nil {
				return fmt.Errorf("app %s: command %s: %w", a.App, name, err)
			}
		}
	}
	b, err := encodeGeneration(g)
	if err != nil {
		return err
	}
	for _, name := range []string{documentName, documentCopy} {
		if err := fs.WriteFile(filepath.Join(tmp, name), b, 0o644); err != nil {
			return err
		}
	}
	for _, d := range slices.Backward(dirs) {
		if err := fs.SyncDir(d); err != nil {
			return err
		}
	}
	if _, err := readGeneration(tmp, g.Number); err != nil {
		return err
	}
	if err := verifyGeneration(tmp, g, false); err != nil {
		return err
	}
	if err := fs.Rename(tmp, dir); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(dir))
}

// Begin makes the switch to generation number the node's intent, durably, and swaps
// current to it. limit is how long its attempts in one boot may take together. Errors
// leave the old generation in place.
func (n *Node) Begin(number int, limit time.Duration, by string) error {
	return n.BeginFollowing(number, limit, by, n.State().Settings)
}

// BeginFollowing is Begin of a switch with which the node follows s. When the generation is left and
// s named another channel than before, the settings from before are in force again.
func (n *Node) BeginFollowing(number int, limit time.Duration, by string, s Settings) error {
	return n.beginFollowing(number, limit, by, "", s)
}

// BeginBack is BeginFollowing of a rollback that nobody asked for: because of why. What it leaves is
// refused for that.
func (n *Node) BeginBack(number int, limit time.Duration, why string, s Settings) error {
	return n.beginFollowing(number, limit, "rollback", why, s)
}

func (n *Node) beginFollowing(number int, limit time.Duration, by, why string, s Settings) error {
	if err := n.begin(number, limit, by, why, s); err != nil {
		return err
	}
	n.writeSettings()
	return nil
}

func (n *Node) begin(number int, limit time.Duration, by, why string, s Settings) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := n.state.Intent; i != nil {
		return errs.Errorf(errs.Conflict, "begin generation %d: generation %d is not decided yet", number, i.Generation)
	}
	if err := n.whole(number, false); err != nil {
		return fmt.Errorf("begin generation %d: %w", number, err)
	}
	g, err := readGeneration(genDir(n.dir, number), number)
	if err != nil {
		return fmt.Errorf("begin generation %d: %w", number, err)
	}
	next := n.state.clone()
	next.Next = max(next.Next, number+1)
	next.Intent = &Intent{Generation: number, From: n.state.Current, Tries: Tries, Limit: limit, Deadline: n.now().Add(limit), By: by, Why: clip(why, textLimit)}
	if was := n.state.Settings; was.Channel != "" && was.Channel != s.Channel {
		next.Intent.Followed = &was
	}
	next.Settings = s
	next.add(nodeapi.Event{At: n.now(), What: "switched", Generation: number, From: n.state.Current, Apps: g.Names(), Reason: cmp.Or(why, by)})
	if err := n.save(next); err != nil {
		return err
	}
	return n.links()
}

// Try counts one attempt at the intended generation, durably, before the caller starts anything of
// it. When no tries are left, its time is over or it has failed already, the error wraps
// ErrExhausted and Failed of the state's intent says why.
func (n *Node) Try() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.state.Intent
	if i == nil {
		return fmt.Errorf("try: no switch is in progress")
	}
	next := n.state.clone()
	boot, since := n.o.Boot()
	if i.Boot != boot || i.Boot == "" || since < i.Since {
		next.Intent.Boot, next.Intent.Since = boot, since
	}
	switch {
	case i.Failed != "":
	case i.Tries == 0:
		next.Intent.Failed = fmt.Sprintf("the agent or the machine stopped %d times while generation %d was starting", Tries, i.Generation)
	case i.over(boot, since):
		next.Intent.Failed = fmt.Sprintf("generation %d did not prove itself within %s", i.Generation, i.Limit)
	default:
		next.Intent.Tries--
		if err := n.save(next); err != nil {
			return err
		}
		return n.links()
	}
	if err := n.save(next); err != nil {
		return err
	}
	return fmt.Errorf("generation %d: %s: %w", i.Generation, next.Intent.Failed, ErrExhausted)
}

// over reports whether the attempts of this boot have used their time. The clock on the wall is not
// asked: it may say 1970 or 2100.
func (i *Intent) over(boot string, since time.Duration) bool {
	return i.Limit > 0 && i.Boot != "" && i.Boot == boot && since >= i.Since && since-i.Since >= i.Limit
}

// Left returns how long the attempt that Try counted may still take; a
// large value when there is no limit.
func (n *Node) Left() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.state.Intent
	boot, since := n.o.Boot()
	switch {
	case i == nil || i.Limit == 0:
		return 1 << 62
	case i.Boot != boot || since < i.Since:
		return i.Limit
	}
	return max(0, i.Limit-(since-i.Since))
}

// Good marks the intended generation good: from now on failures lead back to it.
func (n *Node) Good() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.state.Intent
	if i == nil || i.Failed != "" {
		return fmt.Errorf("mark good: no switch is in progress")
	}
	next := n.state.clone()
	next.Intent, next.Current = nil, i.Generation
	next.GoodBoot, next.GoodAt = n.o.Boot()
	if next.Good != i.Generation {
		next.Before, next.Good = next.Good, i.Generation
	}
	if g, err := readGeneration(genDir(n.dir, i.Generation), i.Generation); err == nil {
		content := g.Content()
		next.Bad = slices.DeleteFunc(next.Bad, func(b Bad) bool { return b.Content == content })
	}
	if i.By == "rollback" && i.From > 0 {
		// Otherwise the channel, which still names what was left, would bring it back at once.
		if g, err := readGeneration(genDir(n.dir, i.From), i.From); err == nil {
			next.refuse(Bad{Generation: i.From, Content: g.Content(), Reason: cmp.Or(i.Why, "rolled back by the operator"), At: n.now()})
		}
	}
	next.add(nodeapi.Event{At: n.now(), What: "good", Generation: i.Generation, From: i.From})
	if err := n.save(next); err != nil {
		return err
	}
	return n.links()
}

// Young reports whether the current generation was marked good in this boot, less than d ago.
func (n *Node) Young(d time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	boot, now := n.o.Boot()
	s := n.state
	return s.Intent == nil && s.Current == s.Good && boot != "" && boot == s.GoodBoot && now >= s.GoodAt && now-s.GoodAt < d
}

// Verdict is why a generation is left.
type Verdict struct {
	Reason string
	Check  string   // the failing self-test
	Log    []string // the service's last lines

	Forgiven bool // its content is not refused: nothing is wrong with it
}

// Fail marks the intended generation as failed, durably, and swaps current back. The caller then
// starts what From holds and calls Back. After a crash in between, Try returns ErrExhausted.
func (n *Node) Fail(v Verdict) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state.Intent == nil {
		return fmt.Errorf("fail: no switch is in progress")
	}
	next := n.state.clone()
	i := next.Intent
	if i.Failed == "" {
		i.Forgiven = v.Forgiven
		i.Failed, i.Check, i.Log = clip(v.Reason, textLimit), clip(v.Check, textLimit), clipLines(v.Log)
		i.Failed = cmp.Or(i.Failed, "failed")
		if err := n.save(next); err != nil {
			return err
		}
	}
	return n.links()
}

// Back ends a failed switch: the generation it came from is current again, with the channel that was
// followed then, and the failed content is refused until something new is named.
func (n *Node) Back() error {
	if err := n.back(); err != nil {
		return err
	}
	n.writeSettings()
	return nil
}

func (n *Node) back() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.state.Intent
	if i == nil || i.Failed == "" {
		return fmt.Errorf("back: no failed switch")
	}
	if err := n.links(); err != nil {
		return err
	}
	next := n.state.clone()
	next.leave(i)
	g, err := readGeneration(genDir(n.dir, i.Generation), i.Generation)
	var apps []string
	if err == nil {
		apps = g.Names()
		if !i.Damaged && !i.Forgiven {
			next.refuse(Bad{Generation: i.Generation, Content: g.Content(), Reason: i.Failed, At: n.now()})
		}
	}
	next.add(nodeapi.Event{At: n.now(), What: "back", Generation: i.From, From: i.Generation, Apps: apps, Reason: i.Failed, Check: i.Check, Log: i.Log})
	return n.save(next)
}

// leave undoes the switch i: what was current and followed before it is so again.
func (s *State) leave(i *Intent) {
	s.Intent, s.Current = nil, i.From
	if i.Followed != nil {
		s.Settings = *i.Followed
	}
}

// Forgive lets content be tried again.
func (n *Node) Forgive(content digest.Digest) error {
	return n.Update(func(s *State) {
		s.Bad = slices.DeleteFunc(s.Bad, func(b Bad) bool { return b.Content == content })
	})
}

// Collect removes the generations that nothing can lead back to: all but the current
// one, the last good one, the good one before it and those of an undecided switch.
// It returns the generations kept.
func (n *Node) Collect() ([]int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	keep := map[int]bool{n.state.Current: true, n.state.Good: true, n.state.Before: true}
	if i := n.state.Intent; i != nil {
		keep[i.Generation], keep[i.From] = true, true
	}
	var kept []int
	for _, number := range n.numbers() {
		if keep[number] {
			kept = append(kept, number)
			continue
		}
		if err := n.o.FS.RemoveAll(genDir(n.dir, number)); err != nil {
			return nil, fmt.Errorf("collect generation %d: %w", number, err)
		}
	}
	tmp, err := filepath.Glob(filepath.Join(n.dir, "gen", "*.tmp"))
	if err != nil {
		return nil, err
	}
	for _, path := range tmp {
		if generationNumber(strings.TrimSuffix(filepath.Base(path), ".tmp")) > 0 {
			if err := n.o.FS.RemoveAll(path); err != nil {
				return nil, fmt.Errorf("collect %s: %w", path, err)
			}
		}
	}
	return kept, nil
}

// Untry gives back the attempt that Try counted, when the caller was asked
// to stop before it was decided.
func (n *Node) Untry() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.state.clone()
	if next.Intent == nil || next.Intent.Failed != "" || next.Intent.Tries >= Tries {
		return nil
	}
	next.Intent.Tries++
	return n.save(next)
}

// Abandon ends a switch that was never tried: the generation it came from stays
// current and nothing is refused.
func (n *Node) Abandon(reason string) error {
	if err := n.abandon(reason); err != nil {
		return err
	}
	n.writeSettings()
	return nil
}

func (n *Node) abandon(reason string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.state.Intent
	if i == nil || i.Tries != Tries || i.Failed != "" {
		return errs.Errorf(errs.Conflict, "abandon: no switch that was never tried")
	}
	next := n.state.clone()
	next.leave(i)
	next.add(nodeapi.Event{At: n.now(), What: "back", Generation: i.From, From: i.Generation, Reason: reason})
	if err := n.save(next); err != nil {
		return err
	}
	return n.links()
}
