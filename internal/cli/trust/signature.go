package trust

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/operator/approval"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// signatureOptions are the settings of trust add-signature.
type signatureOptions struct {
	role   string
	file   string
	key    string // a NAME.pub file, or the name of a key of this machine
	expect string // digest of the payload; "" = whatever is shown
	json   bool
}

func addSignature(t *term.Term, run verb.Run[signatureOptions]) *cobra.Command {
	var o signatureOptions
	c := &cobra.Command{
		Use:   "add-signature ROLE FILE",
		Short: "Take a signature that was made elsewhere",
		Long: "Shows the change of ROLE that waits, as overland trust sign does, asks, adds the signature in FILE that KEY made\n" +
			"over its payload, and publishes the change when its signatures suffice. FILE has the 64 bytes of an ed25519\n" +
			"signature, as they are or as hexadecimal digits or base64. This machine's own keys sign nothing of it. A signature\n" +
			"over anything else than what waits is refused.",
		Example: "overland trust add-signature channel/live --key bob.pub live.sig --yes",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if o.role, o.file = args[0], args[1]; o.key == "" {
				return errs.Hint(verb.Usage("whose signature is it?"), "--key PUBLICKEY|NAME")
			}
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.key, "key", "", "whose signature it is: a public key file, or the name of a key of this machine")
	c.Flags().StringVar(&o.expect, "expect", "", "add it only to the change whose payload has this digest")
	verb.JSONFlag(c, &o.json)
	return c
}

func runAddSignature(ctx context.Context, t *term.Term, o signatureOptions) error {
	b, err := fsx.ReadFile(o.file, keys.MaxSignature)
	if err != nil {
		return fmt.Errorf("signature %s: %w", o.file, err)
	}
	var sig repository.Signature
	if sig.Sig, err = keys.ParseSignature(b); err != nil {
		return fmt.Errorf("signature %s: %w", o.file, err)
	}
	c, err := sitedir.Call(t, func(p *operator.Operator) (approval.Change, error) {
		pub, err := publicKey(p.Keys(), o.key)
		if err != nil {
			return approval.Change{}, err
		}
		sig.KeyID = pub.ID
		return change(ctx, p, o.role, o.expect, func(now *repository.State) error { return now.CheckSignature(o.role, sig) })
	})
	if err != nil {
		return err
	}
	if err := showChange(t, c, o.json); err != nil {
		return err
	}
	if err := t.Confirm("add the signature of %s to it?", o.key); err != nil {
		return err
	}
	// As with sign: a change that came in the meantime, which the same key has signed too, is another one.
	sig.Over = c.Digest
	err = sitedir.Change(ctx, t, func(repo *repository.Repository) error { return repo.AddSignature(ctx, o.role, sig) })
	if err == nil {
		t.Note("%s: signed and published", o.role)
	}
	return err
}
