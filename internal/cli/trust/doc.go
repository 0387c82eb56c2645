// Package trust is the verbs that say which keys may sign what: trust init, show, add-signer,
// remove-signer, sign, payload, add-signature, unstage, refresh and doctor.
//
// Failure guarded: a signature that is given to a role which nobody ever asks.
package trust

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verb trust, ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{verb.Group("trust", "Say which keys may sign what",
		"Nodes trust a release when signatures lead to it from the root of trust, whose fingerprint they know.",
		initVerb(t, runInit), show(t, runShow), addSigner(t, runAddSigner), removeSigner(t, runRemoveSigner),
		sign(t, runSign), payload(t, runPayload), addSignature(t, runAddSignature), unstage(t, runUnstage), refresh(t, runRefresh), doctorVerb(t, runDoctor))}
}
