package sitedir

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/operator"
	"overland/internal/release"
)

// Names returns the names of some things in a site directory, for completion.
type Names func(ctx context.Context, p *operator.Operator) ([]string, error)

// Complete completes up to most arguments, 0 for any number, with names that were not given yet. It
// asks nobody, makes nothing and prints nothing.
func Complete(t *term.Term, most int, names Names) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		silent := *t
		silent.Quiet, silent.Stderr = true, io.Discard
		ctx := c.Context()
		if ctx == nil {
			ctx = context.Background() // cobra gives completions none
		}
		list, err := Call(&silent, func(p *operator.Operator) ([]string, error) { return names(ctx, p) })
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return slices.DeleteFunc(list, func(s string) bool { return slices.Contains(args, s) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteFlags completes flags of c with names.
func CompleteFlags(t *term.Term, c *cobra.Command, names Names, flags ...string) {
	complete := Complete(t, 0, names)
	for _, f := range flags {
		_ = c.RegisterFlagCompletionFunc(f, func(c *cobra.Command, _ []string, s string) ([]string, cobra.ShellCompDirective) {
			return complete(c, nil, s)
		})
	}
}

// Channels names the channels.
func Channels(ctx context.Context, p *operator.Operator) ([]string, error) { return p.Channels(ctx) }

// Releases names the signed releases, the newest of an application last.
func Releases(ctx context.Context, p *operator.Operator) ([]string, error) {
	refs, err := refs(ctx, p)
	var list []string
	for _, ref := range refs {
		list = append(list, ref.String())
	}
	return list, err
}

// Apps names the applications that are released.
func Apps(ctx context.Context, p *operator.Operator) ([]string, error) {
	refs, err := refs(ctx, p)
	var list []string
	for _, ref := range refs {
		list = append(list, ref.App)
	}
	return slices.Compact(list), err
}

func refs(ctx context.Context, p *operator.Operator) ([]release.Ref, error) {
	h, err := p.Holdings(ctx)
	if err != nil {
		return nil, err
	}
	list, err := h.Refs(ctx)
	return slices.DeleteFunc(list, func(ref release.Ref) bool { return ref.App == release.AgentApp }), err
}
