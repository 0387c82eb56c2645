package crash_test

import (
	"errors"
	"slices"
	"testing"

	"overland/internal/fsx"
	"overland/internal/testkit/crash"
)

// A share of the points is every third of them, and the end; the three shares are all of them.
func TestAShareOfThePoints(t *testing.T) {
	const ops = 7
	stopped := func(share string) (at []int) {
		t.Setenv("OVERLAND_CRASH_POINTS", share)
		n := 0
		crash.Stop(t, crash.Scenario{
			Prepare: func(testing.TB, string) { n = 0 },
			Run: func(_ string, f fsx.FS) (err error) {
				for range ops {
					if err = errors.Join(err, f.Before(fsx.Op{Name: "one"})); err == nil {
						n++
					}
				}
				return err
			},
			Check: func(_ testing.TB, _ string, completed bool) {
				if completed != (n == ops) {
					t.Errorf("%s: %d operations done, completed %t", share, n, completed)
				}
				at = append(at, n)
			},
		})
		return at
	}
	for share, want := range map[string][]int{
		"": {0, 1, 2, 3, 4, 5, 6, 7}, "0/3": {0, 3, 6, 7}, "1/3": {1, 4, 7}, "2/3": {2, 5, 7},
	} {
		if got := stopped(share); !slices.Equal(got, want) {
			t.Errorf("share %q: stopped after %d operations, want %d", share, got, want)
		}
	}
}
