package channel

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/operator"
	"overland/internal/release"
)

// rollbackOptions are the settings of rollback.
type rollbackOptions struct {
	channel string
	app     string // "" = the only one of the channel
	json    bool
}

func rollback(t *term.Term, run verb.Run[rollbackOptions]) *cobra.Command {
	var o rollbackOptions
	c := &cobra.Command{
		Use:   "rollback CHANNEL [APP]",
		Short: "Return a channel to what it ran before",
		Long: "Signs that CHANNEL runs again the release that, by its signed history, it ran before the present one of APP\n" +
			"(which may be left out when the channel runs one application). Rolling back twice goes back two promotions.",
		Example: "overland rollback live\noverland rollback live wallet",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			o.channel, o.app = args[0], verb.First(args[1:], "")
			return run(c.Context(), t, o)
		},
		ValidArgsFunction: completeArg(t),
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runRollback(ctx context.Context, t *term.Term, o rollbackOptions) error {
	ch, err := release.ParseChannel(o.channel)
	if err != nil {
		return err
	}
	n, err := sitedir.Call(t, func(p *operator.Operator) (*release.Promotion, error) { return p.Rollback(ctx, ch, o.app) })
	if err != nil {
		return err
	}
	return printPromotion(t, n, o.json)
}
