package channel

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/release"
)

type promoteOptions struct {
	what string // APP@VERSION, or APP with from, or "" with from
	from string
	to   string
	take bool // another repository's name
	json bool
}

func promote(t *term.Term, run verb.Run[promoteOptions]) *cobra.Command {
	var o promoteOptions
	c := &cobra.Command{
		Use:   "promote APP@VERSION --to CHANNEL | promote [APP] --from CHANNEL --to CHANNEL",
		Short: "Sign that a channel runs a release",
		Long: "Moves a channel to a release: the one named, or the one that another channel runs. Nothing is rebuilt: the\n" +
			"same digests are signed for the other channel. A channel that does not exist yet is made. What another\n" +
			"repository released under the same name is replaced with --take-name only.",
		Example: "overland promote wallet@r412.abcdef012345 --to staging\noverland promote wallet --from staging --to live\n" +
			"overland promote --from staging --to live",
		Args: cobra.MaximumNArgs(1),

		ValidArgsFunction: sitedir.Complete(t, 1, promotable),
		RunE: func(c *cobra.Command, args []string) error {
			o.what = verb.First(args, "")
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "the channel whose release to take")
	c.Flags().StringVar(&o.to, "to", "", "the channel to move")
	verb.TakeNameFlag(c, &o.take, "replace the release of another repository that has the same name")
	verb.JSONFlag(c, &o.json)
	CompleteFlags(t, c, "from", "to")
	return c
}

// promotable names what can be promoted: by release, or by application from another channel.
func promotable(ctx context.Context, p *operator.Operator) ([]string, error) {
	refs, err := sitedir.Releases(ctx, p)
	if err != nil {
		return nil, err
	}
	apps, err := sitedir.Apps(ctx, p)
	return append(refs, apps...), err
}

// promotionJSON is the result of promote --json and rollback --json.
type promotionJSON struct {
	App     string          `json:"app"`
	Version string          `json:"version"`
	Digest  digest.Digest   `json:"digest"`
	Channel release.Channel `json:"channel"`
	From    release.Channel `json:"from,omitempty"`
	Before  string          `json:"before,omitempty"` // the version that the channel ran
	Changed bool            `json:"changed"`
}

func runPromote(ctx context.Context, t *term.Term, o promoteOptions) error {
	n := operator.PromoteOptions{TakeName: release.TakeName(o.take)}
	var err error
	if o.to == "" {
		return errs.Hint(verb.Usage("promote to which channel?"), "--to CHANNEL")
	}
	if n.To, err = release.ParseChannel(o.to); err != nil {
		return err
	}
	switch {
	case o.what == "" && o.from == "":
		return errs.Hint(verb.Usage("promote which release to %s?", o.to), "name it, APP@VERSION, or the channel that runs it: --from CHANNEL")
	case o.from == "":
		n.Ref, err = release.ParseRef(o.what)
	case strings.Contains(o.what, "@"):
		return errs.Hint(verb.Usage("%s names a release, and --from %s another one", o.what, o.from), "leave out one of them")
	default:
		n.App = o.what
		n.From, err = release.ParseChannel(o.from)
	}
	if err != nil {
		return err
	}
	done, err := sitedir.Call(t, func(p *operator.Operator) (*release.Promotion, error) { return p.Promote(ctx, n) })
	if err != nil {
		return err
	}
	return printPromotion(t, done, o.json)
}

func printPromotion(t *term.Term, n *release.Promotion, asJSON bool) error {
	changed := !n.Same
	t.Warn(verb.Promoted(n)...)
	if asJSON {
		return t.JSON(promotionJSON{
			App: n.App, Version: n.Version, Digest: n.Digest, Channel: n.Channel, From: n.From,
			Before: n.Before.Version, Changed: changed,
		})
	}
	t.Printf("%s runs %s\n", n.Channel, n.Ref())
	switch {
	case !changed:
		t.Note("as before: nothing was signed")
	case n.Before.Version != "":
		t.Note("before: %s", n.Before.Ref())
	}
	if n.New {
		t.Note("channel %s is new", n.Channel)
	}
	return nil
}
