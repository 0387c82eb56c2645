package channel

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, promote,
		verbtest.Case[promoteOptions]{
			Args: []string{"wallet@r1.a", "--to", "staging"}, Want: promoteOptions{what: "wallet@r1.a", to: "staging"},
		},
		verbtest.Case[promoteOptions]{
			Args: []string{"--from", "staging", "--to", "live", "--json"}, Want: promoteOptions{from: "staging", to: "live", json: true},
		},
	)
	verbtest.Options(t, rollback,
		verbtest.Case[rollbackOptions]{Args: []string{"live"}, Want: rollbackOptions{channel: "live"}},
		verbtest.Case[rollbackOptions]{Args: []string{"live", "wallet", "--json"}, Want: rollbackOptions{channel: "live", app: "wallet", json: true}},
	)
	verbtest.Options(t, show, verbtest.Case[showOptions]{Args: []string{"live", "--json"}, Want: showOptions{channel: "live", json: true}})
	verbtest.Options(t, list, verbtest.Case[listOptions]{Args: []string{"--json"}, Want: listOptions{json: true}})
}
