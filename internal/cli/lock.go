package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/errs"
	"overland/internal/record"
	"overland/internal/record/session"
)

func (a *app) lock() *cobra.Command {
	return group("lock", "Review and mend the lock of a build's inputs", a.lockVerify(), a.lockUpdate(), a.lockDiff(), a.lockPrune())
}

func (a *app) lockVerify() *cobra.Command {
	var o sessionOptions
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read everything that is locked and prove it again",
		Long: "Reads every locked blob in the depot, compares it with its digest, and computes every proof again from what the lock\n" +
			"itself holds: what a checksum database or an archive signed, what a registry's document promises, what is pinned.\n" +
			"It fails when something is missing or changed, also when its line in the lock was changed with\n" +
			"it, and names it. The keys are those that this machine's tools trust.",
		Example: "overland lock verify",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.runLockVerify(c.Context(), o) },
	}
	o.files(c)
	return c
}

func (a *app) runLockVerify(ctx context.Context, o sessionOptions) error {
	s, err := a.session(o, nil)
	if err != nil {
		return err
	}
	if s.Lock, err = readLock(o.lock); err != nil {
		return err
	}
	bad, err := session.Verify(ctx, *s)
	if err != nil {
		return err
	}
	l := s.Lock
	if len(bad) == 0 {
		a.note("%s: %s, all there", o.lock, summary(l, nil))
		if len(l.Entries) > 0 {
			a.note("%s", proofs(l))
		}
		return ctx.Err()
	}
	worst := errs.Unavailable
	for _, err := range bad {
		a.warn(err.Error())
		if errs.KindOf(err) == errs.Untrusted {
			worst = errs.Untrusted
		}
	}
	return errs.Hint(errs.Errorf(worst, "%d of %d entries do not hold", len(bad), len(l.Entries)),
		"overland record -- COMMAND fetches them again and refuses what has changed")
}

func (a *app) lockUpdate() *cobra.Command {
	var o sessionOptions
	return o.flags(&cobra.Command{
		Use:   "update [flags] -- COMMAND…",
		Short: "Record anew and show what moves before it moves",
		Long: "Runs COMMAND as overland record does, but as if nothing were locked, prints what would change in the lock file, and\n" +
			"asks before it replaces it. What COMMAND did not ask for is dropped.",
		Example: "overland lock update --yes -- go mod download",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			old, err := readLock(o.lock)
			if err != nil {
				return err
			}
			if err := lockWritable(o.lock); err != nil {
				return err
			}
			s, err := a.session(o, args)
			if err != nil {
				return err
			}
			res, err := session.Record(c.Context(), *s)
			if err := a.judge(res, err); err != nil {
				return err
			}
			return a.replaceLock(o.lock, old, res.Lock)
		},
	})
}

func (a *app) lockPrune() *cobra.Command {
	var o sessionOptions
	return o.flags(&cobra.Command{
		Use:   "prune [flags] -- COMMAND…",
		Short: "Drop what a command no longer asks for",
		Long: "Replays COMMAND without a network, prints the entries that neither it asked for nor what it asked for is proved by,\n" +
			"and asks before it drops them from the lock file. The blobs stay in the depot.",
		Example: "overland lock prune --yes -- go mod download",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			old, err := readLock(o.lock)
			if err != nil {
				return err
			}
			o.proofs = true
			res, err := a.runReplay(c.Context(), o, args)
			if err != nil {
				return err
			}
			return a.replaceLock(o.lock, old, res.Lock)
		},
	})
}

// replaceLock writes the lock l in place of old, when a person agrees to what changes.
func (a *app) replaceLock(file string, old, l *record.Lock) error {
	changes := record.Diff(old, l)
	if len(changes) == 0 {
		a.note("%s: nothing changes", file)
		return nil
	}
	a.printChanges(changes)
	if err := a.confirm("Write %s with %d changes?", file, len(changes)); err != nil {
		return err
	}
	return writeLock(file, l)
}

func (a *app) lockDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD [NEW]",
		Short: "Show what differs between two locks",
		Long: "Prints a line for each entry that was added (+), removed (-) or has other content (~) from OLD to NEW, which is\n" +
			"overland.lock when it is not given.",
		Example: "overland lock diff overland.lock",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			args = append(args, "overland.lock")
			x, err := readLock(args[0])
			if err != nil {
				return err
			}
			y, err := readLock(args[1])
			if err != nil {
				return err
			}
			a.printChanges(record.Diff(x, y))
			return nil
		},
	}
}

func (a *app) printChanges(list []record.Change) {
	for _, c := range list {
		switch {
		case c.Old == nil:
			a.printf("+ %s %s %s\n", c.New.Protocol, c.New.Key, content(c.New))
		case c.New == nil:
			a.printf("- %s %s %s\n", c.Old.Protocol, c.Old.Key, content(c.Old))
		default:
			a.printf("~ %s %s %s → %s\n", c.New.Protocol, c.New.Key, content(c.Old), content(c.New))
		}
	}
}

func content(e *record.Entry) string {
	if !e.Exists() {
		return fmt.Sprintf("(%d: does not exist)", e.Status)
	}
	return string(e.Blob)
}

// summary returns l in a few words.
func summary(l *record.Lock, changes []record.Change) string {
	var bytes int64
	for _, e := range l.Entries {
		bytes += e.Size
	}
	s := fmt.Sprintf("%d entries, %s", len(l.Entries), size(bytes))
	if changes != nil {
		s += fmt.Sprintf(", %d changes", len(changes))
	}
	return s
}

// proofs returns by what the entries of l are proved, in a few words.
func proofs(l *record.Lock) string {
	count := map[string]int{}
	for _, e := range l.Entries {
		count[cmp.Or(e.Proof.Kind, "nothing of its own")]++
	}
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		list = append(list, fmt.Sprintf("%d by %s", count[kind], kind))
	}
	return "proved: " + strings.Join(list, ", ")
}
