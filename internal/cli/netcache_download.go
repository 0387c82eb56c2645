package cli

import (
	"context"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache/client"
	"overland/internal/origin"
	"overland/internal/progress"
)

// downloadOptions are the flags of netcache download beside those of every verb.
type downloadOptions struct {
	netcacheOptions
	output string
	origin bool
	sum    string
}

func (a *app) netcacheDownload() *cobra.Command {
	var o downloadOptions
	c := &cobra.Command{
		Use:   "download [CONDITION…]",
		Short: "Download the file of an entry that a trusted key signed",
		Long: "Downloads the file of the first entry for --key or --url that a key in the section [networkcache] signed, that\n" +
			"belongs to that key, has not expired and meets the conditions (NAME==VALUE, or <= >= < > << >>). The file appears\n" +
			"whole and verified, or not at all; what went wrong is in the exit code. With --origin the URL itself is asked when\n" +
			"the cache has nothing that is to be believed; --sha256 says what must come from there.",
		Example: "overland netcache download --url http://origin.example/a-1.0.tar.gz -o a.tar.gz\n" +
			"overland netcache download --key pypi:a=1.0 -o a.tar.gz basename==a-1.0.tar.gz",
		RunE: func(c *cobra.Command, args []string) error {
			return a.runNetcacheDownload(c.Context(), o, args)
		},
	}
	o.flags(c, true)
	c.Flags().StringVarP(&o.output, "output", "o", "", "file to write")
	c.Flags().BoolVar(&o.origin, "origin", false, "with --url: ask the URL itself when the cache brings nothing")
	c.Flags().StringVar(&o.sum, "sha256", "", "with --origin: what must come from there, 64 hex digits; without it nothing vouches for that")
	return c
}

func (a *app) runNetcacheDownload(ctx context.Context, o downloadOptions, args []string) error {
	if o.output == "" || (o.key == "" && o.url == "") {
		return usage("what to download, and where to")
	}
	if o.origin && (o.url == "" || o.binary || len(args) > 0) || o.sum != "" && !o.origin {
		return errs.Hint(usage("--origin is for --url alone"), "--url URL --origin; --sha256 goes with it")
	}
	want := digest.Digest("")
	if o.sum != "" {
		var err error
		if want, err = digest.FromHex(o.sum); err != nil {
			return errs.Hint(usage("--sha256 %q", o.sum), "64 hex digits, as sha256sum prints them")
		}
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
	if o.origin {
		return a.downloadURL(ctx, c, o, want)
	}
	r, err := c.Download(ctx, o.key, filters, o.output)
	if err != nil {
		if r.Outcome == client.Miss && errs.HintOf(err) == "" {
			err = errs.Hint(err, "get it from its origin: --origin")
		}
		return err
	}
	a.note("%s, signed by %s", progress.Bytes(r.Size), signerName(r.Found))
	return nil
}

// downloadURL looks into the cache first, and then where the URL says.
func (a *app) downloadURL(ctx context.Context, c *client.Client, o downloadOptions, want digest.Digest) error {
	var came int64
	r, err := c.DownloadURL(ctx, o.url, o.output, func(ctx context.Context, url, path string) (err error) {
		came, err = fromOrigin(ctx, url, path, want)
		return err
	})
	switch {
	case errs.KindOf(err) == errs.NotFound && errs.HintOf(err) == "":
		return errs.Hint(err, "it is neither here nor there: look at the URL")
	case err != nil:
		return err
	case r.Outcome == client.Hit:
		a.note("%s, signed by %s", progress.Bytes(r.Size), signerName(r.Found))
	default:
		a.note("%s from its origin; the cache: %s", progress.Bytes(came), r.Outcome)
	}
	return nil
}

// fromOrigin writes what url has to path, whole or not at all, and returns how long it is in bytes.
func fromOrigin(ctx context.Context, url, path string, want digest.Digest) (int64, error) {
	got, err := new(origin.Client).Get(ctx, origin.Request{URL: url})
	if err != nil {
		return 0, err
	}
	defer got.Close()
	file, err := (fsx.FS{}).Create(path, 0o644)
	if err != nil {
		return 0, err
	}
	defer file.Discard()
	h := digest.New()
	n, err := io.Copy(io.MultiWriter(file, h), got.Body)
	if err == nil && want != "" && h.Digest() != want {
		err = errs.Errorf(errs.Untrusted, "%s has %s, not %s: %w", got.URL, h.Digest(), want, digest.ErrMismatch)
	}
	if err != nil {
		return 0, err
	}
	return n, file.Commit()
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
