package binary

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, upload, verbtest.Case[uploadOptions]{
		Args: []string{"dir", "-u", "u", "--mutable", "--prefix", "/a,/b", "--json"},
		Want: uploadOptions{treeOptions: treeOptions{config: "slapos.cfg", url: "u", json: true}, dir: "dir", mutable: true, prefixes: []string{"/a", "/b"}},
	})
	verbtest.Options(t, install, verbtest.Case[installOptions]{
		Args: []string{"dest", "-u", "u", "-c", "x.cfg", "--sha1", "--unbound"},
		Want: installOptions{treeOptions: treeOptions{config: "x.cfg", url: "u", sha1: true, unbound: true}, dest: "dest"},
	})
	verbtest.Options(t, list, verbtest.Case[treeOptions]{Args: []string{"-u", "u"}, Want: treeOptions{config: "slapos.cfg", url: "u"}})
	verbtest.Options(t, hostVerb, verbtest.Case[hostOptions]{Args: []string{"--json"}, Want: hostOptions{json: true}})
}
