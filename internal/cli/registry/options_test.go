package registry

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, addAccount, verbtest.Case[addOptions]{
		Args: []string{"ci", "--push", "a", "--push", "b", "--pull", "c", "--delete", "d", "--expires", "2027-06-30", "--certificate", "f", "--json"},
		Want: addOptions{
			name: "ci", push: []string{"a", "b"}, pull: []string{"c"}, remove: []string{"d"}, expires: "2027-06-30", certificate: "f", json: true,
		},
	})
	verbtest.Options(t, accounts, verbtest.Case[accountsOptions]{Args: []string{"--json"}, Want: accountsOptions{json: true}})
	verbtest.Options(t, removeAccount, verbtest.Case[removeOptions]{Args: []string{"ci"}, Want: removeOptions{"ci"}})
	verbtest.Options(t, serve, verbtest.Case[serveOptions]{Args: []string{"a.volume"}, Want: serveOptions{file: "a.volume", listen: "127.0.0.1:5000"}},
		verbtest.Case[serveOptions]{Args: []string{"a.volume", "--listen", ":1", "--root", "r"}, Want: serveOptions{"a.volume", ":1", "r"}})
	verbtest.Options(t, list, verbtest.Case[listOptions]{Args: []string{"--json"}, Want: listOptions{json: true}})
}
