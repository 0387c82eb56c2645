// Package registry is the verbs for a site's registry of images: registry serve, list, accounts, add-account and
// remove-account.
//
// Failure guarded: a token that is told twice, or stands in a shell's history; an account that may more than was said.
package registry

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verb registry, ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{verb.Group("registry", "Look into a site's registry of images and say who may push",
		"A running site is a registry of images for docker, podman, skopeo and their like, at its HTTPS address: everybody\n"+
			"may pull, and accounts may push what they were given. These verbs work on the site directory (--home); serve needs\n"+
			"none.",
		serve(t, runServe), list(t, runList), accounts(t, runAccounts), addAccount(t, runAddAccount), removeAccount(t, runRemoveAccount))}
}
