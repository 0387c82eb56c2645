package trust

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/operator"
	"overland/internal/operator/approval"
	"overland/internal/trust"
	"overland/internal/trust/doctor"
	"overland/internal/trust/repository"
)

// initOptions are the settings of trust init.
type initOptions struct {
	rootKeys  []string // names; none = "root"
	threshold int      // 0 = 1
	json      bool
}

// begunJSON is the result of trust init --json.
type begunJSON struct {
	Fingerprint trust.Fingerprint `json:"fingerprint"`
	RootKeys    string            `json:"rootKeys"` // folder of their private halves
}

func initVerb(t *term.Term, run verb.Run[initOptions]) *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Begin signed metadata",
		Long: "Makes the root of trust, and keys where there are none, and prints the root's fingerprint: what a person\n" +
			"compares when a node is installed. With several --root-key, --threshold says how many of them must sign.",
		Example: "overland trust init\noverland trust init --root-key alice --root-key bob --threshold 2",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	c.Flags().StringSliceVar(&o.rootKeys, "root-key", nil, "key that signs for the root; may be repeated (default: root)")
	c.Flags().IntVar(&o.threshold, "threshold", 0, "how many root keys must sign (default 1)")
	verb.JSONFlag(c, &o.json)
	return c
}

func runInit(ctx context.Context, t *term.Term, o initOptions) error {
	var folder string
	repo, err := sitedir.First(t, func(p *operator.Operator) (*repository.State, error) {
		s, err := p.InitTrust(ctx, o.rootKeys, o.threshold)
		folder = filepath.Dir(p.Keys().Path(cmp.Or(verb.First(o.rootKeys, ""), repository.KeyRoot)))
		return s, err
	})
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(begunJSON{repo.Fingerprint(), folder})
	}
	t.Printf("%s\n", repo.Fingerprint())
	t.Note("the root key is in %s: carry that folder away from this machine, and name it with --root-keys when root changes", folder)
	t.Note("compare it when a node is installed: sh FILE install --root %s", repo.Fingerprint())
	return nil
}

// showOptions are the settings of trust show.
type showOptions struct{ json bool }

func show(t *term.Term, run verb.Run[showOptions]) *cobra.Command {
	var o showOptions
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the root's fingerprint, who may sign and who did",
		Long: "Prints the fingerprint to compare, every role with its keys, expiry and signatures, and the changes that wait\n" +
			"for more signatures.",
		Example: "overland trust show\noverland trust show --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runShow(ctx context.Context, t *term.Term, o showOptions) error {
	var returned []doctor.Returned
	s, err := sitedir.Call(t, func(p *operator.Operator) (s shown, err error) {
		now, err := p.Signed(ctx)
		if err != nil {
			return s, err
		}
		known, err := p.Keys().List()
		if err != nil {
			return s, err
		}
		if s.Info, err = now.Show(known); err != nil {
			return s, err
		}
		s.Waiting, err = waiting(ctx, p, now, known)
		returned = p.Returned(now, known)
		return s, err
	})
	if err != nil {
		return err
	}
	if o.json {
		s.Waiting = append([]approval.Change{}, s.Waiting...)
		return t.JSON(s)
	}
	info := s.Info
	t.Printf("root fingerprint  %s\n                  %s\n", info.Fingerprint, info.Fingerprint.Groups())
	t.Printf("signed at         %s\n\n", term.When(info.SignedAt))
	var rows [][]string
	for _, r := range info.Roles {
		rows = append(rows, []string{
			r.Role, fmt.Sprint(r.Version), term.When(r.Expires), fmt.Sprintf("%d of %d", r.Threshold, len(r.Keys)),
			keyNames(r.Keys), signers(r),
		})
	}
	t.Table("", "ROLE VERSION EXPIRES NEEDS KEYS SIGNED", rows)
	for _, r := range returned {
		t.Printf("\n%s: %s\n", r.Role, r.What)
	}
	for _, c := range s.Waiting {
		printChange(t, c)
	}
	for _, r := range info.Rejected {
		t.Printf("\nnot to be signed: %s version %d: %s: overland trust unstage %s\n", r.Role, r.Version, r.Why, r.Role)
	}
	return nil
}

// shown is the result of trust show --json.
type shown struct {
	*repository.Info
	Waiting []approval.Change `json:"waiting"`
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
	return term.Short(k.ID)
}

func signers(r repository.RoleInfo) string {
	var names []string
	for _, id := range r.SignedBy {
		name := term.Short(id)
		for _, k := range r.Keys {
			if k.ID == id {
				name = keyName(k)
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
