package trust

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// signerOptions are the settings of the verbs that change who signs.
type signerOptions struct {
	role      string
	key       string // a NAME.pub file, the name of a key of this machine or, for remove-signer, a key id
	threshold int    // 0 = as it is
}

// signerVerb makes c a verb whose arguments are a role and a key.
func signerVerb(t *term.Term, c *cobra.Command, run verb.Run[signerOptions]) *cobra.Command {
	var o signerOptions
	c.Args = cobra.ExactArgs(2)
	c.Flags().IntVar(&o.threshold, "threshold", 0, "signatures that the role needs (default: as it is)")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.role, o.key = args[0], args[1]
		return run(c.Context(), t, o)
	}
	return c
}

func addSigner(t *term.Term, run verb.Run[signerOptions]) *cobra.Command {
	return signerVerb(t, &cobra.Command{
		Use:   "add-signer ROLE KEY",
		Short: "Let a key sign for a role",
		Long: "Lets KEY, the name of a key of this machine or else a NAME.pub file, sign for ROLE: app/NAME may release NAME,\n" +
			"channel/NAME may promote to it. --threshold says how many signatures the role needs from then on.",
		Example: "overland trust add-signer channel/live alice.pub\noverland trust add-signer channel/live bob --threshold 2",
	}, run)
}

func runAddSigner(ctx context.Context, t *term.Term, o signerOptions) error {
	var pub trust.PublicKey
	err := changeSigners(ctx, t, o, func(repo *repository.Repository, have *keys.Dir) (err error) {
		if pub, err = publicKey(have, o.key); err != nil {
			return err
		}
		return repo.AddSigner(ctx, o.role, pub, o.threshold)
	})
	if err == nil {
		t.Note("%s may sign for %s: key %s", o.key, o.role, pub.ID)
	}
	if err == nil && o.threshold > 1 && strings.HasPrefix(o.role, "channel/") {
		t.Note("%s takes %d signatures of people from now on; a machine's own key is not counted: overland trust show says whose are", o.role, o.threshold)
	}
	return err
}

func removeSigner(t *term.Term, run verb.Run[signerOptions]) *cobra.Command {
	return signerVerb(t, &cobra.Command{
		Use:     "remove-signer ROLE KEY",
		Short:   "No longer let a key sign for a role",
		Long:    "Withdraws KEY, the name of a key of this machine, a NAME.pub file or a key's id, from ROLE.",
		Example: "overland trust remove-signer channel/live bob --threshold 1",
	}, run)
}

func runRemoveSigner(ctx context.Context, t *term.Term, o signerOptions) error {
	err := changeSigners(ctx, t, o, func(repo *repository.Repository, have *keys.Dir) error {
		id, err := keyID(have, o.key)
		if err != nil {
			return err
		}
		return repo.RemoveSigner(ctx, o.role, id, o.threshold)
	})
	if err == nil {
		t.Note("%s no longer signs for %s", o.key, o.role)
	}
	return err
}

func changeSigners(ctx context.Context, t *term.Term, o signerOptions, do func(*repository.Repository, *keys.Dir) error) error {
	if err := checkRole(o.role); err != nil {
		return err
	}
	_, err := sitedir.Call(t, func(p *operator.Operator) (struct{}, error) {
		repo, err := p.Repository(ctx)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, do(repo, p.Keys())
	})
	return err
}

// checkRole refuses a role that nothing ever asks: "live" instead of channel/live.
func checkRole(role string) error {
	kind, name, _ := strings.Cut(role, "/")
	var err error
	switch {
	case slices.Contains([]string{"root", "targets", "snapshot", "timestamp"}, role):
	case kind == "channel":
		_, err = release.ParseChannel(name)
	case kind == "app" && name != "":
	default:
		err = errs.Hint(verb.Usage("there is no role %q", role), "app/NAME may release, channel/NAME may promote; root, targets, snapshot, timestamp")
	}
	return err
}

// keyID returns the id of this machine's key s, s itself when it is written as an id is, or the id of the public key in
// the file s: no file takes the place of an id.
func keyID(have *keys.Dir, s string) (string, error) {
	if !have.Has(s) && idForm.MatchString(s) {
		return s, nil
	}
	pub, err := publicKey(have, s)
	return pub.ID, err
}

var idForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// publicKey returns this machine's key s, or the public key in the file s. The folder that an operator
// stands in may be somebody else's: no file there takes the name of a key of this machine.
func publicKey(have *keys.Dir, s string) (trust.PublicKey, error) {
	if have.Has(s) {
		return have.Public(s)
	}
	f, err := fsx.Open(s)
	if err != nil {
		return trust.PublicKey{}, errs.Hint(errs.Errorf(errs.NotFound, "%s is neither a file nor a key of this machine", s), "overland key list")
	}
	defer f.Close()
	const limit = 64 << 10
	b, err := fsx.Read(f, s, limit)
	if err != nil {
		return trust.PublicKey{}, err
	}
	pub, err := keys.ParsePublic(b)
	if err != nil {
		return pub, errs.E(errs.Invalid, fmt.Errorf("public key %s: %w", s, err))
	}
	return pub, nil
}
