package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/progress"
	"overland/internal/session"
)

func lockVerify(t *term.Term, run verb.Run[sessionOptions]) *cobra.Command {
	var o sessionOptions
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read everything that is locked and prove it again",
		Long: "Reads every locked blob in the depot, compares it with its digest, and computes every proof again from what the lock\n" +
			"itself holds: what a checksum database or an archive signed, what a registry's document promises, what is pinned.\n" +
			"It fails, and names the entry, when something is missing or changed, even if the line in the lock was changed to\n" +
			"match. The keys are those that this machine's tools trust.",
		Example: "overland lock verify\noverland lock verify --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.lock = lockOf(o.lock)
			return run(c.Context(), t, o)
		},
	}
	o.fileFlags(c)
	verb.JSONFlag(c, &o.json)
	return c
}

// verifiedJSON is the result of lock verify --json.
type verifiedJSON struct {
	Entries  int            `json:"entries"`
	Bytes    int64          `json:"bytes"`
	Proofs   map[string]int `json:"proofs"`   // by kind; "" = nothing of its own
	Problems []string       `json:"problems"` // what does not hold; the exit code is not 0 then
}

func runLockVerify(ctx context.Context, t *term.Term, o sessionOptions) error {
	s, err := o.session(t, false)
	if err != nil {
		return err
	}
	if s.Lock, err = lockfile.Load(o.lock); err != nil {
		return err
	}
	bar := t.Bar()
	s.Progress = bar.Show
	bad, err := session.Verify(ctx, *s)
	bar.Close()
	if err != nil {
		return err
	}
	l := s.Lock
	if o.json {
		out := verifiedJSON{Entries: len(l.Entries), Bytes: bytesOf(l), Proofs: kinds(l), Problems: []string{}}
		for _, err := range bad {
			out.Problems = append(out.Problems, err.Error())
		}
		if err := t.JSON(out); err != nil {
			return err
		}
	}
	if len(bad) == 0 {
		t.Note("%s: %s, all there", o.lock, summary(l, nil))
		if len(l.Entries) > 0 {
			t.Note("%s", proofs(l))
		}
		return ctx.Err()
	}
	for _, err := range bad {
		t.Warn(err.Error())
	}
	return session.LockErr(o.lock, len(l.Entries), bad)
}

func lockUpdate(t *term.Term, run verb.Run[sessionOptions]) *cobra.Command {
	var o sessionOptions
	c := o.runs(t, &cobra.Command{
		Use:   "update [flags] [--] [COMMAND…]",
		Short: "Record anew and show what changes before it changes",
		Long: "Runs COMMAND as overland record does, but as if nothing were locked, prints what would change in the lock file, and\n" +
			"asks before it replaces it. What COMMAND did not ask for is dropped. With --failed only the origins' refusals and\n" +
			"failures (403, 404, 503 …) are asked for again, and everything else stays locked; without COMMAND they are asked for\n" +
			"alone, and what COMMAND would fetch after them is not.",
		Example: "overland lock update --yes -- go mod download\noverland lock update --failed --yes",
	}, run)
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 && !o.failed {
			return errs.Hint(errs.Errorf(errs.Invalid, "no command to run"), "overland lock update -- COMMAND, or overland lock update --failed")
		}
		return nil
	}
	o.reachFlag(c)
	verb.JSONFlag(c, &o.json)
	c.Flags().BoolVar(&o.failed, "failed", false, "ask again only for what an origin refused or failed to give")
	return c
}

func runLockUpdate(ctx context.Context, t *term.Term, o sessionOptions) error {
	old, err := lockfile.Load(o.lock)
	if err != nil {
		return err
	}
	if err := lockfile.Writable(o.lock); err != nil {
		return err
	}
	s, err := o.session(t, true)
	if err != nil {
		return err
	}
	if o.failed && len(o.command) == 0 {
		return o.askAgain(ctx, t, old, s)
	}
	if o.failed {
		s.Lock = lockfile.New(slices.DeleteFunc(slices.Clone(old.Entries), lockfile.Entry.Failed))
	}
	s.Seen = old
	res, ended := recorded(ctx, t, *s)
	err = res.RecordErr(ended)
	if err == nil && o.failed {
		res.Lock = session.KeepFailed(old, res.Lock)
	}
	return o.replaceLock(t, s, old, res, recordWarnings(res, ended), err)
}

