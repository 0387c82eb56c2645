// Package release is the verbs that lead from a repository to a signed
// release: init, build, release.
//
// Failure guarded: a verb that prints a result which it did not reach.
package release

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
)

// Verbs returns the verbs, each ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{initVerb(t, runInit), build(t, runBuild), release(t, runRelease), bill(t, runSBOM), origin(t, runProvenance), depot(t)}
}
