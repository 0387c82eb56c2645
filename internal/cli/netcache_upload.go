package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/progress"
)

func (a *app) netcacheUpload() *cobra.Command {
	var o netcacheOptions
	var meta string
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
			return a.runNetcacheUpload(c.Context(), o, meta, args[0], args[1:])
		},
	}
	o.flags(c, false)
	c.Flags().StringVarP(&meta, "meta", "m", "", "file with metadata, a JSON object")
	return c
}

func (a *app) runNetcacheUpload(ctx context.Context, o netcacheOptions, meta, file string, args []string) error {
	c, config, field, err := o.open(a)
	if err != nil {
		return err
	}
	defer c.Close()
	fields := map[string]any{}
	if meta != "" {
		b, err := fsx.ReadFile(meta, netcache.EntryLimit)
		if err != nil {
			return errs.E(errs.Invalid, err)
		}
		if fields, err = netcache.ParseMetadata(b); err != nil {
			return errs.E(errs.Invalid, fmt.Errorf("%s: %w", meta, err))
		}
	}
	if err := parseFields(fields, args); err != nil {
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
	f, err := os.Open(file)
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	defer f.Close()
	up, err := c.Upload(ctx, f, o.key, fields)
	if err != nil {
		return err
	}
	a.printf("%s\n", up.Name)
	if !up.Sent {
		a.note("the cache had its %s already", progress.Bytes(up.Size))
	}
	return nil
}
