package trust

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
	"overland/internal/errs"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, initVerb,
		verbtest.Case[initOptions]{},
		verbtest.Case[initOptions]{
			Args: []string{"--root-key", "alice", "--root-key", "bob", "--threshold", "2"},
			Want: initOptions{rootKeys: []string{"alice", "bob"}, threshold: 2},
		},
	)
	verbtest.Options(t, show, verbtest.Case[showOptions]{Args: []string{"--json"}, Want: showOptions{json: true}})
	signer := verbtest.Case[signerOptions]{
		Args: []string{"channel/live", "bob", "--threshold", "2"}, Want: signerOptions{role: "channel/live", key: "bob", threshold: 2},
	}
	verbtest.Options(t, addSigner, signer)
	verbtest.Options(t, removeSigner, signer)
	role := verbtest.Case[roleOptions]{Args: []string{"channel/live"}, Want: roleOptions{"channel/live"}}
	verbtest.Options(t, sign, verbtest.Case[signOptions]{
		Args: []string{"channel/live", "--expect", "sha256:0", "--json"}, Want: signOptions{role: "channel/live", expect: "sha256:0", json: true},
	})
	verbtest.Options(t, payload, verbtest.Case[payloadOptions]{
		Args: []string{"channel/live", "-o", "live.json", "--expect", "sha256:0", "--json"},
		Want: payloadOptions{role: "channel/live", out: "live.json", expect: "sha256:0", json: true},
	})
	verbtest.Options(t, addSignature, verbtest.Case[signatureOptions]{
		Args: []string{"channel/live", "live.sig", "--key", "bob", "--expect", "sha256:0", "--json"},
		Want: signatureOptions{role: "channel/live", file: "live.sig", key: "bob", expect: "sha256:0", json: true},
	})
	verbtest.Options(t, unstage, role)
	verbtest.Options(t, refresh, verbtest.Case[struct{}]{})
}

func TestRoles(t *testing.T) {
	for role, ok := range map[string]bool{
		"root": true, "timestamp": true, "channel/live": true, "app/wallet": true, "live": false, "app/": false, "channel/": false, "node/x": false,
	} {
		if err := checkRole(role); (err == nil) != ok || (err != nil && errs.KindOf(err) != errs.Invalid) {
			t.Errorf("role %q: %v", role, err)
		}
	}
}
