package release

import (
	"testing"
	"time"

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
		verbtest.Case[buildOptions]{
			Args: []string{"--arg", "A=b,c", "--arg", "D=e", "--base", "root,scratch", "--base", "other"},
			Want: buildOptions{args: []string{"A=b,c", "D=e"}, bases: []string{"root", "scratch", "other"}, jobs: 1},
		},
		verbtest.Case[buildOptions]{Args: []string{"--network-cache", "none"}, Want: buildOptions{jobs: 1, netcache: "none"}},
	)
}

func TestReleaseOptions(t *testing.T) {
	verbtest.Options(t, release,
		verbtest.Case[releaseOptions]{Want: releaseOptions{jobs: 1}},
		verbtest.Case[releaseOptions]{
			Args: []string{"app", "--dirty", "-j", "3", "--json"},
			Want: releaseOptions{source: operator.SourceOptions{Dir: "app", Dirty: true}, jobs: 3, json: true},
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
	verbtest.Options(t, gc,
		verbtest.Case[gcOptions]{Want: gcOptions{older: 24 * time.Hour}},
		verbtest.Case[gcOptions]{
			Args: []string{"--older", "1h", "--lock", "a", "--lock", "b", "--dry-run", "--json"},
			Want: gcOptions{older: time.Hour, locks: []string{"a", "b"}, dryRun: true, json: true},
		},
	)
	verbtest.Options(t, show, verbtest.Case[showOptions]{Args: []string{"a@r1.b", "--json"}, Want: showOptions{release: "a@r1.b", json: true}})
	verbtest.Options(t, bill,
		verbtest.Case[sbomOptions]{Args: []string{"a@r1.b"}, Want: sbomOptions{what: "a@r1.b", format: "cyclonedx"}},
		verbtest.Case[sbomOptions]{
			Args: []string{"a@r1.b", "--root", "r", "--app", "a", "--artifact", "x", "--platform", "linux/arm64", "--format", "spdx", "-o", "f"},
			Want: sbomOptions{what: "a@r1.b", root: "r", app: "a", artifact: "x", platforms: []string{"linux/arm64"}, format: "spdx", out: "f"},
		},
	)
	verbtest.Options(t, origin, verbtest.Case[provenanceOptions]{
		Args: []string{"a@r1.b", "--root", "r", "--app", "a", "-o", "d", "--json"},
		Want: provenanceOptions{what: "a@r1.b", root: "r", app: "a", out: "d", json: true},
	})
	verbtest.Options(t, remove,
		verbtest.Case[removeOptions]{
			Args: []string{"a@r1.b", "a@r2.c", "--dry-run", "--json"}, Want: removeOptions{releases: []string{"a@r1.b", "a@r2.c"}, dryRun: true, json: true},
		},
	)
	verbtest.Options(t, stats, verbtest.Case[statsOptions]{}, verbtest.Case[statsOptions]{Args: []string{"--json"}, Want: statsOptions{json: true}})
}
