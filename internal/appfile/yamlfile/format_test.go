package yamlfile_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/appfile/yamlfile"
	"overland/internal/appfile/yamlfile/yamltest"
)

// kettle is what a builder of its own folder brings.
type kettle struct{ Water string }

var format = yamlfile.Format{
	Builders: []yamlfile.Builder{
		yamlfile.NewBuilder("kettle", "Builder key: tea.", []yamlfile.Key[kettle]{
			yamlfile.Text("water", "Where the water comes from.", regexp.MustCompile(`^[a-z]+$`), "a to z", func(k *kettle) *string { return &k.Water }).Must(),
		}),
	},
	Runtimes: []yamlfile.Runtime{
		{Name: "cup"},
		{Name: "pot", Keys: []yamlfile.Key[appfile.Service]{
			yamlfile.Text("lid", "Who runs with the lid on.", regexp.MustCompile(`^[a-z]+$`), "a to z", func(s *appfile.Service) *string { return &s.User }),
		}},
	},
	LaterBuilders: []string{"samovar"},
	LaterRuntimes: []string{"bowl"},
}

const tea = "overland: 1\nname: tea\nartifacts:\n  tea: {kettle: {water: well}}\nservices:\n  s:\n    artifact: tea\n"

func TestKeysThatBuildersAndRuntimesBring(t *testing.T) {
	yamltest.Run(t, format, map[string]string{
		"default runtime": tea,
		"runtime's key":   tea + "    runtime: pot\n    lid: root\n",
	}, map[string]yamltest.Refusal{
		"key missing":           {strings.Replace(tea, "{water: well}", "{}", 1), "f.yaml:4:17: kettle has no key water", "water: Where", true},
		"key misspelt":          {strings.Replace(tea, "water", "watre", 1), `f.yaml:4:18: unknown key "watre" · did you mean water?`, "water: Where", true},
		"later builder":         {strings.Replace(tea, "kettle:", "samovar:", 1), "f.yaml:4:18: the builder samovar is not there yet", "that are there: kettle", true},
		"another runtime's key": {tea + "    lid: root\n", "f.yaml:8:10: lid belongs to the runtime pot, not to cup", "runtime: pot", false},
		"later runtime":         {tea + "    runtime: bowl\n", "f.yaml:8:14: the runtime bowl is not there yet", "cup, pot", true},
		"unknown runtime":       {tea + "    runtime: pto\n", `unknown runtime "pto" · did you mean pot?`, "one of: cup, pot", true},
	})
	app, err := format.Parse([]byte(tea+"    runtime: pot\n    lid: root\n"), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a, s := app.Artifacts["tea"], app.Services["s"]
	if k, ok := a.Settings.(*kettle); !ok || a.Builder != "kettle" || k.Water != "well" || s.Runtime != "pot" || s.User != "root" {
		t.Errorf("%+v, %+v", a, s)
	}
}

func TestRightsOfAService(t *testing.T) {
	const asks = tea + "    capabilities: [net_bind_service]\n    limits: {memory: 512MiB, processes: 100, files: 4096, cpu: 1.5}\n" +
		"    writable: [/srv/shared]\n    devices: [/dev/ttyUSB0]\n    isolation: required\n    seccomp: unconfined\n"
	yamltest.Run(t, format, map[string]string{
		"everything": asks,
		"nothing":    tea,
		"none":       tea + "    isolation: none\n",
		"an escape":  tea + "    isolation: none\n    capabilities: [sys_ptrace]\n",
		"one cpu":    tea + "    limits: {cpu: 1}\n",
	}, map[string]yamltest.Refusal{
		"capability misspelt": {tea + "    capabilities: [net_bind_servce]\n", `f.yaml:8:20: unknown capability "net_bind_servce" · did you mean net_bind_service?`, "one of: chown", true},
		"a capability that escapes": {
			tea + "    isolation: required\n    capabilities: [chown, sys_ptrace]\n", "f.yaml:9:19: capability sys_ptrace: nothing keeps a service with it apart",
			"isolation: none", false,
		},
		"memory in words":    {tea + "    limits: {memory: lots}\n", "f.yaml:8:22: memory \"lots\": not a size", "write it like 512MiB", true},
		"a cpu of none":      {tea + "    limits: {cpu: 0}\n", "f.yaml:8:19: cpu 0: not a number of processors", "write it like 1.5", true},
		"a way up":           {tea + "    writable: [/srv/../etc]\n", `f.yaml:8:16: path "/srv/../etc": an absolute path`, "an absolute path", true},
		"a device elsewhere": {tea + "    devices: [/tmp/disk]\n", `f.yaml:8:15: device "/tmp/disk": a path below /dev`, "a path below /dev", true},
		"isolation misspelt": {tea + "    isolation: non\n", `unknown isolation "non"`, "one of: required, none", true},
	})
	app, err := format.Parse([]byte(asks), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := appfile.Rights{
		Capabilities: []string{"net_bind_service"}, Limits: appfile.Limits{Memory: 512 << 20, Processes: 100, Files: 4096, CPU: 1.5},
		Writable: []string{"/srv/shared"}, Devices: []string{"/dev/ttyUSB0"}, Isolation: appfile.Required, Seccomp: appfile.Unconfined,
	}
	got := app.Services["s"].Rights
	if !reflect.DeepEqual(got, want) || got.Check() != nil {
		t.Errorf("got %+v, %v, want %+v", got, got.Check(), want)
	}
	const words = "isolation required; seccomp unconfined; capabilities net_bind_service; writable /srv/shared; devices /dev/ttyUSB0; " +
		"memory 512 MiB; processes 100; files 4096; cpu 1.5"
	if text := strings.Join(got.Words(), "; "); text != words {
		t.Errorf("words %q, want %q", text, words)
	}
	for _, bad := range []appfile.Rights{
		{Isolation: "some"}, {Seccomp: "off"}, {Capabilities: []string{"NET_ADMIN"}}, {Writable: []string{"srv"}}, {Limits: appfile.Limits{Memory: -1}},
	} {
		if bad.Check() == nil {
			t.Errorf("accepted: %+v", bad)
		}
	}
}
