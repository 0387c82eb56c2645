package registry

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/site"
)

// listOptions are the settings of registry list.
type listOptions struct{ json bool }

func list(t *term.Term, run verb.Run[listOptions]) *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the repositories and their tags",
		Long:    "Lists what was pushed to the registry of the site directory (--home): each repository with its tags.",
		Example: "overland registry list\noverland registry list --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runList(ctx context.Context, t *term.Term, o listOptions) error {
	dir, err := t.SiteDir()
	if err != nil {
		return err
	}
	found, err := site.Repositories(ctx, dir)
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(found)
	}
	rows := [][]string{}
	for _, r := range found {
		rows = append(rows, []string{r.Name, strings.Join(r.Tags, " ")})
	}
	t.Table("", "REPOSITORY TAGS", rows)
	return nil
}
