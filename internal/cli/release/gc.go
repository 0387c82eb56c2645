package release

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/operator"
	"overland/internal/operator/holdings"
	"overland/internal/progress"
)

type gcOptions struct {
	older  time.Duration
	locks  []string
	dryRun bool
	json   bool
}

func gc(t *term.Term, run verb.Run[gcOptions]) *cobra.Command {
	var o gcOptions
	c := &cobra.Command{
		Use:   "gc",
		Short: "Free what nothing needs any more",
		Long: "Removes from the depot what no release, no lock file, no cache and no network cache names, and compilers' caches\n" +
			"that are no longer used. What was written or used within --older stays. Lock files are those that were recorded\n" +
			"with this directory, those in its folder locks, and --lock. A build, a recording or a site may run meanwhile.",
		Example: "overland depot gc --dry-run\noverland depot gc --yes\noverland depot gc --older 1h --yes --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	const day = 24 * time.Hour
	c.Flags().DurationVar(&o.older, "older", day, "free only what nobody wrote or used for this long")
	c.Flags().StringArrayVar(&o.locks, "lock", nil, "a further lock file, whose blobs stay; may be repeated")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be freed, and free nothing")
	verb.JSONFlag(c, &o.json)
	return c
}

// gcJSON is the result of depot gc --json. Sizes are in bytes.
type gcJSON struct {
	DryRun   bool       `json:"dryRun,omitempty"` // nothing was removed
	Blobs    int        `json:"blobs"`            // that were removed
	Bytes    int64      `json:"bytes"`            // of those
	Compiled int64      `json:"compiled"`         // of compilers' caches that were removed
	Results  int        `json:"results"`          // of builds, forgotten with their blobs
	Kept     []keptJSON `json:"kept"`
	Gone     []string   `json:"gone"` // lock files that were recorded and are not there
}

type keptJSON struct {
	By    string `json:"by"` // "releases", "lock files", "recent" …
	Blobs int    `json:"blobs"`
	Bytes int64  `json:"bytes"`
}

func runGC(ctx context.Context, t *term.Term, o gcOptions) error {
	if o.older < 0 {
		return verb.Usage("--older %s: not a time in the past", o.older)
	}
	options := holdings.Options{Older: o.older, DryRun: true}
	for _, path := range o.locks {
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		options.Locks = append(options.Locks, abs)
	}
	collect := func() (*holdings.Freed, error) {
		return sitedir.Call(t, func(p *operator.Operator) (*holdings.Freed, error) {
			h, err := p.Holdings(ctx)
			if err != nil {
				return nil, err
			}
			return h.Collect(ctx, options)
		})
	}
	f, err := collect()
	if err != nil {
		return err
	}
	for _, path := range f.Gone {
		t.Warn(path + " is gone: what only it named is not needed")
	}
	if !o.dryRun && f.Bytes+f.Compiled > 0 {
		if err := t.Confirm("Free %s?", freed(f)); err != nil {
			return err
		}
	}
	if options.DryRun = o.dryRun; !o.dryRun {
		if f, err = collect(); err != nil {
			return err
		}
	}
	return printFreed(t, f, o)
}

func freed(f *holdings.Freed) string {
	text := progress.Bytes(f.Bytes) + " in " + progress.Count(f.Blobs, "blob", "blobs")
	if f.Compiled > 0 {
		text += ", and " + progress.Bytes(f.Compiled) + " of compiled packages"
	}
	return text
}

func printFreed(t *term.Term, f *holdings.Freed, o gcOptions) error {
	out := gcJSON{
		DryRun: o.dryRun, Blobs: f.Blobs, Bytes: f.Bytes, Compiled: f.Compiled, Results: f.Results,
		Kept: []keptJSON{}, Gone: append([]string{}, f.Gone...),
	}
	var rows [][]string
	for _, by := range holdings.Keepers() {
		if a, ok := f.Kept[by]; ok {
			out.Kept = append(out.Kept, keptJSON{string(by), a.Blobs, a.Bytes})
			rows = append(rows, []string{string(by), progress.Count(a.Blobs, "blob", "blobs"), progress.Bytes(a.Bytes)})
		}
	}
	if o.json {
		return t.JSON(out)
	}
	done := "freed"
	if o.dryRun {
		done = "would free"
	}
	t.Printf("%s %s\n", done, freed(f))
	if len(rows) > 0 {
		t.Table("", "STAYS-FOR BLOBS SIZE", rows)
	}
	if slices.ContainsFunc(rows, func(r []string) bool { return r[0] == string(holdings.KeptRecent) }) {
		t.Note("recent: nothing names it, but it was written or used in the last %s (--older)", o.older)
	}
	return nil
}
