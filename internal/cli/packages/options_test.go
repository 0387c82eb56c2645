package packages

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, publish,
		verbtest.Case[publishOptions]{Args: []string{"live"}, Want: publishOptions{channel: "live", key: "packages"}},
		verbtest.Case[publishOptions]{
			Args: []string{"live", "--key", "k", "-o", "d", "--json"}, Want: publishOptions{channel: "live", key: "k", out: "d", json: true},
		},
	)
}
