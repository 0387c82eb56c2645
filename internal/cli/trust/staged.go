package trust

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/trust/repository"
)

// roleOptions are the settings of the verbs that work on the waiting change of a role.
type roleOptions struct{ role string }

// roleVerb makes c a verb whose argument is a role.
func roleVerb(t *term.Term, c *cobra.Command, run verb.Run[roleOptions]) *cobra.Command {
	c.Args = cobra.ExactArgs(1)
	c.RunE = func(c *cobra.Command, args []string) error { return run(c.Context(), t, roleOptions{args[0]}) }
	return c
}

func sign(t *term.Term, run verb.Run[roleOptions]) *cobra.Command {
	return roleVerb(t, &cobra.Command{
		Use:   "sign ROLE",
		Short: "Approve a change that waits for signatures",
		Long: "Adds the signatures of this machine's keys to the change of ROLE that overland trust show lists as waiting,\n" +
			"and publishes it when they suffice.",
		Example: "overland trust sign channel/live",
	}, run)
}

func runSign(ctx context.Context, t *term.Term, o roleOptions) error {
	err := sitedir.Change(ctx, t, func(repo *repository.Repository) error { return repo.Sign(ctx, o.role) })
	if err == nil {
		t.Note("%s: signed and published", o.role)
	}
	return err
}

func unstage(t *term.Term, run verb.Run[roleOptions]) *cobra.Command {
	return roleVerb(t, &cobra.Command{
		Use:     "unstage ROLE",
		Short:   "Drop a change that waits for signatures",
		Long:    "Removes the change of ROLE that overland trust show lists as waiting. What is published stays.",
		Example: "overland trust unstage channel/live",
	}, run)
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
