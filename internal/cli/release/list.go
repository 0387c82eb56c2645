package release

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/operator"
	"overland/internal/operator/holdings"
	"overland/internal/progress"
)

type listOptions struct {
	app  string
	json bool
}

func list(t *term.Term, run verb.Run[listOptions]) *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:   "list [APP]",
		Short: "List the signed releases, what each takes and what needs it",
		Long: "Lists the releases of APP, or of all applications, with the newest commit first: how much each takes in the\n" +
			"depot, how much of that no other release has, and which channels run it, fall back to it or can return to it.",
		Example: "overland release list\noverland release list wallet --json",
		Args:    cobra.MaximumNArgs(1),

		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Apps),
		RunE: func(c *cobra.Command, args []string) error {
			o.app = verb.First(args, "")
			return run(c.Context(), t, o)
		},
	}
	verb.JSONFlag(c, &o.json)
	return c
}

// heldJSON is one element of release list --json.
type heldJSON struct {
	App       string        `json:"app"`
	Version   string        `json:"version"`
	Digest    digest.Digest `json:"digest"`
	Committed time.Time     `json:"committed,omitzero"`
	Size      int64         `json:"size"`              // bytes
	Alone     int64         `json:"alone"`             // bytes that no other release has
	Held      []string      `json:"held"`              // what needs it
	Problem   string        `json:"problem,omitempty"` // why it cannot be read
}

func newHeld(h holdings.Held) heldJSON {
	return heldJSON{
		App: h.Ref.App, Version: h.Ref.Version, Digest: h.Digest, Committed: h.Committed,
		Size: h.Size, Alone: h.Alone, Held: slices.Concat([]string{}, h.Held, h.Returns), Problem: h.Problem,
	}
}

func runList(ctx context.Context, t *term.Term, o listOptions) error {
	releases, err := sitedir.Call(t, func(p *operator.Operator) ([]holdings.Held, error) {
		h, err := p.Holdings(ctx)
		if err != nil {
			return nil, err
		}
		return h.Releases(ctx, o.app)
	})
	if err != nil {
		return err
	}
	out := []heldJSON{}
	var rows [][]string
	for _, h := range releases {
		out = append(out, newHeld(h))
		rows = append(rows, []string{
			h.Ref.String(), term.When(h.Committed), progress.Bytes(h.Size), progress.Bytes(h.Alone), cmp.Or(strings.Join(slices.Concat(h.Held, h.Returns), ", "), "-"),
		})
	}
	if o.json {
		return t.JSON(out)
	}
	t.Table("", "RELEASE COMMITTED SIZE ALONE NEEDED-BY", rows)
	for _, h := range releases {
		if h.Problem != "" {
			t.Warn(h.Ref.String() + " cannot be read: " + h.Problem)
		}
	}
	return nil
}
