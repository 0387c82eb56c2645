package cache

import (
	"testing"
	"time"

	"overland/internal/cli/verb/verbtest"
	"overland/internal/errs"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, env,
		verbtest.Case[envOptions]{Args: []string{"http://10.0.0.1:3142", "--freeze", "tuesday"}, Want: envOptions{url: "http://10.0.0.1:3142", freeze: "tuesday"}})
	verbtest.Options(t, freeze,
		verbtest.Case[freezeOptions]{Args: []string{"tuesday", "--at", "2026-01-06"}, Want: freezeOptions{name: "tuesday", at: "2026-01-06"}})
	verbtest.Options(t, thaw, verbtest.Case[freezeOptions]{Args: []string{"tuesday"}, Want: freezeOptions{name: "tuesday"}})
	verbtest.Options(t, freezes, verbtest.Case[freezesOptions]{Args: []string{"--json"}, Want: freezesOptions{json: true}})
	verbtest.Options(t, offline,
		verbtest.Case[offlineOptions]{Args: []string{"--json"}, Want: offlineOptions{json: true}},
		verbtest.Case[offlineOptions]{Args: []string{"on"}, Want: offlineOptions{set: "on"}},
	)
}

func TestMoments(t *testing.T) {
	for s, want := range map[string]time.Time{
		"":                          {},
		"2026-01-06T12:00:00Z":      time.Date(2026, 1, 6, 12, 0, 0, 0, time.UTC),
		"2026-01-06T12:00:00+02:00": time.Date(2026, 1, 6, 10, 0, 0, 0, time.UTC),
		"2026-01-06":                time.Date(2026, 1, 6, 23, 59, 59, 999e6, time.UTC), // the end of the day
	} {
		if got, err := parseMoment(s); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v, want %s", s, got, err, want)
		}
	}
	if _, err := parseMoment("tuesday"); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("tuesday: %v", err)
	}
}
