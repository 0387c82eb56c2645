package switchover

import (
	"testing"
	"time"

	"overland/internal/agent/node"
	"overland/internal/appfile"
)

// The time for an attempt is that of its slowest service, behind all of its tasks, one after the other; what an older
// agent took is cut to what a release may ask for.
func TestLimit(t *testing.T) {
	d := func(t time.Duration) appfile.Duration { return appfile.Duration(t) }
	fast := appfile.Service{Readiness: d(time.Second), Stable: d(time.Second), StopTimeout: d(time.Second)}
	slow := appfile.Service{Readiness: d(time.Second), Stable: d(2 * time.Second), StopTimeout: d(3 * time.Second), SelfTest: []appfile.Check{
		{Within: d(time.Minute)}, {Within: d(time.Second)},
	}}
	task := appfile.Service{Kind: appfile.Task, Within: d(time.Hour), StopTimeout: d(5 * time.Second)}
	usual := appfile.Service{Kind: appfile.Task, StopTimeout: d(5 * time.Second)}
	const ages = 1 << 60
	greedy := appfile.Service{Readiness: d(ages), Stable: d(ages), StopTimeout: d(ages)}
	for what, c := range map[string]struct {
		services map[string]appfile.Service
		want     time.Duration
	}{
		"nothing":       {nil, startTime},
		"one":           {map[string]appfile.Service{"a": fast}, startTime + 4*time.Second},
		"the slowest":   {map[string]appfile.Service{"a": fast, "b": slow}, startTime + 68*time.Second},
		"tasks":         {map[string]appfile.Service{"a": fast, "b": task, "c": task}, startTime + 4*time.Second + 2*(time.Hour+10*time.Second)},
		"a usual task":  {map[string]appfile.Service{"a": usual}, startTime + appfile.DefaultTask + 10*time.Second},
		"a greedy one":  {map[string]appfile.Service{"a": greedy}, startTime + appfile.MaxWithin + appfile.MaxStable + 2*appfile.MaxStop},
		"a greedy task": {map[string]appfile.Service{"a": {Kind: appfile.Task, Within: ages, StopTimeout: ages}}, startTime + appfile.MaxWithin + 2*appfile.MaxStop},
	} {
		if got := limit(&node.Generation{Apps: []node.App{{Services: c.services}}}); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}