// askAgain asks for the failures in old alone.
func (o sessionOptions) askAgain(ctx context.Context, t *term.Term, old *lockfile.Lock, s *session.Options) error {
	if len(failedOf(old)) == 0 {
		t.Note("%s: nothing failed", o.lock)
		return o.replaceLock(t, s, old, &session.Result{Lock: old}, nil, nil)
	}
	s.Lock = old
	res, err := session.Again(ctx, *s)
	for _, text := range warnings(res) {
		t.Warn(text)
	}
	return o.replaceLock(t, s, old, res, warnings(res), res.RecordErr(err))
}

func lockPrune(t *term.Term, run verb.Run[sessionOptions]) *cobra.Command {
	var o sessionOptions
	c := o.runs(t, &cobra.Command{
		Use:   "prune [flags] -- COMMAND…",
		Short: "Drop what a command no longer asks for",
		Long: "Replays COMMAND without a network, prints the entries that it neither asked for nor needs to prove what it asked\n" +
			"for, and asks before it drops them from the lock file. The blobs stay in the depot until overland depot gc.",
		Example: "overland lock prune --yes -- go mod download",
	}, run)
	o.cellFlags(c)
	verb.JSONFlag(c, &o.json)
	return c
}

func runLockPrune(ctx context.Context, t *term.Term, o sessionOptions) error {
	old, err := lockfile.Load(o.lock)
	if err != nil {
		return err
	}
	o.proofs = true
	res, s, _, err := replayed(ctx, t, o)
	if s == nil {
		return err
	}
	return o.replaceLock(t, s, old, res, warnings(res), err)
}

// failedJSON is an origin's refusal or failure that is locked.
type failedJSON struct {
	Protocol string `json:"protocol"`
	Key      string `json:"key"`
	Status   int    `json:"status"`
}

func failedOf(l *lockfile.Lock) []failedJSON {
	list := []failedJSON{}
	for _, e := range l.Entries {
		if e.Failed() {
			list = append(list, failedJSON{e.Protocol, e.Key, e.Status})
		}
	}
	return list
}

// noteFailed shows what is locked as refused or failed: it may have passed meanwhile.
func noteFailed(t *term.Term, list []failedJSON) {
	const most = 10
	for _, f := range list[:min(len(list), most)] {
		t.Note("locked as failed: %d %s: %s %s", f.Status, strings.ToLower(http.StatusText(f.Status)), f.Protocol, f.Key)
	}
	if len(list) > most {
		t.Note("… and %d more", len(list)-most)
	}
	if len(list) > 0 {
		t.Note("ask again with: overland lock update --failed -- COMMAND")
	}
}

// replacedJSON is the result of lock update --json and lock prune --json.
type replacedJSON struct {
	Lock     string       `json:"lock"`    // the file's absolute path
	Written  bool         `json:"written"` // false: the file was not changed
	Changes  []changeJSON `json:"changes"`
	Failed   []failedJSON `json:"failed"` // what origins refused or failed to give
	Warnings []string     `json:"warnings"`
}

// replaceLock writes the lock of res in place of old, when a person agrees to what changes. Nothing is
// written after the error failed, which is returned; res may be nil then.
func (o sessionOptions) replaceLock(t *term.Term, s *session.Options, old *lockfile.Lock, res *session.Result, warned []string, failed error) (err error) {
	out := replacedJSON{Lock: s.LockFile, Changes: []changeJSON{}, Failed: []failedJSON{}, Warnings: append([]string{}, warned...)}
	if err = failed; err == nil {
		changes := lockfile.Diff(old, res.Lock)
		out.Changes, out.Failed = changesJSON(changes), failedOf(res.Lock)
		noteFailed(t, out.Failed)
		out.Written, err = o.replace(t, s, old, res.Lock, changes)
	}
	if o.json {
		err = errors.Join(err, t.JSON(out))
	}
	return err
}

