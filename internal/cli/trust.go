package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/operator"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

func (a *app) trust() *cobra.Command {
	return group("trust", "Say which keys may sign what",
		a.trustInit(), a.trustShow(), a.trustAddSigner(), a.trustRemoveSigner(), a.trustSign(), a.trustUnstage(), a.trustRefresh())
}

func (a *app) trustInit() *cobra.Command {
	var rootKeys []string
	var threshold int
	c := &cobra.Command{
		Use:   "init",
		Short: "Begin signed metadata",
		Long: "Makes the root of trust, and keys where there are none, and prints the root's fingerprint: what a person\n" +
			"compares when a node is installed. With several --root-key, --threshold says how many of them must sign.",
		Example: "overland trust init\noverland trust init --root-key alice --root-key bob --threshold 2",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			repo, err := callFirst(a, func(p *operator.Pipeline) (*repository.Repository, error) {
				return p.InitTrust(c.Context(), rootKeys, threshold)
			})
			if err != nil {
				return err
			}
			a.printf("%s\n", repo.Fingerprint())
			a.note("compare it when a node is installed: sh FILE install --root %s", repo.Fingerprint())
			return nil
		},
	}
	c.Flags().StringSliceVar(&rootKeys, "root-key", nil, "key that speaks for the root; may be repeated (default: root)")
	c.Flags().IntVar(&threshold, "threshold", 0, "how many root keys must sign (default 1)")
	return c
}

func (a *app) trustShow() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the root's fingerprint, who may sign and who did",
		Long: "Prints the fingerprint to compare, every role with its keys, expiry and signatures, and the changes that wait\n" +
			"for more signatures.",
		Example: "overland trust show\noverland trust show --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.runTrustShow(c.Context(), asJSON) },
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) runTrustShow(ctx context.Context, asJSON bool) error {
	info, err := signed(a, func(repo *repository.Repository) (*repository.Info, error) { return repo.Show(ctx) })
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(info)
	}
	a.printf("root fingerprint  %s\n                  %s\n", info.Fingerprint, info.Fingerprint.Groups())
	a.printf("signed at         %s\n\n", when(info.SignedAt))
	var rows [][]string
	for _, r := range info.Roles {
		rows = append(rows, []string{
			r.Role, fmt.Sprint(r.Version), when(r.Expires), fmt.Sprintf("%d of %d", r.Threshold, len(r.Keys)),
			keyNames(r.Keys), signers(r),
		})
	}
	a.table("", "ROLE VERSION EXPIRES NEEDS KEYS SIGNED", rows)
	for _, s := range info.Staged {
		a.printf("\nwaiting: %s version %d has %d of %d signatures: overland trust sign %s\n", s.Role, s.Version, s.Have, s.Want, s.Role)
	}
	return nil
}

func keyNames(keys []trust.KeyInfo) string {
	var names []string
	for _, k := range keys {
		names = append(names, keyName(k))
	}
	return strings.Join(names, ", ")
}

func keyName(k trust.KeyInfo) string {
	if k.Name != "" {
		return k.Name
	}
	return short(k.ID)
}

func signers(r repository.RoleInfo) string {
	var names []string
	for _, id := range r.SignedBy {
		name := short(id)
		for _, k := range r.Keys {
			if k.ID == id {
				name = keyName(k)
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func (a *app) trustSign() *cobra.Command {
	return &cobra.Command{
		Use:   "sign ROLE",
		Short: "Approve a change that waits for signatures",
		Long: "Adds the signatures of this machine's keys to the change of ROLE that overland trust show lists as waiting,\n" +
			"and publishes it when they suffice.",
		Example: "overland trust sign channel/live",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			err := a.change(func(repo *repository.Repository) error { return repo.Sign(c.Context(), args[0]) })
			if err == nil {
				a.note("%s: signed and published", args[0])
			}
			return err
		},
	}
}

func (a *app) trustUnstage() *cobra.Command {
	return &cobra.Command{
		Use:     "unstage ROLE",
		Short:   "Drop a change that waits for signatures",
		Long:    "Removes the change of ROLE that overland trust show lists as waiting. What is published stays.",
		Example: "overland trust unstage channel/live",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			err := a.change(func(repo *repository.Repository) error { return repo.Unstage(c.Context(), args[0]) })
			if err == nil {
				a.note("%s: the change is dropped", args[0])
			}
			return err
		},
	}
}

func (a *app) trustRefresh() *cobra.Command {
	return &cobra.Command{
		Use:   "refresh",
		Short: "Sign again what expires soon",
		Long: "Signs again, with the keys of this machine, what expires soon. A running site and overland seal do it too;\n" +
			"it is for machines that hold keys which those do not.",
		Example: "overland trust refresh",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.change(func(repo *repository.Repository) error { return repo.Refresh(c.Context()) })
		},
	}
}
