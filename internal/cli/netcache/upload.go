package netcache

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/progress"
)

// uploadOptions are the settings of netcache upload.
type uploadOptions struct {
	entryOptions
	file   string
	meta   string   // file with a JSON object; "" = none
	fields []string // NAME=VALUE
}

func upload(t *term.Term, run verb.Run[uploadOptions]) *cobra.Command {
	var o uploadOptions
	c := &cobra.Command{
		Use:   "upload FILE [NAME=VALUE…]",
		Short: "Upload a file and its signed entry",
		Long: "Uploads FILE and, with --key or --url, an entry for it with the metadata given, signed by the keys that the\n" +
			"section [networkcache] names; prints the file's sha512. A URL that names a branch or \"latest\" is refused, because\n" +
			"everybody would get today's content for ever.",
		Example: "overland netcache upload go.mod --url http://origin.example/a-1.0.tar.gz\n" +
			"overland netcache upload go.mod --key pypi:a=1.0 basename=a-1.0.tar.gz",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.file, o.fields = args[0], args[1:]
			return run(c.Context(), t, o)
		},
	}
	o.flags(c, false)
	c.Flags().StringVarP(&o.meta, "meta", "m", "", "file with metadata, a JSON object")
	return c
}

func runUpload(ctx context.Context, t *term.Term, o uploadOptions) error {
	c, config, field, err := o.open(t)
	if err != nil {
		return err
	}
	defer c.Close()
	fields := map[string]any{}
	if o.meta != "" {
		f, err := fsx.OpenStream(o.meta)
		if err != nil {
			return errs.E(errs.Invalid, err)
		}
		defer f.Close()
		b, err := fsx.Read(f, o.meta, netcache.EntryLimit)
		if err != nil {
			return errs.E(errs.Invalid, err)
		}
		if fields, err = netcache.ParseMetadata(b); err != nil {
			return errs.E(errs.Invalid, fmt.Errorf("%s: %w", o.meta, err))
		}
	}
	if err := parseFields(fields, o.fields); err != nil {
		return err
	}
	if o.url != "" {
		if o.binary {
			if err := blocked(config.UploadBlacklist, o.url, "upload-to-binary-cache-url-blacklist"); err != nil {
				return err
			}
		}
		check := netcache.CheckFrozen
		if o.binary {
			check = netcache.CheckPinned // a software release has a version, a tag or a commit
		}
		if err := check(o.url); err != nil && !o.mutable {
			return errs.Hint(err, "name a tag or a commit, or give --mutable")
		}
		fields[field] = o.url
	}
	f, err := fsx.Open(o.file)
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	defer f.Close()
	up, err := c.Upload(ctx, f, o.key, fields)
	if err != nil {
		return err
	}
	t.Printf("%s\n", up.Name)
	if !up.Sent {
		t.Note("the cache had its %s already", progress.Bytes(up.Size))
	}
	return nil
}
