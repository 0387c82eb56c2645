package verb

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/errs"
	"overland/internal/progress"
	"overland/internal/trust"
)

// Run does a verb with the options o, and prints its result on t.
type Run[O any] func(ctx context.Context, t *term.Term, o O) error

// Usage returns an error that is the caller's mistake: exit code 2.
func Usage(format string, args ...any) error { return errs.Errorf(errs.Invalid, format, args...) }

// Group returns a command that only holds others.
func Group(use, short, long string, subs ...*cobra.Command) *cobra.Command {
	names := make([]string, len(subs))
	for i, sub := range subs {
		names[i] = sub.Name()
	}
	c := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return errs.Hint(Usage("%s has no verb %q", c.CommandPath(), args[0]), "%s", Instead(c, args[0], "one of "+strings.Join(names, ", ")))
		},
	}
	c.AddCommand(subs...)
	return c
}

// Instead returns a hint for the verb name that c does not have: the ones
// that look like it, else other.
func Instead(c *cobra.Command, name, other string) string {
	const distance = 2 // letters
	c.SuggestionsMinimumDistance = distance
	like := c.SuggestionsFor(name)
	for i, s := range like {
		like[i] = c.CommandPath() + " " + s
	}
	if len(like) == 0 {
		return other
	}
	return "did you mean " + strings.Join(like, " or ") + "?"
}

// First returns the first of args, or other when there is none.
func First(args []string, other string) string {
	if len(args) > 0 {
		return args[0]
	}
	return other
}

// JSONFlag adds --json.
func JSONFlag(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, "print the result as JSON")
}

// ParseSize returns s, "650MiB" or "2GiB" or a number of bytes, in bytes; 0 for "".
func ParseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := progress.ParseBytes(s)
	return n, errs.E(errs.Invalid, err)
}

// ParseRoot returns the fingerprint of a root of trust, "" for "".
func ParseRoot(s string) (trust.Fingerprint, error) {
	if s == "" {
		return "", nil
	}
	fp, err := trust.ParseFingerprint(s)
	return fp, errs.Hint(errs.E(errs.Invalid, err), "overland trust show")
}
