package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/release"
)

type promoteOptions struct {
	what string // APP@VERSION, or APP with from, or "" with from
	from string
	to   string
	json bool
}

func (a *app) promote() *cobra.Command {
	var o promoteOptions
	c := &cobra.Command{
		Use:   "promote APP@VERSION --to CHANNEL | promote [APP] --from CHANNEL --to CHANNEL",
		Short: "Sign that a channel runs a release",
		Long: "Moves a channel to a release, by its name or as another channel runs it. Nothing is rebuilt: the same digests\n" +
			"are signed for the other channel. A channel that is not there yet is made.",
		Example: "overland promote wallet@r412.abcdef012345 --to staging\noverland promote wallet --from staging --to live\n" +
			"overland promote --from staging --to live",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.what = first(args, "")
			return a.runPromote(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "take the release that this channel runs")
	c.Flags().StringVar(&o.to, "to", "", "the channel to move")
	jsonFlag(c, &o.json)
	a.completeChannels(c, "from", "to")
	return c
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

func (a *app) runPromote(ctx context.Context, o promoteOptions) error {
	n := operator.PromoteOptions{}
	var err error
	if o.to == "" {
		return errs.Hint(usage("promote to which channel?"), "--to CHANNEL")
	}
	if n.To, err = release.ParseChannel(o.to); err != nil {
		return err
	}
	switch {
	case o.what == "" && o.from == "":
		return errs.Hint(usage("promote which release to %s?", o.to), "name it, APP@VERSION, or the channel that runs it: --from CHANNEL")
	case o.from == "":
		n.Ref, err = release.ParseRef(o.what)
	case strings.Contains(o.what, "@"):
		return errs.Hint(usage("%s names a release, and --from %s another one", o.what, o.from), "leave out one of them")
	default:
		n.App = o.what
		n.From, err = release.ParseChannel(o.from)
	}
	if err != nil {
		return err
	}
	done, err := call(a, func(p *operator.Pipeline) (*operator.Promotion, error) { return p.Promote(ctx, n) })
	if err != nil {
		return err
	}
	return a.printPromotion(done, o.json)
}

func (a *app) printPromotion(n *operator.Promotion, asJSON bool) error {
	changed := n.Before.Digest != n.Digest
	if asJSON {
		return a.printJSON(promotionJSON{
			App: n.App, Version: n.Version, Digest: n.Digest, Channel: n.Channel, From: n.From,
			Before: n.Before.Version, Changed: changed,
		})
	}
	a.printf("%s runs %s\n", n.Channel, n.Ref())
	switch {
	case !changed:
		a.note("as before: nothing was signed")
	case n.Before.Version != "":
		a.note("before: %s", n.Before.Ref())
	}
	if n.New {
		a.note("channel %s is new", n.Channel)
	}
	return nil
}
