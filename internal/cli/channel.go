package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/digest"
	"overland/internal/operator"
	"overland/internal/release"
)

func (a *app) channel() *cobra.Command {
	return group("channel", "Show channels and what they run", a.channelShow(), a.channelList())
}

func (a *app) channelShow() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:               "show CHANNEL",
		Short:             "Show what a channel runs",
		Long:              "Lists the release of each application that CHANNEL runs, and since when.",
		Example:           "overland channel show live\noverland channel show live --json",
		Args:              cobra.ExactArgs(1),
		RunE:              func(c *cobra.Command, args []string) error { return a.runChannelShow(c.Context(), args[0], asJSON) },
		ValidArgsFunction: a.channelArg,
	}
	jsonFlag(c, &asJSON)
	return c
}

// entryJSON is one element of channel show --json.
type entryJSON struct {
	App     string          `json:"app"`
	Version string          `json:"version"`
	Digest  digest.Digest   `json:"digest"`
	Since   time.Time       `json:"since"`
	From    release.Channel `json:"from,omitempty"`
}

func (a *app) runChannelShow(ctx context.Context, name string, asJSON bool) error {
	ch, err := release.ParseChannel(name)
	if err != nil {
		return err
	}
	list, err := call(a, func(p *operator.Pipeline) ([]release.Entry, error) { return p.Channel(ctx, ch) })
	if err != nil {
		return err
	}
	out := []entryJSON{}
	var rows [][]string
	for _, e := range list {
		out = append(out, entryJSON{App: e.App, Version: e.Version, Digest: e.Digest, Since: e.Since, From: e.From})
		from := string(e.From)
		if from == "" {
			from = "-"
		}
		rows = append(rows, []string{e.App, e.Version, when(e.Since), from, string(e.Digest)})
	}
	if asJSON {
		return a.printJSON(out)
	}
	a.table("", "APPLICATION VERSION SINCE FROM DIGEST", rows)
	return nil
}

func (a *app) channelList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the channels",
		Long:    "Lists the names of all channels, one on each line.",
		Example: "overland channel list",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.runChannelList(c.Context(), asJSON) },
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) runChannelList(ctx context.Context, asJSON bool) error {
	names, err := a.channelNames(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(append([]string{}, names...))
	}
	for _, n := range names {
		a.printf("%s\n", n)
	}
	return nil
}

func (a *app) channelNames(ctx context.Context) ([]string, error) {
	return call(a, func(p *operator.Pipeline) ([]string, error) { return p.Channels(ctx) })
}

// channelArg completes the first argument with the channels that there are.
func (a *app) channelArg(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := a.channelNames(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeChannels completes flags with the channels that there are.
func (a *app) completeChannels(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		_ = c.RegisterFlagCompletionFunc(f, func(c *cobra.Command, _ []string, s string) ([]string, cobra.ShellCompDirective) {
			return a.channelArg(c, nil, s)
		})
	}
}
