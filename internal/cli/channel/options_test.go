package channel

import (
	"strings"
	"testing"

	"overland/internal/cli/term"
	"overland/internal/cli/verb/verbtest"
	"overland/internal/errs"
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

// A promotion that does not say what and where to is refused before a site
// directory is opened, with what to say.
func TestPromoteWhat(t *testing.T) {
	for want, o := range map[string]promoteOptions{
		"--to CHANNEL":   {what: "wallet@r1.a"},
		"--from CHANNEL": {to: "live"},
		"leave out one":  {what: "wallet@r1.a", from: "staging", to: "live"},
	} {
		err := runPromote(t.Context(), &term.Term{}, o)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), want) {
			t.Errorf("%+v: %v, hint %q, want %q", o, err, errs.HintOf(err), want)
		}
	}
}
