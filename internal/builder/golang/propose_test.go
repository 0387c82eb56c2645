package golang

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"overland/internal/appfile"
	"overland/internal/appfile/yamlfile"
	"overland/internal/errs"
)

const (
	cmdMain = "package main\n\nfunc main() { println(1) }\n"
	server  = "package main\n\nimport \"net/http\"\n\nfunc main() { http.ListenAndServe(\":8080\", nil) }\n"
)

func TestPropose(t *testing.T) {
	for _, test := range []struct {
		name    string
		files   map[string]string
		app     string
		want    map[string][2]string // artifact → dir, package
		service string               // as runs prints it
	}{
		{
			"one at the top",
			map[string]string{"go.mod": "module example.org/Nats-Server/v2\n", "main.go": cmdMain},
			"nats-server",
			map[string][2]string{"nats-server": {"", "."}},
			"",
		},
		{"several below cmd", map[string]string{
			"go.mod":               "module example.org/wallet\n",
			"cmd/cli/main.go":      cmdMain,
			"cmd/node/main.go":     server,
			"cmd/skyctl/main.go":   cmdMain,
			"internal/gen/main.go": cmdMain,
			"examples/x/main.go":   cmdMain,
			"lib/lib.go":           "package lib\n",
			"cmd/win/main.go":      "//go:build windows\n\n" + cmdMain,
			"cmd/ignored/gen.go":   "//go:build ignore\n\n" + cmdMain,
			"cmd/tested/a_test.go": cmdMain,
			"cmd/broken/main.go":   "packag main\n",
			"vendor/x/main.go":     cmdMain,
			"testdata/x/main.go":   cmdMain,
			".hidden/x/main.go":    cmdMain,
		}, "wallet", map[string][2]string{"cli": {"", "./cmd/cli"}, "node": {"", "./cmd/node"}, "skyctl": {"", "./cmd/skyctl"}}, "node 127.0.0.1:8080"},
		{"sub-modules", map[string]string{
			"README.md":                  "x",
			"outside/main.go":            cmdMain,
			"backend/go.mod":             "module example.org/shop/backend\n",
			"backend/cmd/server/main.go": cmdMain,
			"tool/go.mod":                "module example.org/shop/tool\n",
			"tool/main.go":               cmdMain,
			"worker/go.mod":              "module example.org/shop/worker\n",
			"worker/cmd/server/main.go":  cmdMain,
		}, "shop", map[string][2]string{"server": {"backend", "./cmd/server"}, "worker-cmd-server": {"worker", "./cmd/server"}}, ""},
		{
			"helpers only",
			map[string]string{"go.mod": "module x\n", "tools/a/main.go": cmdMain},
			"x",
			map[string][2]string{"a": {"", "./tools/a"}},
			"",
		},
		{
			"a root that only holds generators, and a stub",
			map[string]string{
				"go.mod":            "module example.org/traefik/v3\n",
				"gen.go":            "//go:generate go run ./internal\n\npackage main\n\nfunc main() {}\n",
				"tools/tools.go":    "package main\n\nimport _ \"example.org/stringer\"\n",
				"cmd/traefik/m.go":  "package main\n\nimport \"example.org/traefik/v3/pkg\"\n\nfunc main() { pkg.Run() }\n",
				"pkg/run.go":        "package pkg\n\nimport \"net\"\n\nfunc Run() { net.Listen(\"tcp\", \"\") }\n",
				"pkg/run_test.go":   server,
				"Dockerfile":        "FROM scratch\nEXPOSE 9000\n",
				"README.md":         "Open http://localhost:9000/.\n",
				"_examples/main.go": server,
			},
			"traefik",
			map[string][2]string{"traefik": {"", "./cmd/traefik"}},
			"traefik 127.0.0.1:9000",
		},
		{
			"a tool that listens for a moment",
			map[string]string{
				"go.mod":         "module example.org/cli/cli/v2\n",
				"cmd/gh/main.go": "package main\n\nimport (\n\"example.org/cli/cli/v2/auth\"\n_ \"github.com/spf13/cobra\"\n)\n\nfunc main() { auth.Login() }\n",
				"auth/auth.go":   "package auth\n\nimport \"net\"\n\nfunc Login() { net.Listen(\"tcp\", \"127.0.0.1:0\") }\n",
				"README.md":      "Try it: curl localhost:8080\n",
			},
			"gh",
			map[string][2]string{"gh": {"", "./cmd/gh"}},
			"",
		},
		{
			"a sub-command serves, on a port that a flag names",
			map[string]string{
				"src/go.mod": "module miniflux.example/v2\n",
				"src/main.go": "package main\n\nimport \"github.com/spf13/cobra\"\n\nvar serve = &cobra.Command{Use: \"serve [flags]\"}\n\n" +
					"func main() {\n\tserve.Flags().Int(\"port\", 7070, \"port to listen on\")\n\thttp.HandleFunc(\"/healthz\", nil)\n\thttp.ListenAndServe(addr, nil)\n}\n",
			},
			"miniflux",
			map[string][2]string{"miniflux": {"src", "."}},
			"miniflux serve http://127.0.0.1:7070/healthz",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := fstest.MapFS{}
			for name, text := range test.files {
				dir[name] = &fstest.MapFile{Data: []byte(text)}
			}
			p, err := Propose(dir, Wishes{})
			if err != nil {
				t.Fatal(err)
			}
			app := p.App
			if len(p.Others) > 0 {
				t.Errorf("left out: %q", p.Others)
			}
			got := map[string][2]string{}
			for name, a := range app.Artifacts {
				p := a.Settings.(*Program)
				got[name] = [2]string{p.Dir, p.Package}
			}
			if diff := cmp.Diff(test.want, got); diff != "" || app.Name != test.app {
				t.Errorf("app %q (-want +got):\n%s", app.Name, diff)
			}
			if got := runs(app); got != test.service {
				t.Errorf("services %q, want %q", got, test.service)
			}
			calls := map[string]string{}
			for name := range test.want {
				if _, runs := app.Services[name]; !runs {
					calls[name] = name
				}
			}
			if !maps.Equal(app.Commands, calls) {
				t.Errorf("commands %v, want %v", app.Commands, calls)
			}
			format := yamlfile.Format{Builders: []yamlfile.Builder{Keys()}, Runtimes: []yamlfile.Runtime{{Name: "process"}}}
			if again, err := format.Parse(format.Marshal(app), "overland.yaml"); err != nil || !cmp.Equal(app, again) {
				t.Errorf("what init writes does not read back: %v\n%s", err, format.Marshal(app))
			}
		})
	}
	if _, err := Propose(fstest.MapFS{"main.go": {Data: []byte(cmdMain)}}, Wishes{}); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("without a module: %v", err)
	}
	if p, err := Propose(fstest.MapFS{"go.mod": {Data: []byte("module x\n")}, "a.go": {Data: []byte(cmdMain)}}, Wishes{Name: "My App"}); err != nil || p.App.Name != "my-app" {
		t.Errorf("given a name: %v, %v", p, err)
	}
}

