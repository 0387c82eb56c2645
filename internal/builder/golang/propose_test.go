package golang

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"overland/internal/appfile/yamlfile"
	"overland/internal/errs"
)

func TestPropose(t *testing.T) {
	for _, test := range []struct {
		name    string
		files   map[string]string
		app     string
		want    map[string][2]string // artifact → dir, package
		service string
	}{
		{
			"one at the top",
			map[string]string{"go.mod": "module example.org/Nats-Server/v2\n", "main.go": "package main\n"},
			"nats-server",
			map[string][2]string{"nats-server": {"", "."}},
			"nats-server",
		},
		{"several below cmd", map[string]string{
			"go.mod":               "module example.org/wallet\n",
			"cmd/cli/main.go":      "package main\n",
			"cmd/node/main.go":     "package main\nimport \"net/http\"\nvar _ = http.Get\n",
			"cmd/skyctl/main.go":   "package main\n",
			"internal/gen/main.go": "package main\n",
			"examples/x/main.go":   "package main\n",
			"lib/lib.go":           "package lib\n",
			"cmd/win/main.go":      "//go:build windows\n\npackage main\n",
			"cmd/ignored/gen.go":   "//go:build ignore\n\npackage main\n",
			"cmd/tested/a_test.go": "package main\n",
			"cmd/broken/main.go":   "packag main\n",
			"vendor/x/main.go":     "package main\n",
			"testdata/x/main.go":   "package main\n",
			".hidden/x/main.go":    "package main\n",
		}, "wallet", map[string][2]string{"cli": {"", "./cmd/cli"}, "node": {"", "./cmd/node"}, "skyctl": {"", "./cmd/skyctl"}}, "node"},
		{"sub-modules", map[string]string{
			"README.md":                  "x",
			"outside/main.go":            "package main\n",
			"backend/go.mod":             "module example.org/shop/backend\n",
			"backend/cmd/server/main.go": "package main\n",
			"tool/go.mod":                "module example.org/shop/tool\n",
			"tool/main.go":               "package main\n",
			"worker/go.mod":              "module example.org/shop/worker\n",
			"worker/cmd/server/main.go":  "package main\n",
		}, "backend", map[string][2]string{"server": {"backend", "./cmd/server"}, "worker-cmd-server": {"worker", "./cmd/server"}}, "server"},
		{
			"helpers only",
			map[string]string{"go.mod": "module x\n", "tools/a/main.go": "package main\n"},
			"x",
			map[string][2]string{"a": {"", "./tools/a"}},
			"a",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := fstest.MapFS{}
			for name, text := range test.files {
				dir[name] = &fstest.MapFile{Data: []byte(text)}
			}
			app, err := Propose(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][2]string{}
			for name, a := range app.Artifacts {
				p := a.Settings.(*Program)
				got[name] = [2]string{p.Dir, p.Package}
			}
			if diff := cmp.Diff(test.want, got); diff != "" || app.Name != test.app {
				t.Errorf("app %q (-want +got):\n%s", app.Name, diff)
			}
			if s, ok := app.Services[test.service]; !ok || len(app.Services) != 1 || s.Artifact != test.service {
				t.Errorf("services %+v, want %s", app.Services, test.service)
			}
			format := yamlfile.Format{Builders: []yamlfile.Builder{Keys()}, Runtimes: []yamlfile.Runtime{{Name: "process"}}}
			if again, err := format.Parse(format.Marshal(app), "overland.yaml"); err != nil || !cmp.Equal(app, again) {
				t.Errorf("what init writes does not read back: %v\n%s", err, format.Marshal(app))
			}
		})
	}
	if _, err := Propose(fstest.MapFS{"main.go": {Data: []byte("package main\n")}}, ""); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("without a module: %v", err)
	}
	if app, err := Propose(fstest.MapFS{"go.mod": {Data: []byte("module x\n")}, "a.go": {Data: []byte("package main\n")}}, "My App"); err != nil || app.Name != "my-app" {
		t.Errorf("given a name: %v, %v", app, err)
	}
}
