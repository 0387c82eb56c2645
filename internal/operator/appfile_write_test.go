package operator_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"overland/internal/appfile"
	"overland/internal/builder/command"
	"overland/internal/builder/golang"
	"overland/internal/operator"
	"overland/internal/platform"
)

func TestMarshalReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		app := drawApp(t)
		b := operator.AppFile().Marshal(app)
		got, err := operator.AppFile().Parse(b, "overland.yaml")
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if diff := cmp.Diff(app, got); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, b)
		}
	})
}

var (
	names     = rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`)
	texts2    = rapid.OneOf(rapid.StringMatching(`[ -z|~]{0,12}`), rapid.SampledFrom([]string{"yes", "null", "~", "1.0", "0x1", "- a", "a: b", "#", "é\n\tü", "'\"\\", "{{.Release.App}}"}))
	durations = rapid.Custom(func(t *rapid.T) appfile.Duration {
		return appfile.Duration(rapid.IntRange(0, 100_000).Draw(t, "ms")) * appfile.Duration(time.Millisecond)
	})
)

func drawApp(t *rapid.T) *appfile.App {
	app := &appfile.App{Overland: 1, Name: names.Draw(t, "name")}
	app.Artifacts = rapid.MapOfN(names, rapid.Custom(func(t *rapid.T) appfile.Artifact {
		if rapid.Bool().Draw(t, "command") {
			run := append([]string{"sh"}, rapid.SliceOf(texts2).Draw(t, "run")...)
			return appfile.Artifact{Builder: command.Key, Settings: &command.Command{Run: run, Output: "out/" + names.Draw(t, "output")}}
		}
		g := &golang.Program{Package: "./" + names.Draw(t, "package")}
		if rapid.Bool().Draw(t, "mapping") {
			g.Dir, g.Toolchain, g.Tags = names.Draw(t, "dir"), "go1.26.8", []string{"t_1.x", "netgo"}
			g.Vars = map[string]string{"main." + rapid.StringMatching(`[a-zA-Z]{1,5}`).Draw(t, "var"): rapid.StringMatching(`[a-z '"]{0,8}`).Draw(t, "value")}
		}
		return appfile.Artifact{Builder: golang.Key, Settings: g, Platforms: rapid.SampledFrom([][]platform.Platform{nil, {"linux/amd64"}, platform.All()}).Draw(t, "platforms")}
	}), 1, 3).Draw(t, "artifacts")
	app.Services = rapid.MapOfN(names, rapid.Custom(func(t *rapid.T) appfile.Service {
		s := appfile.Service{
			Artifact: rapid.SampledFrom(slices.Sorted(maps.Keys(app.Artifacts))).Draw(t, "artifact"), Runtime: "process",
			Args:   rapid.SliceOfN(texts2, 1, 4).Draw(t, "args"),
			Env:    map[string]string{rapid.StringMatching(`[A-Z_]{1,5}`).Draw(t, "env"): texts2.Draw(t, "value")},
			Data:   map[string]string{names.Draw(t, "volume"): "/" + rapid.StringMatching(`[a-z "#:]{0,5}`).Draw(t, "path")},
			User:   rapid.SampledFrom([]string{"", "root", "1000", "1000:nobody"}).Draw(t, "user"),
			Stable: durations.Draw(t, "stable"), StopTimeout: durations.Draw(t, "stop"), Readiness: durations.Draw(t, "readiness"),
		}
		s.Restart.Policy = rapid.SampledFrom([]string{"", "always", "never"}).Draw(t, "policy")
		if rapid.Bool().Draw(t, "backoff") {
			low := durations.Draw(t, "min") + 1_000_000
			s.Restart.Backoff = appfile.Backoff{Min: low, Max: low + durations.Draw(t, "more")}
		}
		if rapid.Bool().Draw(t, "selftest") {
			s.SelfTest = []appfile.Check{
				{HTTP: "http://127.0.0.1:80/a?b=c#d", Status: 204, Contains: texts2.Draw(t, "contains"), Within: durations.Draw(t, "within")},
				{TCP: "[::1]:80"},
				{Exec: append([]string{"a"}, rapid.SliceOf(texts2).Draw(t, "exec")...)},
				{Log: "^[a-z]: \\d+"},
			}
		}
		return s
	}), 1, 3).Draw(t, "services")
	app.Commands = rapid.MapOfN(names.Filter(func(s string) bool { return appfile.CheckCommand(s) == nil }), rapid.SampledFrom(slices.Sorted(maps.Keys(app.Artifacts))), 0, 2).Draw(t, "commands")
	if len(app.Commands) == 0 {
		app.Commands = nil
	}
	if rapid.Bool().Draw(t, "pipelines") {
		app.Pipelines = drawPipelines(t, slices.Sorted(maps.Keys(app.Artifacts)))
	}
	port := 0
	for _, name := range slices.Sorted(maps.Keys(app.Services)) { // two services with one port are refused
		s := app.Services[name]
		for range rapid.IntRange(0, 2).Draw(t, "ports") {
			port++
			p := appfile.Port{Number: port, Protocol: rapid.SampledFrom([]appfile.Protocol{"", appfile.UDP}).Draw(t, "protocol")}
			p.Address = rapid.SampledFrom([]string{"", "127.0.0.1", "::1"}).Draw(t, "address")
			s.Ports = append(s.Ports, p)
		}
		app.Services[name] = s
	}
	return app
}

func drawPipelines(t *rapid.T, artifacts []string) map[string]appfile.Pipeline {
	p := appfile.Pipeline{Steps: map[string]appfile.Step{}}
	for i := range rapid.IntRange(1, 3).Draw(t, "steps") {
		s := appfile.Step{Run: append([]string{"sh"}, rapid.SliceOf(texts2).Draw(t, "args")...), Timeout: durations.Draw(t, "timeout"), Retry: rapid.IntRange(0, 5).Draw(t, "retry")}
		if i > 0 {
			s.Needs = []string{"step-0", rapid.SampledFrom(artifacts).Draw(t, "artifact")}
			s.Paths, s.Keep, s.Report = []string{"docs", "a b/#c"}, []string{"out"}, "yes/r.xml"
			s.Matrix, s.Secrets = map[string][]string{"l": {"1.10", "yes"}}, []string{"smtp"}
		}
		p.Steps[fmt.Sprintf("step-%d", i)] = s
	}
	if rapid.Bool().Draw(t, "on") {
		p.On = appfile.On{Branches: []string{"*"}, Tags: []string{"v*"}, Schedule: []appfile.Schedule{{Hour: 6, Zone: "Europe/Paris"}, {Days: [7]bool{true, false, true}, Minute: 59}}}
	}
	return map[string]appfile.Pipeline{names.Draw(t, "pipeline"): p}
}
