// Package netcache is the verbs for a SlapOS network cache: netcache upload, download, list,
// generate-signature-key and audit.
//
// Failure guarded: content of a branch that is uploaded under a name
// which everybody takes for good.
package netcache

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verb netcache, ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{verb.Group("netcache", "Use a SlapOS network cache",
		"A network cache holds files by what they are, and signed entries that say under which key or URL each belongs.",
		upload(t, runUpload), download(t, runDownload), list(t, runList), generateKey(t, runGenerateKey), audit(t, runAudit))}
}
