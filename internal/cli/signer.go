package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

type signerOptions struct {
	threshold int
	byID      bool   // the key may be an id that no file here has
	done      string // what is said of the key afterwards
}

func (a *app) trustAddSigner() *cobra.Command {
	o := signerOptions{done: "may sign"}
	c := &cobra.Command{
		Use:   "add-signer ROLE KEY",
		Short: "Let a key sign for a role",
		Long: "Lets KEY, a NAME.pub file or the name of a key of this machine, sign for ROLE: app/NAME may release NAME,\n" +
			"channel/NAME may promote to it. --threshold says how many signatures the role needs from then on.",
		Example: "overland trust add-signer channel/live alice.pub\noverland trust add-signer channel/live bob --threshold 2",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runSigner(o, args, func(repo *repository.Repository, role string, pub trust.PublicKey) error {
				return repo.AddSigner(c.Context(), role, pub, o.threshold)
			})
		},
	}
	thresholdFlag(c, &o)
	return c
}

func (a *app) trustRemoveSigner() *cobra.Command {
	o := signerOptions{done: "no longer signs", byID: true}
	c := &cobra.Command{
		Use:     "remove-signer ROLE KEY",
		Short:   "No longer let a key sign for a role",
		Long:    "Withdraws KEY, a NAME.pub file, the name of a key of this machine or a key's id, from ROLE.",
		Example: "overland trust remove-signer channel/live bob --threshold 1",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runSigner(o, args, func(repo *repository.Repository, role string, pub trust.PublicKey) error {
				return repo.RemoveSigner(c.Context(), role, pub.ID, o.threshold)
			})
		},
	}
	thresholdFlag(c, &o)
	return c
}

func thresholdFlag(c *cobra.Command, o *signerOptions) {
	c.Flags().IntVar(&o.threshold, "threshold", 0, "signatures that the role needs (default: as it is)")
}

// runSigner changes who signs for the role args[0]: do, for the key args[1].
func (a *app) runSigner(o signerOptions, args []string, do func(repo *repository.Repository, role string, pub trust.PublicKey) error) error {
	role, key := args[0], args[1]
	if err := checkRole(role); err != nil {
		return err
	}
	_, err := call(a, func(p *operator.Pipeline) (struct{}, error) {
		repo, err := p.Repository()
		if err != nil {
			return struct{}{}, err
		}
		pub, err := publicKey(p.Keys(), key)
		if o.byID && errs.KindOf(err) == errs.NotFound {
			pub, err = trust.PublicKey{ID: key}, nil
		}
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, do(repo, role, pub)
	})
	if err == nil {
		a.note("%s %s for %s", key, o.done, role)
	}
	return err
}

// checkRole refuses a role that nothing would ever ask: "live" for channel/live.
func checkRole(role string) error {
	kind, name, _ := strings.Cut(role, "/")
	var err error
	switch {
	case slices.Contains([]string{"root", "targets", "snapshot", "timestamp"}, role):
	case kind == "channel":
		_, err = release.ParseChannel(name)
	case kind == "app" && name != "":
	default:
		err = errs.Hint(usage("there is no role %q", role), "app/NAME may release, channel/NAME may promote; root, targets, snapshot, timestamp")
	}
	return err
}

// publicKey returns the public key in the file s, or of this machine's key s.
func publicKey(have *keys.Dir, s string) (trust.PublicKey, error) {
	f, err := os.Open(s)
	if err != nil {
		pub, keyErr := have.Public(s)
		if keyErr != nil {
			return pub, errs.Hint(errs.Errorf(errs.NotFound, "%s is neither a file nor a key of this machine", s), "overland key list")
		}
		return pub, nil
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
