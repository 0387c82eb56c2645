package cli

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/progress"
	"overland/internal/trust"
	"overland/internal/volume"
)

func (a *app) volume() *cobra.Command {
	return group("volume", "Verify, list and unpack volumes", a.volumeVerify(), a.volumeList(), a.volumeExtract())
}

func (a *app) volumeVerify() *cobra.Command {
	var root string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check every byte of a volume and its signatures",
		Long: "Reads all of FILE and checks each blob against its digest, then the signatures from the root to each release.\n" +
			"With --root the chain must begin at that fingerprint; without it, FILE is shown to be whole, not who made it.",
		Example: "overland volume verify live.volume\noverland volume verify live.volume --root FINGERPRINT",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runVolumeVerify(c.Context(), args[0], root, asJSON)
		},
	}
	c.Flags().StringVar(&root, "root", "", "fingerprint of the root of trust, as overland trust show prints it")
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) runVolumeVerify(ctx context.Context, path, root string, asJSON bool) error {
	fp, err := parseRoot(root)
	if err != nil {
		return err
	}
	bar := a.bar()
	check, err := operator.VerifyVolume(ctx, path, fp, bar.Show)
	bar.Close()
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(check)
	}
	a.printf("%s is whole: %s, %s\n", path, plural(check.Blobs, "blob", "blobs"), progress.Bytes(check.Bytes))
	a.printf("channel %s: %s, sealed at %s\n", check.Channel, strings.Join(check.Releases, ", "), when(check.SealedAt))
	if check.Trusted {
		a.printf("signed under the root %s\n", check.Fingerprint)
	} else {
		a.printf("its root, to compare: %s\n", check.Fingerprint)
	}
	return nil
}

// parseRoot returns the fingerprint s, "" for "".
func parseRoot(s string) (trust.Fingerprint, error) {
	if s == "" {
		return "", nil
	}
	fp, err := trust.ParseFingerprint(s)
	return fp, errs.Hint(errs.E(errs.Invalid, err), "overland trust show")
}

func (a *app) volumeList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list FILE",
		Short:   "List what is in a volume",
		Long:    "Lists the entries of FILE with their offsets and sizes in bytes.",
		Example: "overland volume list live.volume",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.runVolumeList(args[0], asJSON) },
	}
	jsonFlag(c, &asJSON)
	return c
}

// volumeEntryJSON is one element of volume list --json.
type volumeEntryJSON struct {
	Name   string        `json:"name"`
	Offset int64         `json:"offset"`
	Size   int64         `json:"size"`
	Digest digest.Digest `json:"digest,omitempty"`
}

func (a *app) runVolumeList(path string, asJSON bool) error {
	v, err := volume.Open(path)
	if err != nil {
		return err
	}
	defer v.Close()
	out := []volumeEntryJSON{}
	for _, e := range v.Entries() {
		out = append(out, volumeEntryJSON(e))
	}
	if asJSON {
		return a.printJSON(out)
	}
	for _, e := range out {
		a.printf("%12d %12d %s\n", e.Offset, e.Size, e.Name)
	}
	return nil
}

func (a *app) volumeExtract() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "extract FILE",
		Short: "Unpack a volume",
		Long: "Unpacks FILE into --dir (default: its name without the ending), every blob checked: an OCI image layout with the\n" +
			"signed metadata beside it.",
		Example: "overland volume extract live.volume --dir live",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runVolumeExtract(c.Context(), args[0], dir)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "a folder that is empty or not there yet")
	return c
}

func (a *app) runVolumeExtract(ctx context.Context, path, dir string) (err error) {
	v, err := volume.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	if dir == "" {
		base := filepath.Base(path)
		if dir = strings.TrimSuffix(base, filepath.Ext(base)); dir == base {
			return errs.Hint(usage("unpack %s into which folder?", path), "--dir DIR")
		}
	}
	if err := v.Extract(ctx, dir, fsx.FS{}); err != nil {
		return err
	}
	a.printf("%s\n", dir)
	return nil
}
