package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/digest"
	"overland/internal/lockfile"
	"overland/internal/progress"
	"overland/internal/session"
)

func (a *app) lock() *cobra.Command {
	return group("lock", "Review and mend the lock of a build's inputs", a.lockVerify(), a.lockUpdate(), a.lockDiff(), a.lockPrune())
}

func (a *app) lockVerify() *cobra.Command {
	var o sessionOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read everything that is locked and prove it again",
		Long: "Reads every locked blob in the depot, compares it with its digest, and computes every proof again from what the lock\n" +
			"itself holds: what a checksum database or an archive signed, what a registry's document promises, what is pinned.\n" +
			"It fails when something is missing or changed, also when its line in the lock was changed with\n" +
			"it, and names it. The keys are those that this machine's tools trust.",
		Example: "overland lock verify\noverland lock verify --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.runLockVerify(c.Context(), o, asJSON) },
	}
	o.files(c)
	jsonFlag(c, &asJSON)
	return c
}

// verifiedJSON is the result of lock verify --json.
type verifiedJSON struct {
	Entries  int            `json:"entries"`
	Bytes    int64          `json:"bytes"`
	Proofs   map[string]int `json:"proofs"`   // by kind; "" = nothing of its own
	Problems []string       `json:"problems"` // what does not hold; the exit code is not 0 then
}

func (a *app) runLockVerify(ctx context.Context, o sessionOptions, asJSON bool) error {
	s, err := a.session(o, false, nil)
	if err != nil {
		return err
	}
	if s.Lock, err = lockfile.Load(o.lock); err != nil {
		return err
	}
	bad, err := session.Verify(ctx, *s)
	if err != nil {
		return err
	}
	l := s.Lock
	if asJSON {
		out := verifiedJSON{Entries: len(l.Entries), Bytes: bytesOf(l), Proofs: kinds(l), Problems: []string{}}
		for _, err := range bad {
			out.Problems = append(out.Problems, err.Error())
		}
		if err := a.printJSON(out); err != nil {
			return err
		}
	}
	if len(bad) == 0 {
		a.note("%s: %s, all there", o.lock, summary(l, nil))
		if len(l.Entries) > 0 {
			a.note("%s", proofs(l))
		}
		return ctx.Err()
	}
	for _, err := range bad {
		a.warn(err.Error())
	}
	return session.LockErr(o.lock, len(l.Entries), bad)
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
			old, err := lockfile.Load(o.lock)
			if err != nil {
				return err
			}
			if err := lockfile.Writable(o.lock); err != nil {
				return err
			}
			s, err := a.session(o, true, args)
			if err != nil {
				return err
			}
			res, err := session.Record(c.Context(), *s)
			a.problems(res)
			if err := res.RecordErr(err); err != nil {
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
			old, err := lockfile.Load(o.lock)
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
func (a *app) replaceLock(file string, old, l *lockfile.Lock) error {
	changes := lockfile.Diff(old, l)
	if len(changes) == 0 {
		a.note("%s: nothing changes", file)
		return nil
	}
	a.printChanges(changes)
	if err := a.confirm("Write %s with %s?", file, plural(len(changes), "change", "changes")); err != nil {
		return err
	}
	return l.Save(file)
}

func (a *app) lockDiff() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff OLD [NEW]",
		Short: "Show what differs between two locks",
		Long: "Prints a line for each entry that was added (+), removed (-) or has other content (~) from OLD to NEW, which is\n" +
			"overland.lock when it is not given.",
		Example: "overland lock diff overland.lock\noverland lock diff --json overland.lock",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			args = append(args, "overland.lock")
			x, err := lockfile.Load(args[0])
			if err != nil {
				return err
			}
			y, err := lockfile.Load(args[1])
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(changesJSON(lockfile.Diff(x, y)))
			}
			a.printChanges(lockfile.Diff(x, y))
			return nil
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// changeJSON is one change in the result of lock diff --json. A blob is left out where there was no entry, or one that says
// that there is no such thing.
type changeJSON struct {
	Change   string        `json:"change"` // "added", "removed", "changed"
	Protocol string        `json:"protocol"`
	Key      string        `json:"key"`
	Old      digest.Digest `json:"old,omitempty"`
	New      digest.Digest `json:"new,omitempty"`
}

func changesJSON(list []lockfile.Change) []changeJSON {
	out := []changeJSON{}
	for _, c := range list {
		switch {
		case c.Old == nil:
			out = append(out, changeJSON{"added", c.New.Protocol, c.New.Key, "", c.New.Blob})
		case c.New == nil:
			out = append(out, changeJSON{"removed", c.Old.Protocol, c.Old.Key, c.Old.Blob, ""})
		default:
			out = append(out, changeJSON{"changed", c.New.Protocol, c.New.Key, c.Old.Blob, c.New.Blob})
		}
	}
	return out
}

func (a *app) printChanges(list []lockfile.Change) {
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

func content(e *lockfile.Entry) string {
	if !e.Exists() {
		return fmt.Sprintf("(%d: %s)", e.Status, strings.ToLower(http.StatusText(e.Status)))
	}
	return string(e.Blob)
}

// summary returns l in a few words.
func summary(l *lockfile.Lock, changes []lockfile.Change) string {
	s := plural(len(l.Entries), "entry", "entries") + ", " + progress.Bytes(bytesOf(l))
	if changes != nil {
		s += ", " + plural(len(changes), "change", "changes")
	}
	return s
}

func bytesOf(l *lockfile.Lock) (sum int64) {
	for _, e := range l.Entries {
		sum += e.Size
	}
	return sum
}

// kinds counts the entries of l by the kind of their proof; "" = nothing of its own.
func kinds(l *lockfile.Lock) map[string]int {
	count := map[string]int{}
	for _, e := range l.Entries {
		count[e.Proof.Kind]++
	}
	return count
}

// proofs returns by what the entries of l are proved, in a few words.
func proofs(l *lockfile.Lock) string {
	count := kinds(l)
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		list = append(list, fmt.Sprintf("%d by %s", count[kind], cmp.Or(kind, "nothing of its own")))
	}
	return "proved: " + strings.Join(list, ", ")
}
