package release

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/operator"
	"overland/internal/operator/holdings"
	"overland/internal/progress"
)

func depot(t *term.Term) *cobra.Command {
	return verb.Group("depot", "Say what the depot holds, and free what nothing needs",
		"The depot of the site directory holds every blob: of releases, of what builds and records fetched, of the caches.",
		stats(t, runStats), gc(t, runGC))
}

type statsOptions struct{ json bool }

func stats(t *term.Term, run verb.Run[statsOptions]) *cobra.Command {
	var o statsOptions
	c := &cobra.Command{
		Use:   "stats",
		Short: "Show how much the depot holds, and for what",
		Long: "Shows how many bytes the depot holds, how many of them the releases of each application take, and how many\n" +
			"the rest: what builds and records fetched, results that were not released, and what the site's caches keep.",
		Example: "overland depot stats\noverland depot stats --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

// statsJSON is the result of depot stats --json. Sizes are in bytes.
type statsJSON struct {
	Blobs    int       `json:"blobs"`
	Bytes    int64     `json:"bytes"`
	Releases int64     `json:"releases"` // of signed releases, each blob once
	Apps     []appJSON `json:"apps"`     // the largest first
	Rest     int64     `json:"rest"`
}

type appJSON struct {
	App      string `json:"app"`
	Releases int    `json:"releases"`
	Bytes    int64  `json:"bytes"`
}

func runStats(ctx context.Context, t *term.Term, o statsOptions) error {
	s, err := sitedir.Call(t, func(p *operator.Operator) (*holdings.Stored, error) {
		h, err := p.Holdings(ctx)
		if err != nil {
			return nil, err
		}
		return h.Stored(ctx)
	})
	if err != nil {
		return err
	}
	out := statsJSON{Blobs: s.Blobs, Bytes: s.Bytes, Releases: s.Releases, Apps: []appJSON{}, Rest: s.Bytes - s.Releases}
	var rows [][]string
	for _, a := range s.Apps {
		out.Apps = append(out.Apps, appJSON{App: a.Name, Releases: a.Releases, Bytes: a.Bytes})
		rows = append(rows, []string{a.Name, strconv.Itoa(a.Releases), progress.Bytes(a.Bytes)})
	}
	if o.json {
		return t.JSON(out)
	}
	t.Printf("%s in %s: %s of releases, %s of the rest\n", progress.Bytes(s.Bytes), progress.Count(s.Blobs, "blob", "blobs"),
		progress.Bytes(s.Releases), progress.Bytes(out.Rest))
	if len(rows) > 0 {
		t.Table("", "APPLICATION RELEASES SIZE", rows)
	}
	return nil
}
