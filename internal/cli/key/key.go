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
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// makeOptions are the settings of the verbs that write a private key.
type makeOptions struct {
	name   string
	locked bool // there is a passphrase, or it fails
	root   bool // the private key lies with the root keys
	json   bool
}

// madeJSON is the result of key new --json and key rotate --json.
type madeJSON struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	File string `json:"file,omitempty"` // the private half
}

// makeVerb makes c a verb whose argument is the name of a key that it writes.
func makeVerb(t *term.Term, c *cobra.Command, run verb.Run[makeOptions]) (*cobra.Command, *makeOptions) {
	var o makeOptions
	c.Args = cobra.ExactArgs(1)
	c.Flags().BoolVar(&o.locked, "passphrase", false, "fail where there is nobody to give a passphrase")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.name = args[0]
		return run(c.Context(), t, o)
	}
	return c, &o
}

func newVerb(t *term.Term, run verb.Run[makeOptions]) *cobra.Command {
	c, o := makeVerb(t, &cobra.Command{
		Use:   "new NAME",
		Short: "Make a signing key",
		Long: "Makes the key files NAME.key (private) and NAME.pub in the site directory and prints the key's id. Give the\n" +
			".pub file to whoever runs overland trust add-signer. At a terminal a passphrase is asked for, which encrypts\n" +
			"the private key as the age program does. With --root it lies in the folder of root keys (keys/root, or\n" +
			"--root-keys), which you carry away from this machine; so does a key that is called root.",
		Example: "overland key new alice\noverland key new root2 --root --root-keys stick",
	}, run)
	c.Flags().BoolVar(&o.root, "root", false, "its private half lies in the folder of root keys")
	verb.JSONFlag(c, &o.json)
	return c
}

func runNew(_ context.Context, t *term.Term, o makeOptions) error {
	var path string
	pub, err := sitedir.First(t, func(p *operator.Operator) (trust.PublicKey, error) {
		passphrase, err := passphrase(t, o)
		if err != nil {
			return trust.PublicKey{}, err
		}
		begin := p.Keys().New
		if o.root {
			begin = p.Keys().NewRoot
		}
		pub, err := begin(o.name, passphrase)
		path = p.Keys().Path(o.name)
		return pub, err
	})
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(madeJSON{o.name, pub.ID, path})
	}
	t.Printf("%s\n", pub.ID)
	t.Note("the private half is %s: it never leaves your hands", path)
	if o.root || o.name == keys.Root {
		t.Note("it is a key of root: carry that folder away from this machine, and name it with --root-keys when root changes")
	}
	return nil
}

func rotate(t *term.Term, run verb.Run[makeOptions]) *cobra.Command {
	c, o := makeVerb(t, &cobra.Command{
		Use:   "rotate NAME",
		Short: "Replace a key by a new one",
		Long: "Makes a new key NAME, lets it sign wherever the old one did, and withdraws the old one. Nodes follow by\n" +
			"themselves. The old private key is removed, or put aside when it has a passphrase. Run it again when it was\n" +
			"interrupted.",
		Example: "overland key rotate online",
	}, run)
	verb.JSONFlag(c, &o.json)
	return c
}

func runRotate(ctx context.Context, t *term.Term, o makeOptions) error {
	pub, err := sitedir.Signed(ctx, t, func(repo *repository.Repository) (trust.PublicKey, error) {
		passphrase, err := passphrase(t, o)
		if err != nil {
			return trust.PublicKey{}, err
		}
		return repo.RotateKey(ctx, o.name, passphrase)
	})
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(madeJSON{Name: o.name, ID: pub.ID})
	}
	t.Printf("%s\n", pub.ID)
	return nil
}

func relock(t *term.Term, run verb.Run[makeOptions]) *cobra.Command {
	c, _ := makeVerb(t, &cobra.Command{
		Use:   "passphrase NAME",
		Short: "Give a key another passphrase",
		Long: "Encrypts the private key NAME with a new passphrase, after asking for the one that it has. With\n" +
			"--no-passphrase the file is left in the clear.",
		Example: "overland key passphrase alice --no-passphrase",
	}, run)
	return c
}

func runRelock(_ context.Context, t *term.Term, o makeOptions) error {
	_, err := sitedir.Call(t, func(p *operator.Operator) (struct{}, error) {
		var none struct{}
		secret := []byte{}
		if !t.NoPassphrase {
			var err error
			if secret, err = t.MustPassphrase(o.name); err != nil {
				return none, err
			}
		}
		return none, p.Keys().Relock(o.name, secret)
	})
	if err != nil {
		return err
	}
	if t.NoPassphrase {
		t.Note("%s: anybody who reads its file can sign with it", o.name)
	} else {
		t.Note("%s: encrypted", o.name)
	}
	return nil
}

// passphrase returns what a new key is encrypted with; nil: what is chosen when it is made.
func passphrase(t *term.Term, o makeOptions) ([]byte, error) {
	switch {
	case o.locked && t.NoPassphrase:
		return nil, errs.Hint(verb.Usage("--passphrase and --no-passphrase contradict each other"), "leave out one of them")
	case o.locked:
		return t.MustPassphrase(o.name)
	}
	return nil, nil
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
