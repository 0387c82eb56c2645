package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/binary"
	"overland/internal/cli/cache"
	"overland/internal/cli/channel"
	"overland/internal/cli/image"
	"overland/internal/cli/key"
	"overland/internal/cli/netcache"
	"overland/internal/cli/packages"
	"overland/internal/cli/pipeline"
	"overland/internal/cli/record"
	"overland/internal/cli/registry"
	"overland/internal/cli/release"
	"overland/internal/cli/site"
	"overland/internal/cli/term"
	"overland/internal/cli/trust"
	"overland/internal/cli/verb"
	"overland/internal/cli/volume"
	"overland/internal/errs"
	"overland/internal/progress"
)

// chapter is a group of verbs in the help.
type chapter struct {
	id, title string
	verbs     []*cobra.Command
}

// chapters returns the verbs in the order of the way from a commit to a node.
func chapters(t *term.Term) []chapter {
	return []chapter{
		{"release", "Build and release", slices.Concat(release.Verbs(t), pipeline.Verbs(t), image.Verbs(t), packages.Verbs(t), channel.Verbs(t))},
		{"carry", "Carry and install", volume.Verbs(t)},
		{"record", "Record and replay", record.Verbs(t)},
		{"serve", "Serve", slices.Concat(site.Verbs(t), cache.Verbs(t), registry.Verbs(t), netcache.Verbs(t), binary.Verbs(t))},
		{"trust", "Keys and trust", slices.Concat(key.Verbs(t), trust.Verbs(t))},
		{"more", "More", []*cobra.Command{version(t, runVersion), man(t, runMan)}},
	}
}

// onNodes returns verbs of overland-agent that people look for here.
func onNodes() []string { return []string{"install", "status", "logs", "uninstall", "supervise"} }

// tree returns the command overland with all its verbs.
func tree(t *term.Term) *cobra.Command {
	c := &cobra.Command{
		Use:   "overland",
		Short: "From a git commit to running nodes, with the network cable unplugged",
		Long: "Overland builds a commit for every CPU, signs it as a release, promotes releases to channels, and seals a\n" +
			"channel into one file that installs, proves and rolls back services on machines without a network.\n\n" +
			"Exit codes: " + errs.ExitCodes,
		Example: "overland init\noverland seal -o app.volume\nsh app.volume install --root FINGERPRINT --channel local/app",
		Version: readVersion().text(),
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			if slices.Contains(onNodes(), args[0]) {
				return errs.Hint(verb.Usage("%s is a verb of the program on nodes", args[0]), "on a node: overland-agent %s", args[0])
			}
			return errs.Hint(verb.Usage("there is no verb %q", args[0]), "%s", verb.Instead(c, args[0], "overland --help lists them"))
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	c.SetVersionTemplate("overland {{.Version}}\n")
	f := c.PersistentFlags()
	f.StringVar(&t.Home, "home", "", "site directory: depot, signed metadata and keys (default $OVERLAND_HOME, else ~/.local/share/overland)")
	f.BoolVarP(&t.Quiet, "quiet", "q", false, "no progress and no notes")
	f.BoolVarP(&t.Yes, "yes", "y", false, "do not ask")
	f.StringVar(&t.PassphraseFile, "passphrase-file", "", "file with the passphrase of keys (default $OVERLAND_PASSPHRASE, else it is asked for)")
	f.BoolVar(&t.NoPassphrase, "no-passphrase", false, "keys that are made now are not encrypted")
	f.StringVar(&t.RootKeys, "root-keys", "", "folder of the private halves of root keys (default $OVERLAND_ROOT_KEYS, else keys/root in the site directory)")
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return errs.Hint(errs.E(errs.Invalid, err), "%s --help", c.CommandPath())
	})
	for _, ch := range chapters(t) {
		c.AddGroup(&cobra.Group{ID: ch.id, Title: ch.title + ":"})
		for _, v := range ch.verbs {
			v.GroupID = ch.id
		}
		c.AddCommand(ch.verbs...)
	}
	c.SetHelpCommandGroupID("more")
	c.SetCompletionCommandGroupID("more")
	finish(c)
	return c
}

// finish gives c and the verbs below it what all have in common.
func finish(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if check(c, args) == nil {
				return nil
			}
			wants := strings.TrimSpace(strings.TrimPrefix(c.Use, c.Name()))
			wants = cmp.Or(wants, "none")
			return errs.Hint(verb.Usage("%s: %s, it takes %s", c.CommandPath(), progress.Count(len(args), "argument", "arguments"), wants),
				"%s --help", c.CommandPath())
		}
	}
	c.DisableFlagsInUseLine = true
	for _, sub := range c.Commands() {
		finish(sub)
	}
}
