package site_test

import (
	"testing"

	"overland/internal/cli/site"
	"overland/internal/cli/term"
	"overland/internal/cli/verb/verbtest"
	"overland/internal/errs"
)

// Flags that do not go together are refused before a site directory is made.
func TestRefusedFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"size":              {"--cache-listen", ":1", "--cache-writes", "open", "--cache-size", "much"},
		"writes":            {"--cache-listen", ":1", "--cache-writes", "all"},
		"upstream":          {"--cache-listen", ":1", "--cache-writes", "open", "--cache-upstream", "go"},
		"root alone":        {"--root", "x"},
		"no cache":          {"--cache-size", "1GiB"},
		"no cache, offline": {"--cache-offline"},
	} {
		args = append([]string{"site", "run", t.TempDir() + "/site"}, args...)
		if err := verbtest.Run(t, site.Verbs(&term.Term{}), args...); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
