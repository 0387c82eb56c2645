package record

import (
	"cmp"
	"slices"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/errs"
	"overland/internal/session"
)

// reaches returns the values of --isolated, by what they mean.
func reaches() []string {
	return []string{session.Everything: "false", session.Services: "auto", session.Nothing: "true"}
}

// reachFlag adds --isolated.
func (o *sessionOptions) reachFlag(c *cobra.Command) {
	const name = "isolated"
	c.Flags().StringVar(&o.isolated, name, "", "true: COMMAND reaches the recorder alone; auto: and services of this machine at 127.0.0.1, where "+
		"isolation works; false: what this machine reaches, unnamed (default $OVERLAND_ISOLATED, else auto)")
	c.Flags().Lookup(name).NoOptDefVal = "true"
	_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(reaches(), cobra.ShellCompDirectiveNoFileComp))
}

// reach returns what a recording reaches.
func (o *sessionOptions) reach(t *term.Term) (session.Reach, error) {
	asked := cmp.Or(o.isolated, t.Getenv("OVERLAND_ISOLATED"), "auto")
	i := slices.Index(reaches(), asked)
	if i < 0 {
		return 0, errs.Hint(errs.Errorf(errs.Invalid, "isolated %.60q", asked), "true, auto or false: --isolated, or the variable OVERLAND_ISOLATED")
	}
	return session.Reach(i), nil
}
