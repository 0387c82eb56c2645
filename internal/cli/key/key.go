package key

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

// makeOptions are the settings of key new and key rotate.
type makeOptions struct {
	name   string
	locked bool // the private key gets a passphrase
}

// makeVerb makes c a verb whose argument is the name of a key that it makes.
func makeVerb(t *term.Term, c *cobra.Command, run verb.Run[makeOptions]) *cobra.Command {
	var o makeOptions
	c.Args = cobra.ExactArgs(1)
	c.Flags().BoolVar(&o.locked, "passphrase", false, "encrypt it with a passphrase ($OVERLAND_PASSPHRASE, or asked for)")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.name = args[0]
		return run(c.Context(), t, o)
	}
	return c
}

func newVerb(t *term.Term, run verb.Run[makeOptions]) *cobra.Command {
	return makeVerb(t, &cobra.Command{
		Use:   "new NAME",
		Short: "Make a signing key",
		Long: "Makes the key files NAME.key (private) and NAME.pub in the site directory and prints the key's id. Give the\n" +
			".pub file to whoever runs overland trust add-signer. With --passphrase the private key is encrypted.",
		Example: "overland key new alice",
	}, run)
}

func runNew(_ context.Context, t *term.Term, o makeOptions) error {
	pub, err := sitedir.First(t, func(p *operator.Operator) (trust.PublicKey, error) {
		passphrase, err := newPassphrase(t, o)
		if err != nil {
			return trust.PublicKey{}, err
		}
		return p.Keys().New(o.name, passphrase)
	})
	if err != nil {
		return err
	}
	t.Printf("%s\n", pub.ID)
	return nil
}

func rotate(t *term.Term, run verb.Run[makeOptions]) *cobra.Command {
	return makeVerb(t, &cobra.Command{
		Use:   "rotate NAME",
		Short: "Replace a key by a new one",
		Long: "Makes a new key NAME, lets it sign wherever the old one did, withdraws the old one and puts it aside. Nodes\n" +
			"follow by themselves. Run it again when it was interrupted.",
		Example: "overland key rotate online",
	}, run)
}

func runRotate(ctx context.Context, t *term.Term, o makeOptions) error {
	pub, err := sitedir.Signed(ctx, t, func(repo *repository.Repository) (trust.PublicKey, error) {
		passphrase, err := newPassphrase(t, o)
		if err != nil {
			return trust.PublicKey{}, err
		}
		return repo.RotateKey(ctx, o.name, passphrase)
	})
	if err != nil {
		return err
	}
	t.Printf("%s\n", pub.ID)
	return nil
}

// newPassphrase returns the passphrase for a new key, nil for none.
func newPassphrase(t *term.Term, o makeOptions) ([]byte, error) {
	if !o.locked {
		return nil, nil
	}
	b, err := t.Passphrase(o.name)
	if err == nil && len(b) == 0 {
		err = errs.Errorf(errs.Invalid, "an empty passphrase protects nothing")
	}
	return b, err
}

// listOptions are the settings of key list.
type listOptions struct{ json bool }

func list(t *term.Term, run verb.Run[listOptions]) *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the keys of this machine",
		Long:    "Lists the keys in the site directory, and whether this machine can sign with them.",
		Example: "overland key list\noverland key list --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runList(_ context.Context, t *term.Term, o listOptions) error {
	list, err := sitedir.Call(t, func(p *operator.Operator) ([]trust.KeyInfo, error) { return p.Keys().List() })
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(append([]trust.KeyInfo{}, list...))
	}
	var rows [][]string
	for _, k := range list {
		rows = append(rows, []string{k.Name, keyState(k), k.ID})
	}
	t.Table("", "NAME CAN ID", rows)
	return nil
}

// keyState says what this machine can do with k.
func keyState(k trust.KeyInfo) string {
	switch {
	case !k.Private:
		return "verify"
	case k.Locked:
		return "sign with passphrase"
	}
	return "sign"
}
