package image_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/builder/image"
	"overland/internal/errs"
)

const withArgs = `      base: root
      args: {NETWORK: main, PORT: 6420}
      files: {"/etc/{{.Args.NETWORK}}.conf": "./deploy/{{.Args.NETWORK}}.conf"}
      entrypoint: [/bin/wallet, "--port={{.Args.PORT}}"]
      command: ["{{.Args.NETWORK}}"]
      env: {VERSION: "{{.Version}}", BRACES: '{{"{{"}}'}
      labels: {network: "{{.Args.NETWORK}}", at: "{{.Time}}"}
      workdir: "/srv/{{.Args.NETWORK}}"
`

func TestArgumentsOfABuild(t *testing.T) {
	b := newBench(t, map[string]string{"deploy/main.conf": "main", "deploy/test.conf": "test"})
	c, _, all := b.must(withArgs)
	got := fmt.Sprintln(c.Config.Entrypoint, c.Config.Cmd, c.Config.Env[:2], c.Config.Labels["network"], c.Config.Labels["at"], c.Config.WorkingDir, strings.Fields(all[1]))
	if want := "[/bin/wallet --port=6420] [main] [BRACES={{ VERSION=r1."; !strings.HasPrefix(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
	if want := "] main 2026-03-01T12:00:00Z /srv/main [etc/ 755 0:0 etc/main.conf 644 0:0 main]"; !strings.HasSuffix(got, want+"\n") {
		t.Errorf("%s\nwant %s", got, want)
	}
	b.args = image.Given{Args: map[string]string{"NETWORK": "test"}}
	if c, _, all := b.must(withArgs); c.Config.WorkingDir != "/srv/test" || !strings.Contains(all[1], "etc/test.conf 644 0:0 test") {
		t.Errorf("%+v %q", c.Config, all)
	}
	for value, want := range map[string]string{"../../etc/passwd": "leaves the repository", "none": "it is not in the commit", "a/../../../b": "leaves the repository"} {
		b.args.Args["NETWORK"] = value
		if _, err := b.build(withArgs, "linux/amd64"); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", value, err, want)
		}
	}
	for text, want := range map[string]string{
		"      base: root\n      env: {A: \"{{.Args.B}}\"}\n":                       "unknown variable {{.Args.B}}",
		"      base: root\n      labels: {a: \"{{.Nothing}}\"}\n":                   "unknown variable",
		"      base: root\n      args: {a-b: c}\n":                                  "a name like NETWORK",
		"      base: root\n      other-programs: allowed\n":                         "name the entrypoint",
		"      base: root\n      other-programs: \"yes\"\n":                         "one of: allowed",
		"      base: root\n      env: {A: \"{{.Tag}}\"}\n":                          "unknown variable",
		"      files: {\"/{{.Version}}\": wallet, /a: ./none}\n":                    "it is not in the commit",
		"      args: {A: a}\n      files: {\"/{{.Args.A}}\": wallet, /a: wallet}\n": "twice",
	} {
		b.args = image.Given{}
		if _, err := b.build(text, "linux/amd64"); err == nil || !strings.Contains(err.Error()+errs.HintOf(err), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestWhatIsGivenBesideTheFile(t *testing.T) {
	app := map[string]appfile.Artifact{
		"root": {Builder: "given", Settings: ""}, "other": {Builder: "given", Settings: ""},
		"web": {Builder: image.Key, Settings: &image.Image{Base: "root", Args: map[string]string{"A": "1"}}},
		"api": {Builder: image.Key, Settings: &image.Image{Args: map[string]string{"B": "2"}}},
	}
	for _, test := range []struct {
		given image.Given
		want  string // images with base and args, or the error
	}{
		{image.Given{}, "api  map[B:2], web root map[A:1]"},
		{image.Given{Base: []string{"other"}}, "api other map[B:2], web other map[A:1]"},
		{image.Given{Base: []string{"scratch"}, Args: map[string]string{"A": "3"}}, "api  map[B:2], web  map[A:3]"},
		{image.Given{Base: []string{"root", "scratch"}}, "api-root root map[B:2], api-scratch  map[B:2], web-root root map[A:1], web-scratch  map[A:1]"},
		{image.Given{Base: []string{"none"}}, `base "none": there is no such artifact`},
		{image.Given{Base: []string{"web"}}, `base "web": there is no such artifact`},
		{image.Given{Base: []string{"root", "root"}}, "there is an artifact"},
		{image.Given{Args: map[string]string{"C": "3"}}, `no image has an argument "C"`},
	} {
		got, err := test.given.Apply(app)
		var list []string
		for _, name := range slices.Sorted(maps.Keys(got)) {
			if i, ok := got[name].Settings.(*image.Image); ok {
				list = append(list, fmt.Sprintf("%s %s %v", name, i.Base, i.Args))
			}
		}
		if text := strings.Join(list, ", "); text != test.want && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %s, %v\nwant %s", test.given, text, err, test.want)
		}
	}
	if _, err := (image.Given{Base: []string{"root"}}).Apply(map[string]appfile.Artifact{"root": app["root"]}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("no image: %v", err)
	}
}

// A container runs its entrypoint with what it is told, or another program of the image where that is allowed.
func TestOtherPrograms(t *testing.T) {
	b := newBench(t, map[string]string{"sh": "x"})
	const text = "      entrypoint: [/wallet, \"it's\", $x]\n      other-programs: allowed\n"
	if _, err := b.build("      base: root\n"+text, "linux/amd64"); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "no /bin/sh") {
		t.Errorf("no shell: %v", err)
	}
	c, layers, _ := b.must("      base: root\n      files: {/bin/sh: ./sh}\n" + text)
	if len(c.Config.Entrypoint) != 1 || c.Config.Entrypoint[0] != "/usr/lib/overland/entrypoint" {
		t.Errorf("%v", c.Config.Entrypoint)
	}
	dir := t.TempDir()
	wallet, tool, script := filepath.Join(dir, "wallet"), filepath.Join(dir, "bin", "tool"), filepath.Join(dir, "entrypoint")
	run := strings.Replace(b.text(layers[2].Digest, "usr/lib/overland/entrypoint"), "'/wallet'", wallet, 1)
	for path, text := range map[string]string{
		script: run, wallet: "#!/bin/sh\necho wallet $# \"$@\"\n", tool: "#!/bin/sh\necho tool $# \"$@\"\n", filepath.Join(dir, "bin", "plain"): "text",
	} {
		mode := os.FileMode(0o755)
		if filepath.Base(path) == "plain" {
			mode = 0o644
		}
		if err := os.MkdirAll(filepath.Join(dir, "bin", "folder"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]string{
		"":                "wallet 2 it's $x",
		"version":         "wallet 3 it's $x version",
		"--port 1":        "wallet 4 it's $x --port 1",
		"tool --a b":      "tool 2 --a b",
		tool + " x":       "tool 1 x",
		"folder":          "wallet 3 it's $x folder",
		"plain":           "wallet 3 it's $x plain",
		"./none":          "wallet 3 it's $x ./none",
		"*":               "wallet 3 it's $x *",
		"test -f /":       "wallet 5 it's $x test -f /", // a word of the shell alone is no program
		"sh -c true;true": "",
	} {
		for _, shell := range []string{"dash", "busybox sh"} {
			words := append(append(strings.Fields(shell), script), strings.Fields(strings.ReplaceAll(args, "true;true", "exit"))...)
			cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
			path := filepath.Join(dir, "bin") + ":/nowhere:" + filepath.Join(dir, "bin", "folder")
			if strings.HasPrefix(args, "sh ") {
				path += ":/bin"
			}
			cmd.Env = []string{"PATH=" + path}
			out, err := cmd.CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != want {
				t.Errorf("%s, told %q: %s, %v, want %s", shell, args, out, err, want)
			}
		}
	}
}
