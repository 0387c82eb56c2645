package channel

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/release"
)

// removeOptions are the settings of channel remove.
type removeOptions struct {
	app  string
	from string
	json bool
}

func remove(t *term.Term, run verb.Run[removeOptions]) *cobra.Command {
	var o removeOptions
	c := &cobra.Command{
		Use:   "remove APP --from CHANNEL",
		Short: "Sign that a channel no longer runs an application",
		Long: "Takes APP out of CHANNEL. Its nodes stop APP, and keep its data, when they next hear of the channel; a channel\n" +
			"that runs nothing at all changes nothing on them. The releases stay, and APP can be promoted again.",
		Example: "overland channel remove wallet --from live",
		Args:    cobra.ExactArgs(1),

		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Apps),
		RunE: func(c *cobra.Command, args []string) error {
			o.app = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "the channel to take it out of")
	verb.JSONFlag(c, &o.json)
	CompleteFlags(t, c, "from")
	return c
}

// removedJSON is the result of channel remove --json.
type removedJSON struct {
	App     string          `json:"app"`
	Version string          `json:"version"` // that the channel ran
	Channel release.Channel `json:"channel"`
	Left    int             `json:"left"` // applications that it still runs, the agent counted
}

func runRemove(ctx context.Context, t *term.Term, o removeOptions) error {
	if o.from == "" {
		return errs.Hint(verb.Usage("remove %s from which channel?", o.app), "--from CHANNEL")
	}
	ch, err := release.ParseChannel(o.from)
	if err != nil {
		return err
	}
	r, err := sitedir.Call(t, func(p *operator.Operator) (*operator.Removed, error) { return p.Remove(ctx, o.app, ch) })
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(removedJSON{App: r.App, Version: r.Version, Channel: r.Channel, Left: r.Left})
	}
	t.Printf("%s no longer runs %s\n", r.Channel, r.App)
	t.Note("before: %s", r.Ref())
	if r.Left == 0 {
		t.Note("channel %s runs nothing now: its nodes keep what they run", r.Channel)
	}
	return nil
}
