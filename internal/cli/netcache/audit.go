package netcache

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/site"
)

// auditOptions are the settings of netcache audit.
type auditOptions struct {
	limit int
	json  bool
}

func audit(t *term.Term, run verb.Run[auditOptions]) *cobra.Command {
	var o auditOptions
	c := &cobra.Command{
		Use:   "audit",
		Short: "List who wrote to a site's network cache",
		Long: "Prints the writes that accounts tried at the network cache of the site directory (--home), the newest first: when,\n" +
			"who, from where, what, and whether it was stored or why it was refused. A site remembers the last 500,000.",
		Example: "overland netcache audit\noverland netcache audit --limit 1000 --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	const some = 100
	c.Flags().IntVar(&o.limit, "limit", some, "at most this many")
	verb.JSONFlag(c, &o.json)
	return c
}

func runAudit(ctx context.Context, t *term.Term, o auditOptions) error {
	if o.limit < 1 {
		return verb.Usage("limit %d", o.limit)
	}
	dir, err := t.SiteDir()
	if err != nil {
		return err
	}
	events, err := site.Audit(ctx, dir, o.limit)
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(events)
	}
	rows := [][]string{}
	for _, e := range events {
		what := strings.TrimSpace(e.Action + " " + e.Key + " " + term.Short(e.SHA512))
		rows = append(rows, []string{term.When(e.Time), e.Account, e.Remote, what, e.Result})
	}
	t.Table("", "TIME ACCOUNT FROM WHAT RESULT", rows)
	return nil
}
