package netcache

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache/client"
	"overland/internal/origin"
	"overland/internal/progress"
)

// downloadOptions are the settings of netcache download.
type downloadOptions struct {
	entryOptions
	conditions []string
	output     string
	origin     bool
	sum        string // of what comes from the origin; "" = anything
}

func download(t *term.Term, run verb.Run[downloadOptions]) *cobra.Command {
	var o downloadOptions
	c := &cobra.Command{
		Use:   "download [CONDITION…]",
		Short: "Download the file of an entry that a trusted key signed",
		Long: "Downloads the file of the first entry for --key or --url that a key in the section [networkcache] signed, that\n" +
			"belongs to that key, has not expired and meets the conditions (NAME==VALUE, or <= >= < > << >>). The file appears\n" +
			"whole and verified, or not at all; the exit code says what went wrong. With --origin the URL itself is asked when\n" +
			"the cache has no entry that can be trusted; --sha256 says what the origin must give.",
		Example: "overland netcache download --url http://origin.example/a-1.0.tar.gz -o a.tar.gz\n" +
			"overland netcache download --key pypi:a=1.0 -o a.tar.gz basename==a-1.0.tar.gz",
		RunE: func(c *cobra.Command, args []string) error {
			o.conditions = args
			return run(c.Context(), t, o)
		},
	}
	o.flags(c, true)
	c.Flags().StringVarP(&o.output, "output", "o", "", "file to write")
	c.Flags().BoolVar(&o.origin, "origin", false, "with --url: ask the URL itself when the cache has nothing")
	c.Flags().StringVar(&o.sum, "sha256", "", "with --origin: what must come from there, 64 hex digits; without it nothing vouches for that")
	return c
}

func runDownload(ctx context.Context, t *term.Term, o downloadOptions) error {
	if o.output == "" || (o.key == "" && o.url == "") {
		return verb.Usage("say what to download, and where to")
	}
	if o.origin && (o.url == "" || o.binary || len(o.conditions) > 0) || o.sum != "" && !o.origin {
		return errs.Hint(verb.Usage("--origin is for --url alone"), "--url URL --origin; --sha256 goes with it")
	}
	want := digest.Digest("")
	if o.sum != "" {
		var err error
		if want, err = digest.FromHex(o.sum); err != nil {
			return errs.Hint(verb.Usage("--sha256 %q", o.sum), "64 hex digits, as sha256sum prints them")
		}
	}
	filters, err := parseFilters(o.conditions)
	if err != nil {
		return err
	}
	c, config, _, err := o.open(t)
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
		return downloadURL(ctx, t, c, o, want)
	}
	r, err := c.Download(ctx, o.key, filters, o.output)
	if err != nil {
		if r.Outcome == client.Miss && errs.HintOf(err) == "" {
			err = errs.Hint(err, "get it from its origin: --origin")
		}
		return err
	}
	t.Note("%s, signed by %s", progress.Bytes(r.Size), SignerName(r.Found))
	return nil
}

// downloadURL looks into the cache first, and then where the URL says.
func downloadURL(ctx context.Context, t *term.Term, c *client.Client, o downloadOptions, want digest.Digest) error {
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
		t.Note("%s, signed by %s", progress.Bytes(r.Size), SignerName(r.Found))
	default:
		t.Note("%s from its origin; the cache: %s", progress.Bytes(came), r.Outcome)
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

// SignerName returns the name of the key that signed f, or the start of its id.
func SignerName(f client.Found) string {
	if f.Signer.Name != "" {
		return f.Signer.Name
	}
	return term.Short(f.Signer.ID)
}
