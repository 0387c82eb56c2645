package channel_test

import (
	"strings"
	"testing"

	"overland/internal/cli/channel"
	"overland/internal/cli/term"
	"overland/internal/cli/verb/verbtest"
	"overland/internal/errs"
)

// A promotion that does not say what and where to is refused before a site
// directory is opened, with what to say.
func TestPromoteWhat(t *testing.T) {
	for want, args := range map[string][]string{
		"--to CHANNEL":   {"wallet@r1.a"},
		"--from CHANNEL": {"--to", "live"},
		"leave out one":  {"wallet@r1.a", "--from", "staging", "--to", "live"},
	} {
		err := verbtest.Run(t, channel.Verbs(&term.Term{}), append([]string{"promote"}, args...)...)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), want) {
			t.Errorf("%q: %v, hint %q, want %q", args, err, errs.HintOf(err), want)
		}
	}
}
