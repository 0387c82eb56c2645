package volume

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
	"overland/internal/operator"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, seal,
		verbtest.Case[sealOptions]{
			Args: []string{"app", "--rev", "v1", "-o", "app.volume"},
			Want: sealOptions{source: operator.SourceOptions{Dir: "app", Rev: "v1"}, out: "app.volume", jobs: 1},
		},
		verbtest.Case[sealOptions]{
			Args: []string{"--channel", "live", "-o", "x", "--platform", "linux/arm64", "--app", "a,b", "--split", "650MiB", "--with-inputs", "--bare", "--agents", "dir", "-j", "2", "--json"},
			Want: sealOptions{
				jobs: 2, channel: "live", out: "x", platforms: []string{"linux/arm64"}, apps: []string{"a", "b"}, split: "650MiB", inputs: true,
				bare: true, agents: "dir", json: true,
			},
		},
	)
	verbtest.Options(t, open,
		verbtest.Case[openOptions]{Args: []string{"f", "--json"}, Want: openOptions{file: "f", command: []string{}, json: true}},
		verbtest.Case[openOptions]{
			Args: []string{"f", "--root", "x", "--app", "a", "--", "go", "test", "--json"},
			Want: openOptions{file: "f", root: "x", app: "a", command: []string{"go", "test", "--json"}},
		},
	)
	verbtest.Options(t, rebuild,
		verbtest.Case[rebuildOptions]{Args: []string{"a@r1.b"}, Want: rebuildOptions{what: "a@r1.b"}},
		verbtest.Case[rebuildOptions]{
			Args: []string{"f", "--root", "x", "--app", "a", "--isolation", "none", "--verify", "--json"},
			Want: rebuildOptions{what: "f", root: "x", app: "a", verify: true, isolation: "none", json: true},
		},
	)
	verbtest.Options(t, diff,
		verbtest.Case[diffOptions]{Args: []string{"a@r1.b", "f"}, Want: diffOptions{a: "a@r1.b", b: "f", files: true}},
		verbtest.Case[diffOptions]{
			Args: []string{"a", "b", "--root", "r", "--app", "x", "--files=false", "--json"}, Want: diffOptions{a: "a", b: "b", root: "r", app: "x", json: true},
		},
	)
	verbtest.Options(t, inspect,
		verbtest.Case[inspectOptions]{Args: []string{"f"}, Want: inspectOptions{what: "f", modules: true}},
		verbtest.Case[inspectOptions]{Args: []string{"f", "--modules=false", "--json"}, Want: inspectOptions{what: "f", json: true}},
	)
	verbtest.Options(t, verify, verbtest.Case[verifyOptions]{Args: []string{"f", "--root", "x"}, Want: verifyOptions{file: "f", root: "x"}})
	verbtest.Options(t, list, verbtest.Case[listOptions]{Args: []string{"f", "--json"}, Want: listOptions{file: "f", json: true}})
	verbtest.Options(t, extract, verbtest.Case[extractOptions]{Args: []string{"f", "--dir", "d"}, Want: extractOptions{file: "f", dir: "d"}})
}