func (o sessionOptions) replace(t *term.Term, s *session.Options, old, l *lockfile.Lock, changes []lockfile.Change) (written bool, _ error) {
	if len(changes) == 0 {
		t.Note("%s: nothing changes", o.lock)
		return false, nil
	}
	if !o.json {
		printChanges(t, changes)
	}
	if err := t.Confirm("Write %s with %s?", o.lock, progress.Count(len(changes), "change", "changes")); err != nil {
		return false, err
	}
	err := save(s, o.lock, old, l)
	return err == nil, err
}

// diffOptions are the settings of lock diff.
type diffOptions struct {
	before, after string // files
	json          bool
}

func lockDiff(t *term.Term, run verb.Run[diffOptions]) *cobra.Command {
	var o diffOptions
	c := &cobra.Command{
		Use:   "diff OLD [NEW]",
		Short: "Show what differs between two locks",
		Long: "Prints a line for each entry that was added (+), removed (-) or has other content (~) from OLD to NEW, which is\n" +
			"overland.lock when it is not given.",
		Example: "overland lock diff overland.lock\noverland lock diff --json overland.lock",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			o.before, o.after = args[0], verb.First(args[1:], lockOf(""))
			return run(c.Context(), t, o)
		},
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runLockDiff(_ context.Context, t *term.Term, o diffOptions) error {
	before, err := lockfile.Load(o.before)
	if err != nil {
		return err
	}
	after, err := lockfile.Load(o.after)
	if err != nil {
		return err
	}
	changes := lockfile.Diff(before, after)
	if o.json {
		return t.JSON(changesJSON(changes))
	}
	printChanges(t, changes)
	return nil
}

// changeJSON is one change in the result of lock diff --json. A digest is left out where there is
// no entry, or one that records an answer like 404.
type changeJSON struct {
	Change   string        `json:"change"` // "added", "removed", "changed"
	Protocol string        `json:"protocol"`
	Key      string        `json:"key"`
	Asked    []string      `json:"asked,omitempty"` // what tells it from others with that key
	Old      digest.Digest `json:"old,omitempty"`
	New      digest.Digest `json:"new,omitempty"`
}

func changesJSON(list []lockfile.Change) []changeJSON {
	out := []changeJSON{}
	for _, c := range list {
		switch {
		case c.Old == nil:
			out = append(out, changeJSON{"added", c.New.Protocol, c.New.Key, c.New.Asked.Lines(), "", c.New.Blob})
		case c.New == nil:
			out = append(out, changeJSON{"removed", c.Old.Protocol, c.Old.Key, c.Old.Asked.Lines(), c.Old.Blob, ""})
		default:
			out = append(out, changeJSON{"changed", c.New.Protocol, c.New.Key, c.New.Asked.Lines(), c.Old.Blob, c.New.Blob})
		}
	}
	return out
}

func printChanges(t *term.Term, list []lockfile.Change) {
	for _, c := range list {
		switch {
		case c.Old == nil:
			t.Printf("+ %s %s %s\n", c.New.Protocol, c.New.Key, content(c.New))
		case c.New == nil:
			t.Printf("- %s %s %s\n", c.Old.Protocol, c.Old.Key, content(c.Old))
		default:
			t.Printf("~ %s %s %s → %s\n", c.New.Protocol, c.New.Key, content(c.Old), content(c.New))
		}
	}
}

func content(e *lockfile.Entry) string {
	text := string(e.Blob)
	if e.Status != http.StatusOK {
		text = strings.TrimSpace(fmt.Sprintf("(%d: %s) %s", e.Status, strings.ToLower(http.StatusText(e.Status)), text))
	}
	if e.Asked != "" {
		text += " [" + strings.Join(e.Asked.Lines(), ", ") + "]"
	}
	return text
}

// summary returns l in a few words.
func summary(l *lockfile.Lock, changes []lockfile.Change) string {
	s := progress.Count(len(l.Entries), "entry", "entries") + ", " + progress.Bytes(bytesOf(l))
	if changes != nil {
		s += ", " + progress.Count(len(changes), "change", "changes")
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
