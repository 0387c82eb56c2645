package volume_test

import (
	"strings"
	"testing"

	"overland/internal/cli/term"
	"overland/internal/cli/verb/verbtest"
	"overland/internal/cli/volume"
	"overland/internal/errs"
)

// A channel is sealed as it is: flags that choose a source do not go with it.
func TestSealChannelOrSource(t *testing.T) {
	for _, args := range [][]string{{"app"}, {"--rev", "v1"}, {"--dirty"}} {
		err := verbtest.Run(t, volume.Verbs(&term.Term{}), append([]string{"seal", "--channel", "live", "-o", "x"}, args...)...)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "--channel") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
