package packages

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

// publishOptions are the settings of package publish.
type publishOptions struct {
	channel string
	key     string
	out     string
	json    bool
}

func publish(t *term.Term, run verb.Run[publishOptions]) *cobra.Command {
	var o publishOptions
	c := &cobra.Command{
		Use:   "publish CHANNEL",
		Short: "Write the packages of a channel as an archive for apt",
		Long: "Writes the Debian packages of all releases that CHANNEL runs into a folder, as an archive whose suite is called\n" +
			"as the channel, signed by a key of the site directory in OpenPGP's way. The folder is served by any web server, or\n" +
			"carried on a stick; written again after a promotion, it has the new state, and apt finds a whole one meanwhile.",
		Example:           "overland package publish live --out apt",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Channels),
		RunE: func(c *cobra.Command, args []string) error {
			o.channel = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.key, "key", operator.PackagesKey, "NAME of the key that signs the archive, as overland key new has made it")
	c.Flags().StringVarP(&o.out, "out", "o", "", "the folder DIR to write")
	verb.JSONFlag(c, &o.json)
	return c
}

func runPublish(ctx context.Context, t *term.Term, o publishOptions) error {
	ch, err := release.ParseChannel(o.channel)
	if err != nil {
		return err
	}
	if o.out == "" {
		return errs.Hint(verb.Usage("where should the archive be written?"), "--out DIR")
	}
	done, err := sitedir.Call(t, func(p *operator.Operator) (*operator.Archived, error) {
		return p.WriteArchive(ctx, operator.ArchiveOptions{Channel: ch, Key: o.key, Dir: o.out})
	})
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(done)
	}
	for _, name := range done.Packages {
		t.Printf("%s\n", name)
	}
	t.Note("suite %s, signed by %s: %s is its public half", done.Suite, done.Fingerprint, done.Key)
	return nil
}
