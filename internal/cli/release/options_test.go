package release

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
	"overland/internal/operator"
)

func TestBuildOptions(t *testing.T) {
	verbtest.Options(t, build,
		verbtest.Case[buildOptions]{Want: buildOptions{jobs: 1}},
		verbtest.Case[buildOptions]{
			Args: []string{"app", "--rev", "v1", "--platform", "linux/amd64,linux/arm/v6", "--platform", "linux/arm64", "-o", "oci:dir", "--rebuild", "-j", "4", "--json"},
			Want: buildOptions{
				source:    operator.SourceOptions{Dir: "app", Rev: "v1"},
				platforms: []string{"linux/amd64", "linux/arm/v6", "linux/arm64"}, out: "oci:dir", rebuild: true, jobs: 4, json: true,
			},
		},
		verbtest.Case[buildOptions]{Args: []string{"--network-cache", "none"}, Want: buildOptions{jobs: 1, netcache: "none"}},
	)
}

func TestReleaseOptions(t *testing.T) {
	verbtest.Options(t, release,
		verbtest.Case[releaseOptions]{},
		verbtest.Case[releaseOptions]{
			Args: []string{"app", "--dirty", "--json"},
			Want: releaseOptions{source: operator.SourceOptions{Dir: "app", Dirty: true}, json: true},
		},
	)
}

func TestInitOptions(t *testing.T) {
	verbtest.Options(t, initVerb,
		verbtest.Case[initOptions]{Want: initOptions{dir: "."}},
		verbtest.Case[initOptions]{
			Args: []string{"app", "--name", "wallet", "--command", "a,b", "--command", "c"},
			Want: initOptions{dir: "app", name: "wallet", commands: []string{"a", "b", "c"}},
		},
	)
}

func TestListAndStatsOptions(t *testing.T) {
	verbtest.Options(t, list,
		verbtest.Case[listOptions]{},
		verbtest.Case[listOptions]{Args: []string{"wallet", "--json"}, Want: listOptions{app: "wallet", json: true}},
	)
	verbtest.Options(t, stats, verbtest.Case[statsOptions]{}, verbtest.Case[statsOptions]{Args: []string{"--json"}, Want: statsOptions{json: true}})
}
