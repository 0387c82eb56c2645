package cli

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/operator"
	"overland/internal/release"
)

func (a *app) rollback() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "rollback CHANNEL [APP]",
		Short: "Return a channel to what it ran before",
		Long: "Signs that CHANNEL runs again what its signed history says it ran before the present release of APP (which\n" +
			"may be left out when the channel runs one application). Rolling back twice goes back two promotions.",
		Example: "overland rollback live\noverland rollback live wallet",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runRollback(c.Context(), args[0], first(args[1:], ""), asJSON)
		},
		ValidArgsFunction: a.channelArg,
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) runRollback(ctx context.Context, channel, app string, asJSON bool) error {
	ch, err := release.ParseChannel(channel)
	if err != nil {
		return err
	}
	n, err := call(a, func(p *operator.Pipeline) (*operator.Promotion, error) { return p.Rollback(ctx, ch, app) })
	if err != nil {
		return err
	}
	return a.printPromotion(n, asJSON)
}
