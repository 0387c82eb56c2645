package channel

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/operator"
	"overland/internal/release"
)

// showOptions are the settings of channel show.
type showOptions struct {
	channel string
	json    bool
}

func show(t *term.Term, run verb.Run[showOptions]) *cobra.Command {
	var o showOptions
	c := &cobra.Command{
		Use:   "show CHANNEL",
		Short: "Show what a channel runs",
		Long: "Lists the release of each application that CHANNEL runs, and since when; and warns of one that nodes would refuse:\n" +
			"withdrawn, expired, or not signed by its own role. They keep what they run of it, and take the others.",
		Example: "overland channel show live\noverland channel show live --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.channel = args[0]
			return run(c.Context(), t, o)
		},
		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Channels),
	}
	verb.JSONFlag(c, &o.json)
	return c
}

// entryJSON is one element of channel show --json.
type entryJSON struct {
	App     string          `json:"app"`
	Version string          `json:"version"`
	Digest  digest.Digest   `json:"digest"`
	Since   time.Time       `json:"since"`
	From    release.Channel `json:"from,omitempty"`
	Problem string          `json:"problem,omitempty"` // why nodes keep what they run instead

	Promotion int64     `json:"promotion,omitempty"` // its number
	Fallback  string    `json:"fallback,omitempty"`  // version to which one signer may return it alone
	Back      *backJSON `json:"back,omitempty"`      // it stands on its fallback
	Doubt     string    `json:"doubt,omitempty"`     // what is wrong with the fallback's role, which nodes then ignore
}

// backJSON is a return to the fallback that one signer has signed.
type backJSON struct {
	Undone string        `json:"undone"` // version of the promotion
	Digest digest.Digest `json:"digest"` // of Undone
	By     []string      `json:"by"`     // names, or the beginnings of key ids
}

func runShow(ctx context.Context, t *term.Term, o showOptions) error {
	ch, err := release.ParseChannel(o.channel)
	if err != nil {
		return err
	}
	list, err := sitedir.Call(t, func(p *operator.Operator) ([]operator.Running, error) { return p.Channel(ctx, ch) })
	if err != nil {
		return err
	}
	out := []entryJSON{}
	var rows [][]string
	for _, e := range list {
		j := entryJSON{App: e.App, Version: e.Version, Digest: e.Digest, Since: e.Since, From: e.From, Problem: e.Problem, Promotion: e.Promotion}
		if e.Fallback != nil {
			j.Fallback = e.Fallback.Version
		}
		if e.Back != nil {
			j.Back = &backJSON{Undone: e.Back.Undone.Version, Digest: e.Back.Digest, By: e.BackBy}
		}
		if e.Doubt != nil {
			j.Doubt = e.Doubt.Error()
		}
		out = append(out, j)
		rows = append(rows, []string{e.App, e.Version, term.When(e.Since), cmp.Or(string(e.From), "-"), string(e.Digest)})
	}
	if o.json {
		return t.JSON(out)
	}
	t.Table("", "APPLICATION VERSION SINCE FROM DIGEST", rows)
	for _, e := range list {
		if e.Back != nil {
			t.Printf("%s stands on its fallback: %s was undone by %s alone; the next promotion supersedes that\n", e.App, e.Back.Undone, strings.Join(e.BackBy, ", "))
		}
		if e.Doubt != nil {
			t.Warn(e.Doubt.Error())
		}
		if e.Problem != "" {
			t.Warn(fmt.Sprintf("nodes keep what they run of %s: %s", e.App, e.Problem))
		}
	}
	return nil
}

// listOptions are the settings of channel list.
type listOptions struct{ json bool }

func list(t *term.Term, run verb.Run[listOptions]) *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the channels",
		Long:    "Lists the names of all channels, one on each line.",
		Example: "overland channel list",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runList(ctx context.Context, t *term.Term, o listOptions) error {
	names, err := names(ctx, t)
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(append([]string{}, names...))
	}
	for _, n := range names {
		t.Printf("%s\n", n)
	}
	return nil
}

func names(ctx context.Context, t *term.Term) ([]string, error) {
	return sitedir.Call(t, func(p *operator.Operator) ([]string, error) { return p.Channels(ctx) })
}

// CompleteFlags completes flags of c with the names of the channels.
func CompleteFlags(t *term.Term, c *cobra.Command, flags ...string) {
	sitedir.CompleteFlags(t, c, sitedir.Channels, flags...)
}
