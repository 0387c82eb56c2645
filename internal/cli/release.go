package cli

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/digest"
	"overland/internal/operator"
)

type releaseOptions struct {
	source operator.SourceOptions
	json   bool
}

func (a *app) release() *cobra.Command {
	var o releaseOptions
	c := &cobra.Command{
		Use:   "release [SOURCE]",
		Short: "Build a commit and sign it as a release",
		Long: "Builds SOURCE (default: the current folder) for all platforms of its overland.yaml and signs the result under\n" +
			"the name APP@VERSION. A release never changes. It runs nowhere until a channel is promoted to it.",
		Example: "overland release\noverland release --rev HEAD --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.source.Dir = first(args, "")
			return a.runRelease(c.Context(), o)
		},
	}
	sourceFlags(c, &o.source)
	jsonFlag(c, &o.json)
	return c
}

// releasedJSON is the result of release --json.
type releasedJSON struct {
	App     string        `json:"app"`
	Version string        `json:"version"`
	Release string        `json:"release"` // APP@VERSION
	Digest  digest.Digest `json:"digest"`
	Commit  string        `json:"commit"`
}

func (a *app) runRelease(ctx context.Context, o releaseOptions) error {
	r, err := call(a, func(p *operator.Pipeline) (*operator.Released, error) { return p.Release(ctx, o.source) })
	if err != nil {
		return err
	}
	a.warn(r.Source.Warnings...)
	if o.json {
		return a.printJSON(releasedJSON{
			App: r.Ref.App, Version: r.Ref.Version, Release: r.Ref.String(), Digest: r.Index.Digest, Commit: r.Source.Commit.Hash,
		})
	}
	a.printf("%s\n", r.Ref)
	a.note("next: overland promote %s --to staging", r.Ref)
	return nil
}
