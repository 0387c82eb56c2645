package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"overland/internal/errs"
	"overland/internal/trust"
)

func (a *app) trustAddSigner() *cobra.Command {
	var threshold int
	c := &cobra.Command{
		Use:   "add-signer ROLE KEY",
		Short: "Let a key sign for a role",
		Long: "Lets KEY, a NAME.pub file or the name of a key of this machine, sign for ROLE: app/NAME may release NAME,\n" +
			"channel/NAME may promote to it. --threshold says how many signatures the role needs from then on.",
		Example: "overland trust add-signer channel/live alice.pub\noverland trust add-signer channel/live bob --threshold 2",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			p, end, err := a.open()
			if err != nil {
				return err
			}
			defer end()
			repo, err := p.Repository()
			if err != nil {
				return err
			}
			pub, err := publicKey(p.Keys(), args[1])
			if err != nil {
				return err
			}
			return repo.AddSigner(c.Context(), args[0], pub, threshold)
		},
	}
	c.Flags().IntVar(&threshold, "threshold", 0, "signatures that the role needs (default: as it is)")
	return c
}

func (a *app) trustRemoveSigner() *cobra.Command {
	var threshold int
	c := &cobra.Command{
		Use:     "remove-signer ROLE KEY",
		Short:   "No longer let a key sign for a role",
		Long:    "Withdraws KEY, a NAME.pub file, the name of a key of this machine or a key's id, from ROLE.",
		Example: "overland trust remove-signer channel/live bob --threshold 1",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			p, end, err := a.open()
			if err != nil {
				return err
			}
			defer end()
			repo, err := p.Repository()
			if err != nil {
				return err
			}
			id := args[1]
			if pub, err := publicKey(p.Keys(), id); err == nil {
				id = pub.ID
			}
			return repo.RemoveSigner(c.Context(), args[0], id, threshold)
		},
	}
	c.Flags().IntVar(&threshold, "threshold", 0, "signatures that the role needs (default: as it is)")
	return c
}

// publicKey returns the public key in the file s, or of this machine's key s.
func publicKey(keys *trust.KeyDir, s string) (trust.PublicKey, error) {
	f, err := os.Open(s)
	if err != nil {
		pub, keyErr := keys.Public(s)
		if keyErr != nil {
			return pub, errs.Hint(errs.Errorf(errs.NotFound, "%s is neither a file nor a key of this machine", s), "overland key list")
		}
		return pub, nil
	}
	defer f.Close()
	const limit = 64 << 10
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return trust.PublicKey{}, err
	}
	pub, err := trust.ParsePublicKey(b)
	if err != nil {
		return pub, errs.E(errs.Invalid, fmt.Errorf("public key %s: %w", s, err))
	}
	return pub, nil
}
