package volume

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/progress"
	"overland/internal/volume"
)

// verifyOptions are the settings of volume verify.
type verifyOptions struct {
	file string
	root string // fingerprint; "" = the file's own
	json bool
}

func verify(t *term.Term, run verb.Run[verifyOptions]) *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check every byte of a volume and its signatures",
		Long: "Reads all of FILE and checks each blob against its digest, then the signatures from the root to each release.\n" +
			"With --root the chain must begin at that fingerprint; without it, FILE is shown to be whole, not who made it.",
		Example: "overland volume verify live.volume\noverland volume verify live.volume --root FINGERPRINT",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.file = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.root, "root", "", "fingerprint of the root of trust, as overland trust show prints it")
	verb.JSONFlag(c, &o.json)
	return c
}

func runVerify(ctx context.Context, t *term.Term, o verifyOptions) error {
	fp, err := verb.ParseRoot(o.root)
	if err != nil {
		return err
	}
	bar := t.Bar()
	check, err := operator.VerifyVolume(ctx, o.file, fp, bar.Show)
	bar.Close()
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(check)
	}
	t.Printf("%s is whole: %s, %s\n", o.file, progress.Count(check.Blobs, "blob", "blobs"), progress.Bytes(check.Bytes))
	t.Printf("channel %s: %s, sealed at %s\n", check.Channel, strings.Join(check.Releases, ", "), term.When(check.SealedAt))
	if check.Provenance > 0 {
		t.Printf("how they were built is signed too: %s\n", progress.Count(check.Provenance, "statement", "statements"))
	}
	if check.Trusted {
		t.Printf("signed under the root %s\n", check.Fingerprint)
	} else {
		t.Printf("its root, to compare: %s\n", check.Fingerprint)
	}
	return nil
}

// listOptions are the settings of volume list.
type listOptions struct {
	file string
	json bool
}

func list(t *term.Term, run verb.Run[listOptions]) *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:     "list FILE",
		Short:   "List what is in a volume",
		Long:    "Lists the entries of FILE with their offsets and sizes in bytes.",
		Example: "overland volume list live.volume",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.file = args[0]
			return run(c.Context(), t, o)
		},
	}
	verb.JSONFlag(c, &o.json)
	return c
}

// entryJSON is one element of volume list --json.
type entryJSON struct {
	Name   string        `json:"name"`
	Offset int64         `json:"offset"`
	Size   int64         `json:"size"`
	Packed int64         `json:"packed,omitempty"` // bytes in the file, when they are compressed
	Digest digest.Digest `json:"digest,omitempty"`
}

func runList(_ context.Context, t *term.Term, o listOptions) error {
	v, err := volume.Open(o.file)
	if err != nil {
		return err
	}
	defer v.Close()
	out := []entryJSON{}
	for _, e := range v.Entries() {
		out = append(out, entryJSON(e))
	}
	if o.json {
		return t.JSON(out)
	}
	for _, e := range out {
		t.Printf("%12d %12d %s\n", e.Offset, e.Size, e.Name)
	}
	return nil
}

// extractOptions are the settings of volume extract.
type extractOptions struct {
	file string
	dir  string // "" = the file's name without its ending
}

func extract(t *term.Term, run verb.Run[extractOptions]) *cobra.Command {
	var o extractOptions
	c := &cobra.Command{
		Use:   "extract FILE",
		Short: "Unpack a volume",
		Long: "Unpacks FILE into --dir (default: its name without the ending) and checks every blob. The result is an OCI image\n" +
			"layout with the signed metadata beside it.",
		Example: "overland volume extract live.volume --dir live",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.file = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.dir, "dir", "", "a folder that is empty or does not exist yet")
	return c
}

func runExtract(ctx context.Context, t *term.Term, o extractOptions) (err error) {
	v, err := volume.Open(o.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	if o.dir == "" {
		base := filepath.Base(o.file)
		if o.dir = strings.TrimSuffix(base, filepath.Ext(base)); o.dir == base {
			return errs.Hint(verb.Usage("unpack %s into which folder?", o.file), "--dir DIR")
		}
	}
	if err := v.Extract(ctx, o.dir, fsx.FS{}); err != nil {
		return err
	}
	t.Printf("%s\n", o.dir)
	return nil
}