// runs returns what app keeps running, and how it is tested: "NAME ARGS… CHECK".
func runs(app *appfile.App) string {
	var words []string
	for name, s := range app.Services {
		words = append(append(words, name), s.Args...)
		for _, c := range s.SelfTest {
			words = append(words, c.TCP+c.HTTP)
		}
	}
	return strings.Join(words, " ")
}

// Of many commands only the likeliest is proposed, until the others are asked for.
func TestProposeOfMany(t *testing.T) {
	dir := fstest.MapFS{"go.mod": {Data: []byte("module example.org/big\n")}}
	for _, name := range []string{"a", "b", "big", "c", "d", "e"} {
		dir["cmd/"+name+"/main.go"] = &fstest.MapFile{Data: []byte(cmdMain)}
	}
	for _, test := range []struct {
		wishes       Wishes
		want, others string
	}{
		{Wishes{}, "big", "a b c d e"},
		{Wishes{Commands: []string{"all"}}, "a b big c d e", ""},
		{Wishes{Commands: []string{"d", "a"}}, "a d", "b big c e"},
		{Wishes{Below: "cmd/c"}, "c", ""},
		{Wishes{Below: "docs"}, "big", "a b c d e"},
	} {
		p, err := Propose(dir, test.wishes)
		if err != nil {
			t.Fatal(err)
		}
		got, others := strings.Join(slices.Sorted(maps.Keys(p.App.Artifacts)), " "), strings.Join(p.Others, " ")
		if got != test.want || others != test.others || p.App.Name != "big" {
			t.Errorf("%+v: %s: %q, left out %q", test.wishes, p.App.Name, got, others)
		}
	}
	// nsqd is what nsq is about, though it is another one that names a package of the network, and people
	// call nsq_stat what no artifact may be called.
	dir = fstest.MapFS{"go.mod": {Data: []byte("module example.org/nsq\n")}}
	for name, text := range map[string]string{"nsq_to_http": server, "nsqd": cmdMain, "nsq_stat": cmdMain} {
		dir["apps/"+name+"/main.go"] = &fstest.MapFile{Data: []byte(text)}
	}
	p, err := Propose(dir, Wishes{})
	if err != nil || p.App.Services != nil || p.App.Commands["nsq_stat"] != "nsq-stat" || p.App.Commands["nsqd"] != "nsqd" {
		t.Errorf("programs of one name: %+v, %v", p, err)
	}
	dir["apps/nsqd/main.go"] = &fstest.MapFile{Data: []byte(server)}
	if p, err := Propose(dir, Wishes{}); err != nil || p.App.Services["nsqd"].Artifact != "nsqd" || len(p.App.Services) != 1 {
		t.Errorf("the server of several: %+v, %v", p, err)
	}
	if _, err := Propose(dir, Wishes{Commands: []string{"nothing"}}); errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "nsq-stat, nsq-to-http, nsqd") {
		t.Errorf("a command that is not there: %v", err)
	}
}
