package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"overland/internal/errs"
	"overland/internal/record/shacache/client"
)

func (a *app) netcacheDownload() *cobra.Command {
	var o netcacheOptions
	var output string
	c := &cobra.Command{
		Use:   "download [CONDITION…]",
		Short: "Download the file of an entry that a trusted key signed",
		Long: "Downloads the file of the first entry for --key or --url that a key in the section [networkcache] signed, that\n" +
			"belongs to that key, has not expired and meets the conditions (NAME==VALUE, or <= >= < > << >>). The file appears\n" +
			"whole and verified, or not at all; what went wrong is in the exit code.",
		Example: "overland netcache download --url http://origin.example/a-1.0.tar.gz -o a.tar.gz\n" +
			"overland netcache download --key pypi:a=1.0 -o a.tar.gz basename==a-1.0.tar.gz",
		RunE: func(c *cobra.Command, args []string) error {
			return a.runNetcacheDownload(c.Context(), o, output, args)
		},
	}
	o.flags(c, true)
	c.Flags().StringVarP(&output, "output", "o", "", "file to write")
	return c
}

func (a *app) runNetcacheDownload(ctx context.Context, o netcacheOptions, output string, args []string) error {
	if output == "" || (o.key == "" && o.url == "") {
		return usage("what to download, and where to")
	}
	filters, err := parseFilters(args)
	if err != nil {
		return err
	}
	c, config, _, err := o.open(a)
	if err != nil {
		return err
	}
	defer c.Close()
	if o.binary {
		if err := blocked(config.DownloadBlacklist, o.url, "download-from-binary-cache-url-blacklist"); err != nil {
			return err
		}
	}
	r, err := c.Download(ctx, o.key, filters, output)
	if err != nil {
		if r.Outcome == client.Miss && errs.HintOf(err) == "" {
			err = errs.Hint(err, "get it from its origin")
		}
		return err
	}
	a.note("%s, signed by %s", size(r.Size), signerName(r.Found))
	return nil
}

func signerName(f client.Found) string {
	if f.Signer.Name != "" {
		return f.Signer.Name
	}
	return short(f.Signer.ID)
}

func (a *app) netcacheList() *cobra.Command {
	var o netcacheOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [CONDITION…]",
		Short: "List the entries of a key that a trusted key signed",
		Long: "Lists the entries for --key or --url that are to be believed and meet the conditions, best first, and says why the\n" +
			"others are not.",
		Example: "overland netcache list --key pypi:a=1.0\noverland netcache list --key pypi:a=1.0 --json",
		RunE: func(c *cobra.Command, args []string) error {
			return a.runNetcacheList(c.Context(), o, args, asJSON)
		},
	}
	o.flags(c, true)
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

// netcacheEntry is an entry in the output of list --json.
type netcacheEntry struct {
	SHA512   string          `json:"sha512"`
	Signer   string          `json:"signer"` // key id
	SHA1     bool            `json:"sha1"`   // only a SHA-1 signature vouches for it
	Metadata json.RawMessage `json:"metadata"`
}

func (a *app) runNetcacheList(ctx context.Context, o netcacheOptions, args []string, asJSON bool) error {
	if o.key == "" && o.url == "" {
		return usage("which key, or which URL")
	}
	filters, err := parseFilters(args)
	if err != nil {
		return err
	}
	c, _, _, err := o.open(a)
	if err != nil {
		return err
	}
	defer c.Close()
	list, err := c.Select(ctx, o.key, filters)
	if err == nil {
		for _, why := range list.Rejected {
			a.note("left out: %v", why)
		}
	}
	if err != nil {
		if list.Outcome == client.Miss && errs.HintOf(err) == "" {
			err = errs.Hint(err, "overland netcache upload puts one there")
		}
		return err
	}
	entries, rows := []netcacheEntry{}, [][]string{}
	for _, f := range list.Found {
		entries = append(entries, netcacheEntry{f.Name(), f.Signer.ID, f.Statement == nil, json.RawMessage(f.Metadata)})
		until := "-"
		if f.Statement != nil {
			until = when(f.Statement.Expires)
		}
		rows = append(rows, []string{short(f.Name()), signerName(f), until})
	}
	if asJSON {
		return a.printJSON(entries)
	}
	a.table("", "SHA512 SIGNER UNTIL", rows)
	return nil
}
