package site

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
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
