package release

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/operator"
	rel "overland/internal/release"
)

type releaseOptions struct {
	source operator.SourceOptions
	take   bool // another repository's name
	jobs   int
	json   bool
}

func release(t *term.Term, run verb.Run[releaseOptions]) *cobra.Command {
	var o releaseOptions
	c := &cobra.Command{
		Use:   "release [SOURCE]",
		Short: "Build a commit and sign it as a release",
		Long: "Builds SOURCE (default: the current folder) for all platforms of its overland.yaml and signs the result under\n" +
			"the name APP@VERSION. A release never changes. No node runs it until a channel is promoted to it. The first\n" +
			"release of a name binds it to its repository: another one needs --take-name.",
		Example: "overland release\noverland release --rev HEAD --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.source.Dir = verb.First(args, "")
			return run(c.Context(), t, o)
		},
	}
	verb.SourceFlags(c, &o.source)
	verb.JobsFlag(c, &o.jobs)
	verb.TakeNameFlag(c, &o.take, "take the name from the repository that has it")
	verb.JSONFlag(c, &o.json)
	c.AddCommand(list(t, runList), show(t, runShow), remove(t, runRemove))
	return c
}

// releasedJSON is the result of release --json.
type releasedJSON struct {
	App     string        `json:"app"`
	Version string        `json:"version"`
	Release string        `json:"release"` // APP@VERSION
	Digest  digest.Digest `json:"digest"`
	Commit  string        `json:"commit"`

	Repository string `json:"repository"`         // hash of the first commit of its history
	New        bool   `json:"new,omitempty"`      // nothing was released under this name before
	Replaces   string `json:"replaces,omitempty"` // the repository whose name it was
}

func runRelease(ctx context.Context, t *term.Term, o releaseOptions) error {
	r, err := sitedir.Call(t, func(p *operator.Operator) (*operator.Released, error) {
		return p.Release(ctx, operator.ReleaseOptions{Source: o.source, Take: rel.TakeName(o.take), Parallel: o.jobs})
	})
	if err != nil {
		return err
	}
	t.Warn(verb.NameWarnings(r)...)
	if o.json {
		out := releasedJSON{
			App: r.Ref.App, Version: r.Ref.Version, Release: r.Ref.String(), Digest: r.Index.Digest, Commit: r.Source.Commit.Hash,
			Repository: r.Repository, New: r.New,
		}
		if r.Taken != nil {
			out.Replaces = r.Taken.Repository
		}
		return t.JSON(out)
	}
	t.Printf("%s\n", r.Ref)
	t.Note("next: overland promote %s --to staging", r.Ref)
	return nil
}
