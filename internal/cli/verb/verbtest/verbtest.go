package verbtest

import (
	"context"
	"io"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Case is a command line of a verb, without its name, and the options that it comes to.
type Case[O any] struct {
	Args []string
	Want O
}

// Options runs each command line with a Run that only looks at the options, and compares those.
func Options[O any](t *testing.T, build func(*term.Term, verb.Run[O]) *cobra.Command, cases ...Case[O]) {
	t.Helper()
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	for _, c := range cases {
		var got *O
		cmd := build(&term.Term{}, func(_ context.Context, _ *term.Term, o O) error {
			got = &o
			return nil
		})
		cmd.SetArgs(append([]string{}, c.Args...))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%q: %v", c.Args, err)
		} else if diff := cmp.Diff(&c.Want, got, all); diff != "" {
			t.Errorf("%q: options (-want +got):\n%s", c.Args, diff)
		}
	}
}

// Run runs a command line that begins with the name of one of verbs, and returns its error.
func Run(t *testing.T, verbs []*cobra.Command, args ...string) error {
	t.Helper()
	root := &cobra.Command{Use: "overland", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(verbs...)
	root.SetArgs(args)
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	return root.ExecuteContext(t.Context())
}
