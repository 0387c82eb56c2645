// Package volume is the verbs around the one file that is carried: seal, open, rebuild, inspect, and
// volume verify, list and extract.
//
// Failure guarded: a volume that is called whole, or a rebuild that
// is called identical, and is not.
package volume

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verbs, each ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{
		seal(t, runSeal), open(t, runOpen), rebuild(t, runRebuild), inspect(t, runInspect), diff(t, runDiff),
		verb.Group("volume", "Verify, list and unpack volumes", "A volume is one file that holds everything an installation, or a full rebuild, needs.",
			verify(t, runVerify), list(t, runList), extract(t, runExtract)),
	}
}
