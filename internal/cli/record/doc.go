// Package record is the verbs that run a command in a recorded world, and those that review and
// mend the lock of what it fetched: record, replay, lock verify, update, diff and prune.
//
// Package session decides whether a recording or a replay succeeded. Failure guarded: a lock that
// is replaced before a person saw what changes in it.
package record

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verbs, each ready to run; the last one is hidden.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{
		recordVerb(t, runRecord), replayVerb(t, runReplay),
		verb.Group("lock", "Review and mend the lock of a build's inputs",
			"overland.lock names every input of a build by its digest, with the proof that its ecosystem gives.",
			lockVerify(t, runLockVerify), lockUpdate(t, runLockUpdate), lockDiff(t, runLockDiff), lockPrune(t, runLockPrune)),
		inside(),
	}
}
