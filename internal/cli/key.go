package cli

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

func (a *app) key() *cobra.Command {
	return group("key", "Make, list and rotate signing keys", a.keyNew(), a.keyList(), a.keyRotate())
}

func (a *app) keyNew() *cobra.Command {
	var locked bool
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a signing key",
		Long: "Makes the key files NAME.key (private) and NAME.pub in the site directory and prints the key's id. Give the\n" +
			".pub file to whoever runs overland trust add-signer. With --passphrase the private key is encrypted.",
		Example: "overland key new alice",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.runKeyNew(args[0], locked) },
	}
	passphraseFlag(c, &locked)
	return c
}

func (a *app) runKeyNew(name string, locked bool) error {
	pub, err := callFirst(a, func(p *operator.Pipeline) (trust.PublicKey, error) {
		passphrase, err := a.newPassphrase(name, locked)
		if err != nil {
			return trust.PublicKey{}, err
		}
		return p.Keys().New(name, passphrase)
	})
	if err != nil {
		return err
	}
	a.printf("%s\n", pub.ID)
	return nil
}

// newPassphrase returns the passphrase for a new key, nil for none.
func (a *app) newPassphrase(name string, locked bool) ([]byte, error) {
	if !locked {
		return nil, nil
	}
	b, err := a.passphrase(name)
	if err == nil && len(b) == 0 {
		err = errs.Errorf(errs.Invalid, "an empty passphrase protects nothing")
	}
	return b, err
}

func (a *app) keyList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the keys of this machine",
		Long:    "Lists the keys in the site directory, and whether this machine can sign with them.",
		Example: "overland key list\noverland key list --json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.runKeyList(asJSON) },
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) runKeyList(asJSON bool) error {
	list, err := call(a, func(p *operator.Pipeline) ([]trust.KeyInfo, error) { return p.Keys().List() })
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(append([]trust.KeyInfo{}, list...))
	}
	var rows [][]string
	for _, k := range list {
		rows = append(rows, []string{k.Name, keyState(k), k.ID})
	}
	a.table("", "NAME CAN ID", rows)
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

func (a *app) keyRotate() *cobra.Command {
	var locked bool
	c := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Put a new key in the place of one",
		Long: "Makes a new key NAME, lets it sign wherever the old one did, withdraws the old one and puts it aside. Nodes\n" +
			"follow by themselves. It may be repeated when it was interrupted.",
		Example: "overland key rotate online",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.runKeyRotate(c.Context(), args[0], locked) },
	}
	passphraseFlag(c, &locked)
	return c
}

func (a *app) runKeyRotate(ctx context.Context, name string, locked bool) error {
	pub, err := signed(a, func(repo *repository.Repository) (trust.PublicKey, error) {
		passphrase, err := a.newPassphrase(name, locked)
		if err != nil {
			return trust.PublicKey{}, err
		}
		return repo.RotateKey(ctx, name, passphrase)
	})
	if err != nil {
		return err
	}
	a.printf("%s\n", pub.ID)
	return nil
}

// passphraseFlag adds --passphrase, for a key that is made.
func passphraseFlag(c *cobra.Command, locked *bool) {
	c.Flags().BoolVar(locked, "passphrase", false, "encrypt it with a passphrase ($OVERLAND_PASSPHRASE, or asked for)")
}
