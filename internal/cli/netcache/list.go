package netcache

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/netcache/client"
)

// listOptions are the settings of netcache list.
type listOptions struct {
	entryOptions
	conditions []string
	json       bool
}

func list(t *term.Term, run verb.Run[listOptions]) *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:   "list [CONDITION…]",
		Short: "List the entries of a key that a trusted key signed",
		Long: "Lists the entries for --key or --url that can be trusted and meet the conditions, best first, and says why the\n" +
			"others are left out.",
		Example: "overland netcache list --key pypi:a=1.0\noverland netcache list --key pypi:a=1.0 --json",
		RunE: func(c *cobra.Command, args []string) error {
			o.conditions = args
			return run(c.Context(), t, o)
		},
	}
	o.flags(c, true)
	verb.JSONFlag(c, &o.json)
	return c
}

// entryJSON is an entry in the output of list --json.
type entryJSON struct {
	SHA512   string          `json:"sha512"`
	Signer   string          `json:"signer"` // key id
	SHA1     bool            `json:"sha1"`   // only a SHA-1 signature vouches for it
	Metadata json.RawMessage `json:"metadata"`
}

func runList(ctx context.Context, t *term.Term, o listOptions) error {
	if o.key == "" && o.url == "" {
		return verb.Usage("say which key, or which URL")
	}
	filters, err := parseFilters(o.conditions)
	if err != nil {
		return err
	}
	c, _, _, err := o.open(t)
	if err != nil {
		return err
	}
	defer c.Close()
	list, err := c.Select(ctx, o.key, filters)
	if err == nil {
		for _, why := range list.Rejected {
			t.Note("left out: %v", why)
		}
	}
	if err != nil {
		if list.Outcome == client.Miss && errs.HintOf(err) == "" {
			err = errs.Hint(err, "overland netcache upload puts one there")
		}
		return err
	}
	entries, rows := []entryJSON{}, [][]string{}
	for _, f := range list.Found {
		entries = append(entries, entryJSON{f.Name(), f.Signer.ID, f.Statement == nil, json.RawMessage(f.Metadata)})
		until := "-"
		if f.Statement != nil {
			until = term.When(f.Statement.Expires)
		}
		rows = append(rows, []string{term.Short(f.Name()), SignerName(f), until})
	}
	if o.json {
		return t.JSON(entries)
	}
	t.Table("", "SHA512 SIGNER UNTIL", rows)
	return nil
}
