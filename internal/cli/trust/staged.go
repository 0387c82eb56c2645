package trust

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/operator/approval"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

// roleOptions are the settings of the verbs that work on the waiting change of a role.
type roleOptions struct{ role string }

// signOptions are the settings of trust sign.
type signOptions struct {
	role   string
	expect string // digest of the payload; "" = whatever is shown
	json   bool
}

func sign(t *term.Term, run verb.Run[signOptions]) *cobra.Command {
	var o signOptions
	c := &cobra.Command{
		Use:   "sign ROLE",
		Short: "Approve a change that waits for signatures",
		Long: "Shows the change of ROLE that waits against what is published, asks, adds the signatures of this machine's keys,\n" +
			"and publishes it when they suffice. --expect DIGEST, which overland trust show prints, refuses another change\n" +
			"than that; with --yes it is how a script approves what a person has seen.",
		Example: "overland trust sign channel/live --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.role = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.expect, "expect", "", "sign only the change whose payload has this digest")
	verb.JSONFlag(c, &o.json)
	return c
}

func runSign(ctx context.Context, t *term.Term, o signOptions) error {
	c, err := sitedir.Call(t, func(p *operator.Operator) (approval.Change, error) { return change(ctx, p, o.role, o.expect, nil) })
	if err != nil {
		return err
	}
	if err := showChange(t, c, o.json); err != nil {
		return err
	}
	if err := t.Confirm("sign it?"); err != nil {
		return err
	}
	// What is signed is what was shown: a change that came in the meantime has another digest.
	err = sitedir.Change(ctx, t, func(repo *repository.Repository) error { return repo.SignExactly(ctx, o.role, c.Digest) })
	if err == nil {
		t.Note("%s: signed and published", o.role)
	}
	return err
}

// waiting returns what waits for signatures in now; known are the keys whose names are shown.
func waiting(ctx context.Context, p *operator.Operator, now *repository.State, known []trust.KeyInfo) ([]approval.Change, error) {
	list, err := approval.Describe(now, known)
	if err != nil {
		return nil, err
	}
	approval.Ask(ctx, p.Depot(), list)
	return list, nil
}

// change returns the change of role that waits. Another one than that whose payload has the digest
// expect is an error, and so is what check says; "" and nil are any.
func change(ctx context.Context, p *operator.Operator, role, expect string, check func(*repository.State) error) (c approval.Change, err error) {
	if expect != "" {
		if _, err := digest.Parse(expect); err != nil {
			return c, errs.Hint(errs.E(errs.Invalid, err), "overland trust show prints it")
		}
	}
	now, err := p.Signed(ctx)
	if err != nil {
		return c, err
	}
	st, err := now.Waiting(role, digest.Digest(expect))
	if err == nil && check != nil {
		err = check(now)
	}
	if err != nil {
		return c, fmt.Errorf("change of %s: %w", role, err)
	}
	known, err := p.Keys().List()
	if err != nil {
		return c, err
	}
	list, err := waiting(ctx, p, now, known)
	if err != nil {
		return c, err
	}
	i := slices.IndexFunc(list, func(c approval.Change) bool { return c.Role == role && c.Digest == st.Digest })
	return list[i], nil // of the same state, which does not change
}

// showChange prints c, to be decided on.
func showChange(t *term.Term, c approval.Change, asJSON bool) error {
	if asJSON {
		return t.JSON(c)
	}
	printChange(t, c)
	return nil
}

// printChange says what c would change.
func printChange(t *term.Term, c approval.Change) {
	t.Printf("\nwaiting: %s version %d has %d of %d signatures: overland trust sign %s\n", c.Role, c.Version, c.Have, c.Want, c.Role)
	t.Printf("  digest   %s\n", c.Digest)
	t.Printf("  signed   %s\n", orNobody(c.SignedBy))
	t.Printf("  may sign %s\n", orNobody(c.MaySign))
	if len(c.ProposedBy) > 0 {
		t.Printf("  proposed by %s, which does not count\n", strings.Join(c.ProposedBy, ", "))
	}
	t.Printf("  proposed %s, expires %s (now %s)\n", term.When(c.SignedAt), term.When(c.Expires), term.When(c.Expired))
	for _, r := range c.Releases {
		for _, line := range releaseLines(r) {
			t.Printf("  %s\n", line)
		}
	}
	for _, s := range c.Signers {
		t.Printf("  signers of %s: %d must sign (before: %d)%s%s\n", s.Role, s.Threshold, s.ThresholdWas, named("; comes: ", s.Added), named("; goes: ", s.Removed))
	}
	if len(c.Releases)+len(c.Signers) == 0 {
		t.Printf("  nothing changes but the times\n")
	}
}

// releaseLines says what changes about r.
func releaseLines(r approval.Release) []string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s → %s", r.App, orNone(r.Before), orNone(r.After))
	switch {
	case r.Back && r.NoEffect:
		b.WriteString(", a return that NO promotion allows: nodes ignore it")
	case r.Back:
		b.WriteString(", a return to the fallback of the promotion; one signature suffices")
	case r.Rollback:
		b.WriteString(", a roll-back")
	case r.Before != "" && r.Before == r.After:
		b.WriteString(", the same version")
	}
	if r.Commits != nil {
		_, from, _ := strings.Cut(r.Before, ".")
		_, to, _ := strings.Cut(r.After, ".")
		fmt.Fprintf(&b, ", commits %s…%s (%+d)", from, to, *r.Commits)
	}
	if r.From != "" {
		fmt.Fprintf(&b, ", from channel %s", r.From)
	}
	lines := []string{b.String()}
	if r.Digest != "" {
		lines = append(lines, "  digest "+string(r.Digest))
	}
	if r.DigestWas != "" {
		lines = append(lines, "  before "+string(r.DigestWas))
	}
	if r.Repository != "" {
		lines = append(lines, "  repository that begins with commit "+r.Repository)
	}
	switch {
	case r.NoFallback:
		lines = append(lines, "  fallback "+r.Fallback+", of which NO release is signed with the digest that is named: nobody can return to it alone")
	case r.Fallback != "":
		lines = append(lines, "  fallback "+r.Fallback+": any one signer may return to it alone")
	}
	for _, asks := range r.Asks {
		lines = append(lines, "  asks for more than the least: "+asks)
	}
	if r.Unread != "" {
		lines = append(lines, "  what its services ask for is not known here: "+r.Unread)
	}
	if r.Unsigned {
		lines = append(lines, "  NO release is signed under this version and digest: nodes will refuse it")
	}
	return lines
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

func orNone(version string) string {
	if version == "" {
		return "(none)"
	}
	return version
}

func named(what string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return what + strings.Join(names, ", ")
}

func unstage(t *term.Term, run verb.Run[roleOptions]) *cobra.Command {
	return &cobra.Command{
		Use:     "unstage ROLE",
		Short:   "Drop a change that waits for signatures",
		Long:    "Removes the change of ROLE that overland trust show lists as waiting. What is published stays.",
		Example: "overland trust unstage channel/live",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return run(c.Context(), t, roleOptions{args[0]}) },
	}
}

func runUnstage(ctx context.Context, t *term.Term, o roleOptions) error {
	err := sitedir.Change(ctx, t, func(repo *repository.Repository) error { return repo.Unstage(ctx, o.role) })
	if err == nil {
		t.Note("%s: the change is dropped", o.role)
	}
	return err
}

func refresh(t *term.Term, run verb.Run[struct{}]) *cobra.Command {
	return &cobra.Command{
		Use:   "refresh",
		Short: "Sign again what expires soon",
		Long: "Signs again, with the keys of this machine, what expires soon. A running site and overland seal do this too; run\n" +
			"it on machines that hold keys which those do not have.",
		Example: "overland trust refresh",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, struct{}{}) },
	}
}

func runRefresh(ctx context.Context, t *term.Term, _ struct{}) error {
	return sitedir.Change(ctx, t, func(repo *repository.Repository) error { return repo.Refresh(ctx) })
}
