// Package image is the verbs for container images of releases: image save and image push.
//
// Failure guarded: an image that is called saved or pushed, and is half there.
package image

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verbs, each ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{
		verb.Group("image", "Save and push container images of releases",
			"Images are artifacts: overland build makes them, overland release signs them. These verbs give them to other tools.",
			save(t, runSave), push(t, runPush)),
	}
}
