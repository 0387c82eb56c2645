package cache_test

import (
	"testing"

	"overland/internal/cli/cache"
	"overland/internal/cli/term"
	"overland/internal/cli/verb/verbtest"
	"overland/internal/errs"
)

func TestOfflineIsOnOrOff(t *testing.T) {
	err := verbtest.Run(t, cache.Verbs(&term.Term{}), "cache", "offline", "maybe")
	if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) != "on or off" {
		t.Errorf("offline maybe: %v", err)
	}
}
