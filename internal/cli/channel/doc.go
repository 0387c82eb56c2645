// Package channel is the verbs that move and show channels: promote,
// rollback, channel show, list and remove.
//
// Failure guarded: a channel that moves to a release which nobody named.
package channel

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verbs, each ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{
		promote(t, runPromote), rollback(t, runRollback),
		verb.Group("channel", "Show and change what channels run", "A channel is a signed statement of which releases a group of nodes runs.",
			show(t, runShow), list(t, runList), remove(t, runRemove)),
	}
}
