// Package site is the verbs that make and run a site: site init, site run and site certificate.
//
// Failure guarded: flags that describe a cache which nobody is served.
package site

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verb site, ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{verb.Group("site", "Run the server that nodes follow and that caches for other machines",
		"A site is the operator's server: it serves releases and signed metadata to nodes over HTTPS, and with --cache-listen\n"+
			"it is the cache through which other machines fetch packages. Its state is one site directory.",
		initVerb(t, runInit), runVerb(t, runSite), certificateVerb(t, runCertificate))}
}
