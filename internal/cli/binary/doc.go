// Package binary is the verbs that share built software with machines of the same kind: binary
// upload, install, list and host.
//
// Failure guarded: software that is installed where it does not run.
package binary

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verb binary, ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{verb.Group("binary", "Share built software with machines of the same kind",
		"Machines of one kind have the same system and release, libc and CPU level; what one has built the others install.",
		upload(t, runUpload), install(t, runInstall), list(t, runList), hostVerb(t, runHost))}
}
