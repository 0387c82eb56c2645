package channel

import (
	"cmp"
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

// rollbackOptions are the settings of rollback.
type rollbackOptions struct {
	channel string
	app     string // "" = the only one of the channel
	alone   bool   // with one signature, to the fallback
	json    bool
}

func rollback(t *term.Term, run verb.Run[rollbackOptions]) *cobra.Command {
	var o rollbackOptions
	c := &cobra.Command{
		Use:   "rollback CHANNEL [APP]",
		Short: "Return a channel to what it ran before",
		Long: "Signs that CHANNEL runs again the release that, by its signed history, it ran before the present one of APP\n" +
			"(which may be left out when the channel runs one application). Rolling back twice goes back two promotions.\n" +
			"It takes as many signatures as a promotion. --alone takes one: any signer of CHANNEL returns it to the fallback\n" +
			"that the present promotion names, which is what ran before it, and nowhere else. The next promotion ends that.",
		Example: "overland rollback live\noverland rollback live wallet\noverland rollback live wallet --alone",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			o.channel, o.app = args[0], verb.First(args[1:], "")
			return run(c.Context(), t, o)
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, s string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return sitedir.Complete(t, 1, sitedir.Channels)(c, args, s)
			}
			return sitedir.Complete(t, 2, sitedir.Apps)(c, args, s)
		},
	}
	c.Flags().BoolVar(&o.alone, "alone", false, "with one signature, to the fallback that the promotion names")
	verb.JSONFlag(c, &o.json)
	return c
}

func runRollback(ctx context.Context, t *term.Term, o rollbackOptions) error {
	ch, err := release.ParseChannel(o.channel)
	if err != nil {
		return err
	}
	if o.alone {
		return goBack(ctx, t, ch, o)
	}
	n, err := sitedir.Call(t, func(p *operator.Operator) (*release.Promotion, error) { return p.Rollback(ctx, ch, o.app) })
	if errs.KindOf(err) == errs.Partial {
		if plan, no := planReturn(ctx, t, ch, o.app); no == nil {
			t.Note("at once, with one signature, to %s: overland rollback %s %s --alone", plan.To.Version, ch, plan.App)
		}
	}
	if err != nil {
		return err
	}
	return printPromotion(t, n, o.json)
}

// planned is what a return would do, and who may sign it.
type planned struct {
	*release.Return
	may []string
}

// returnJSON is the result of rollback --alone --json.
type returnJSON struct {
	App     string          `json:"app"`
	Version string          `json:"version"` // of the fallback
	Digest  digest.Digest   `json:"digest"`
	Channel release.Channel `json:"channel"`
	Undone  string          `json:"undone"` // version of the promotion
	MaySign []string        `json:"maySign"`
}

func planReturn(ctx context.Context, t *term.Term, ch release.Channel, app string) (planned, error) {
	return sitedir.Call(t, func(p *operator.Operator) (planned, error) {
		plan, may, err := p.PlanReturn(ctx, ch, app)
		var names []string
		for _, k := range may {
			names = append(names, cmp.Or(k.Name, term.Short(k.ID)))
		}
		return planned{plan, names}, err
	})
}

// goBack returns a channel to its fallback with one signature, after it has said what that undoes.
func goBack(ctx context.Context, t *term.Term, ch release.Channel, o rollbackOptions) error {
	plan, err := planReturn(ctx, t, ch, o.app)
	if err != nil {
		return err
	}
	if !o.json {
		t.Printf("channel %s undoes promotion %d: %s → %s\n", ch, plan.Undoes.Promotion, plan.Undoes.Ref(), release.Ref{App: plan.App, Version: plan.To.Version})
		t.Printf("  undone   %s\n", plan.Undoes.Digest)
		t.Printf("  fallback %s\n", plan.To.Digest)
		t.Printf("  one of %s signs it; the next promotion supersedes it\n", strings.Join(plan.may, ", "))
	}
	if err := t.Confirm("return %s on %s, with one signature?", plan.App, ch); err != nil {
		return err
	}
	if _, err := sitedir.Call(t, func(p *operator.Operator) (struct{}, error) { return struct{}{}, p.GoBack(ctx, plan.Return) }); err != nil {
		return err
	}
	if o.json {
		return t.JSON(returnJSON{plan.App, plan.To.Version, plan.To.Digest, ch, plan.Undoes.Version, plan.may})
	}
	t.Note("%s stands on its fallback", ch)
	return nil
}
