package release

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/operator"
	"overland/internal/operator/holdings"
	"overland/internal/progress"
	rel "overland/internal/release"
)

type removeOptions struct {
	releases []string
	dryRun   bool
	json     bool
}

func remove(t *term.Term, run verb.Run[removeOptions]) *cobra.Command {
	var o removeOptions
	c := &cobra.Command{
		Use:   "remove APP@VERSION…",
		Short: "Sign that releases are none any more, and free what they take",
		Long: "Takes releases of one application out of the signed metadata and out of the depot. One that a channel runs or\n" +
			"falls back to is refused. A channel that ran one earlier can no longer return to it. Nodes that run one keep it.\n" +
			"overland depot gc frees what the releases took and nothing else needs.",
		Example:           "overland release remove wallet@r412.abcdef012345 --dry-run\noverland release remove wallet@r412.abcdef012345 --yes",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: sitedir.Complete(t, 0, sitedir.Releases),
		RunE: func(c *cobra.Command, args []string) error {
			o.releases = args
			return run(c.Context(), t, o)
		},
	}
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be removed, and remove nothing")
	verb.JSONFlag(c, &o.json)
	return c
}

// removedJSON is the result of release remove --json.
type removedJSON struct {
	DryRun   bool       `json:"dryRun,omitempty"` // nothing was removed
	Releases []heldJSON `json:"releases"`
	Free     int64      `json:"free"`               // bytes that overland depot gc frees
	NameFree bool       `json:"nameFree,omitempty"` // nothing is released under the name any more: any repository may take it
}

func runRemove(ctx context.Context, t *term.Term, o removeOptions) error {
	var refs []rel.Ref
	for _, s := range o.releases {
		ref, err := rel.ParseRef(s)
		if err != nil {
			return err
		}
		refs = append(refs, ref)
	}
	plan := func(do func(*holdings.Holdings) (*holdings.Removal, error)) (*holdings.Removal, error) {
		return sitedir.Call(t, func(p *operator.Operator) (*holdings.Removal, error) {
			h, err := p.Holdings(ctx)
			if err != nil {
				return nil, err
			}
			return do(h)
		})
	}
	r, err := plan(func(h *holdings.Holdings) (*holdings.Removal, error) { return h.Plan(ctx, refs) })
	if err != nil {
		return err
	}
	out := removedJSON{DryRun: o.dryRun, Free: r.Free, NameFree: r.Last, Releases: []heldJSON{}}
	for _, one := range r.Releases {
		out.Releases = append(out.Releases, newHeld(one))
		for _, what := range one.Returns {
			t.Warn(strings.Replace(what, "can return to it", "can no longer return to "+one.Ref.String(), 1))
		}
	}
	if r.Last {
		t.Warn("nothing is released as " + refs[0].App + " then: any repository may release under that name")
	}
	if !o.dryRun {
		if err := t.Confirm("Remove %s of %s, %s?", progress.Count(len(r.Releases), "release", "releases"), refs[0].App, progress.Bytes(r.Free)); err != nil {
			return err
		}
		_, err := plan(func(h *holdings.Holdings) (*holdings.Removal, error) { return r, h.Remove(ctx, r) })
		if err != nil {
			return err
		}
	}
	if o.json {
		return t.JSON(out)
	}
	verb := "removed"
	if o.dryRun {
		verb = "would remove"
	}
	for _, one := range r.Releases {
		t.Printf("%s %s\n", verb, one.Ref)
	}
	t.Note("they alone took %s: overland depot gc frees it", progress.Bytes(r.Free))
	return nil
}
