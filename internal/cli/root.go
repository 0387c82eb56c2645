package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/errs"
)

// root returns the tree of verbs.
func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "overland",
		Short: "From a git commit to running nodes, with the network cable unplugged",
		Long: "Overland builds a commit for every CPU, signs it as a release, promotes releases to channels, and seals a\n" +
			"channel into one file that installs, proves and rolls back services on machines without a network.\n\n" +
			"Exit codes: " + errs.ExitCodes,
		Example: "overland init\noverland seal -o app.volume\nsh app.volume install",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return errs.Hint(usage("there is no verb %q", args[0]), "overland --help lists them")
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	c.PersistentFlags().StringVar(&a.home, "home", "", "site directory: depot, signed metadata and keys (default $OVERLAND_HOME, else ~/.local/share/overland)")
	c.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no notes")
	c.PersistentFlags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return errs.Hint(errs.E(errs.Invalid, err), "%s --help", c.CommandPath())
	})
	c.CompletionOptions.HiddenDefaultCmd = false
	c.AddCommand(a.verbs()...)
	finish(c)
	return c
}

// finish gives verb and those below it what all have in common.
func finish(verb *cobra.Command) {
	if check := verb.Args; check != nil {
		verb.Args = func(c *cobra.Command, args []string) error {
			if check(c, args) == nil {
				return nil
			}
			wants := strings.TrimSpace(strings.TrimPrefix(c.Use, c.Name()))
			if wants == "" {
				wants = "none"
			}
			return errs.Hint(usage("%s: %s, it takes %s", c.CommandPath(), plural(len(args), "argument", "arguments"), wants), "%s --help", c.CommandPath())
		}
	}
	verb.DisableFlagsInUseLine = true
	for _, sub := range verb.Commands() {
		finish(sub)
	}
}

// group returns a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	names := make([]string, len(subs))
	for i, sub := range subs {
		names[i] = sub.Name()
	}
	c := &cobra.Command{
		Use: use, Short: short,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return errs.Hint(usage("%s has no verb %q", c.CommandPath(), args[0]), "one of %s", strings.Join(names, ", "))
		},
	}
	c.AddCommand(subs...)
	return c
}
