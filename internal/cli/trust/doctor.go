package trust

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/progress"
	"overland/internal/trust/doctor"
)

// doctorOptions are the settings of trust doctor.
type doctorOptions struct{ json bool }

func doctorVerb(t *term.Term, run verb.Run[doctorOptions]) *cobra.Command {
	var o doctorOptions
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is weak in keys and signatures",
		Long: "Looks at the keys of this machine and at the signed metadata, and says what is weak, each with a remedy: a root\n" +
			"key beside online ones, keys in the clear, files that others can read, what expires soon, channels that one\n" +
			"person or machine moves alone. Changes nothing. Exit code 3 when something is weak; notes are not.",
		Example: "overland trust doctor\noverland trust doctor --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runDoctor(ctx context.Context, t *term.Term, o doctorOptions) error {
	list, err := sitedir.Call(t, func(p *operator.Operator) ([]doctor.Finding, error) { return examine(ctx, p, t.Clock.Or()()) })
	if err != nil {
		return err
	}
	if o.json {
		if err := t.JSON(append([]doctor.Finding{}, list...)); err != nil {
			return err
		}
	}
	weak := 0
	for _, f := range list {
		if f.Level == doctor.Weak {
			weak++
		}
		if !o.json {
			t.Printf("%s  %s: %s\n      %s\n", f.Level, f.About, f.What, f.Remedy)
		}
	}
	if weak > 0 {
		return errs.Hint(errs.Errorf(errs.Partial, "%s", progress.Count(weak, "thing is weak", "things are weak")), "each has its remedy below it")
	}
	t.Note("nothing is weak")
	return nil
}

// examine looks at what the site directory has; signed metadata may be missing.
func examine(ctx context.Context, p *operator.Operator, at time.Time) ([]doctor.Finding, error) {
	f := doctor.Facts{Now: at}
	var err error
	if f.Files, f.Folders, err = p.Keys().Files(); err != nil {
		return nil, err
	}
	now, err := p.Signed(ctx)
	switch {
	case errs.KindOf(err) == errs.NotFound:
		return doctor.Examine(f), nil
	case err != nil:
		return nil, err
	}
	known, err := p.Keys().List()
	if err != nil {
		known = nil // a file with a mode that is refused: it is among the findings
	}
	if f.Info, err = now.Show(known); err != nil {
		return nil, err
	}
	f.Returned = p.Returned(now, known)
	return doctor.Examine(f), nil
}
