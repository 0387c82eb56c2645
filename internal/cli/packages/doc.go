// Package packages is the verb for packages of distributions in releases: package publish.
//
// Failure guarded: an archive that is called written, and that package managers do not take.
package packages

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verbs, each ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{
		verb.Group("package", "Publish the packages of a channel for package managers",
			"Packages are artifacts: overland build makes them, overland release signs them. This gives them to package managers.",
			publish(t, runPublish)),
	}
}
