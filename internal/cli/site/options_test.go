package site

import (
	"testing"

	"overland/internal/cli/term"
	"overland/internal/cli/verb/verbtest"
	"overland/internal/errs"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, initVerb, verbtest.Case[initOptions]{Args: []string{"dir"}, Want: initOptions{"dir"}})
	verbtest.Options(t, runVerb,
		verbtest.Case[runOptions]{Args: []string{"dir"}, Want: runOptions{dir: "dir", listen: ":8443", writes: "certificate"}},
		verbtest.Case[runOptions]{
			Args: []string{
				"dir", "--listen", ":1", "--cache-listen", ":2", "--cache-size", "50GiB", "--cache-writes", "open", "--cache-offline",
				"--cache-upstream", "go=http://a,b", "--upstream", "https://a", "--upstream", "https://b", "--root", "x",
			},
			Want: runOptions{
				dir: "dir", listen: ":1", cache: ":2", size: "50GiB", writes: "open", offline: true,
				origins: []string{"go=http://a,b"}, upstreams: []string{"https://a", "https://b"}, root: "x",
			},
		},
	)
}

// Flags that do not go together are refused before a site directory is made.
func TestRefusedFlags(t *testing.T) {
	for name, o := range map[string]runOptions{
		"size":              {cache: ":1", writes: "open", size: "much"},
		"writes":            {cache: ":1", writes: "all"},
		"upstream":          {cache: ":1", writes: "open", origins: []string{"go"}},
		"root alone":        {writes: "certificate", root: "x"},
		"no cache":          {writes: "certificate", size: "1GiB"},
		"no cache, offline": {writes: "certificate", offline: true},
	} {
		o.dir = t.TempDir() + "/site"
		if err := runSite(t.Context(), &term.Term{}, o); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
