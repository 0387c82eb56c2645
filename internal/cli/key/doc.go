// Package key is the verbs for signing keys: key new, list, passphrase and rotate.
//
// Failure guarded: a key with an empty passphrase that its owner takes for a locked one.
package key

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verb key, ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{verb.Group("key", "Make, list and rotate signing keys",
		"Signing keys are files in the folder keys of the site directory; a private key never leaves your machines.",
		newVerb(t, runNew), list(t, runList), relock(t, runRelock), rotate(t, runRotate))}
}
