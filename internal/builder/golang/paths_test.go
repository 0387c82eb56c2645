package golang

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/errs"
)

// private is a module of the operator's, beside a repository.
func private(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	edit(t, dir, map[string]string{
		"priv/go.mod": "module example.com/priv\n\ngo 1.26.0\n", "priv/priv.go": "package priv\n\nfunc Word() string { return \"PRIVATE DATA of the operator\" }\n",
		"secret.txt": "PRIVATE DATA of the operator\n",
	})
	return dir
}

const (
	plainMod = "module example.org/app\n\ngo 1.26.0\n\ntoolchain go1.26.8\n"
	needing  = "package main\n\nimport \"example.com/priv\"\n\nfunc main() { println(priv.Word()) }\n"
	embeds   = "package main\n\nimport _ \"embed\"\n\n//go:embed data/secret.txt\nvar text string\n\nfunc main() { println(text) }\n"
)

// Bytes come from the commit or from what go.sum holds. What leaves the checkout is refused by name,
// and nothing of what lies there gets into a program.
// assembled is a program with a function in assembly.
const assembled = "package main\n\nfunc f()\n\nfunc main() { f() }\n"

func TestS9BytesComeFromTheCommit(t *testing.T) {
	outside := private(t)
	const require = "\nrequire example.com/priv v0.0.0\n\nreplace example.com/priv => "
	for name, test := range map[string]struct {
		files map[string]string
		links map[string]string
		says  string
	}{
		"an absolute replace": {files: map[string]string{"go.mod": plainMod + require + "OUTSIDE/priv\n", "main.go": needing}, says: "go.mod: replace example.com/priv => OUTSIDE/priv leaves the repository"},
		"a relative replace":  {files: map[string]string{"go.mod": plainMod + require + "../../REL/priv\n", "main.go": needing}, says: "go.mod: replace example.com/priv => ../../REL/priv leaves the repository"},
		"an include of the assembler's": {
			files: map[string]string{"go.mod": plainMod, "main.go": assembled, "a.s": "#include \"textflag.h\"\n# /**/ include \"OUTSIDE/priv/x.h\"\n"},
			says:  "/a.s includes \"OUTSIDE/priv/x.h\"",
		},
		"an include in what is included, by a macro": {
			files: map[string]string{
				"go.mod": plainMod, "main.go": assembled, "a.s": "#include \"in/b.inc\"\n",
				"in/b.inc": "#define I # include\nI \"../../REL/priv/x.h\"\n",
			},
			says: "/b.inc includes \"../../REL/priv/x.h\"",
		},
		"a replace of one version": {
			files: map[string]string{"go.mod": plainMod + "\nrequire example.com/priv v0.0.0\n\nreplace example.com/priv v0.0.0 => ./a/../../x\n", "main.go": needing},
			says:  "./a/../../x leaves the repository",
		},
		"an absolute use": {
			files: map[string]string{"go.mod": plainMod, "main.go": needing, "go.work": "go 1.26.0\n\ntoolchain go1.26.8\n\nuse (\n\t.\n\tOUTSIDE/priv\n)\n"},
			says:  "go.work: use OUTSIDE/priv leaves the repository",
		},
		"a replace in go.work": {
			files: map[string]string{
				"go.mod": plainMod + "\nrequire example.com/priv v0.0.0\n", "main.go": needing,
				"go.work": "go 1.26.0\n\ntoolchain go1.26.8\n\nuse .\n\nreplace example.com/priv => OUTSIDE/priv\n",
			},
			says: "go.work: replace example.com/priv => OUTSIDE/priv leaves the repository",
		},
		"a replace in another module of go.work": {
			files: map[string]string{
				"go.mod": plainMod, "main.go": needing, "go.work": "go 1.26.0\n\ntoolchain go1.26.8\n\nuse (\n\t.\n\t./b\n)\n",
				"b/go.mod": "module example.org/b\n\ngo 1.26.0\n" + require + "OUTSIDE/priv\n",
			},
			says: "b/go.mod: replace example.com/priv => OUTSIDE/priv leaves the repository",
		},
		"a replace by a link": {
			files: map[string]string{"go.mod": plainMod + require + "./third/priv\n", "main.go": needing},
			links: map[string]string{"third": "OUTSIDE"}, says: "third is a symbolic link that leaves the repository",
		},
		"a replace by links that look local": {
			files: map[string]string{"go.mod": plainMod + require + "./third/priv\n", "main.go": needing},
			links: map[string]string{"here": ".", "up1": "here/..", "up2": "up1/..", "third": "up2/OUT"}, says: "third is a symbolic link that leaves the repository",
		},
		"a vendored path": {
			files: map[string]string{
				"go.mod": plainMod + "\nrequire example.com/priv v0.0.0\n", "main.go": needing,
				"vendor/modules.txt": "# example.com/priv v0.0.0\n## explicit; go 1.26.0\nexample.com/priv\n",
			},
			links: map[string]string{"vendor/example.com": "OUTSIDE"}, says: "vendor/example.com is a symbolic link that leaves the repository",
		},
		"a package": {
			files: map[string]string{"go.mod": plainMod, "main.go": strings.Replace(needing, "example.com/priv", "example.org/app/lib", 1)},
			links: map[string]string{"lib": "OUTSIDE/priv"}, says: "lib is a symbolic link that leaves the repository",
		},
		"a file": {
			files: map[string]string{"go.mod": plainMod, "main.go": "package main\n\nfunc main() { println(word) }\n"},
			links: map[string]string{"word.go": "OUTSIDE/word.go"}, says: "word.go is a symbolic link that leaves the repository",
		},
		"go:embed by a link": {
			files: map[string]string{"go.mod": plainMod, "main.go": strings.Replace(embeds, "data/secret.txt", "secret.txt", 1)},
			links: map[string]string{"secret.txt": "OUTSIDE/secret.txt"}, says: "secret.txt is a symbolic link that leaves the repository",
		},
		"go:embed by a folder": {
			files: map[string]string{"go.mod": plainMod, "main.go": embeds},
			links: map[string]string{"data": "OUTSIDE"}, says: "data is a symbolic link that leaves the repository",
		},
	} {
		t.Run(name, func(t *testing.T) {
			words := strings.NewReplacer("OUTSIDE", outside, "REL", filepath.Base(outside), "OUT", strings.TrimPrefix(outside, os.TempDir()+"/"))
			dir := t.TempDir()
			git(t, dir, "init", "-q", "-b", "main")
			git(t, dir, "commit", "-q", "--allow-empty", "-m", "one cache for all")
			for name, text := range test.files {
				edit(t, dir, map[string]string{name: words.Replace(text)})
			}
			for name, to := range test.links {
				if err := os.Symlink(words.Replace(to), filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			git(t, dir, "add", "-A")
			git(t, dir, "commit", "-q", "-m", "x")
			app := &appfile.App{Name: "app", Artifacts: map[string]appfile.Artifact{"app": {Builder: Key, Settings: &Program{Package: "."}}}}
			w := newSite(t, t.TempDir(), sharedCache(t))
			_, err := w.build(t.Context(), dir, app, "linux/amd64")
			if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), words.Replace(test.says)) || errs.HintOf(err) == "" {
				t.Errorf("%v (hint %q)\nwant %s", err, errs.HintOf(err), words.Replace(test.says))
			}
		})
	}
}

// The settings of the caller's Go command, wherever they stand, do not reach a build: the bytes are
// the same as without them.
func TestS9SettingsOfGoChangeNothing(t *testing.T) {
	outside := private(t)
	dir := commit(t, nil)
	want := func() string {
		w := newSite(t, t.TempDir(), sharedCache(t))
		built, err := w.build(t.Context(), dir, greeter, "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		return string(built[0].Digest)
	}()
	overlay := filepath.Join(outside, "overlay.json")
	evil := filepath.Join(outside, "main.go")
	edit(t, outside, map[string]string{
		"main.go":      "package main\n\nfunc main() { println(\"PRIVATE\") }\n",
		"overlay.json": "{\"Replace\":{\"" + filepath.Join(dir, "cmd/greeter/main.go") + "\":\"" + evil + "\"}}",
		"go.mod":       plainMod, "go.work": "go 1.26.0\n\nuse ./priv\n", "evil.sh": "#!/bin/sh\ntouch " + outside + "/ran\nexec \"$@\"\n",
	})
	if err := os.Chmod(filepath.Join(outside, "evil.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	flags := "-overlay=" + overlay + " -modfile=" + filepath.Join(outside, "go.mod") + " -toolexec=" + filepath.Join(outside, "evil.sh") + " -tags=evil -mod=mod"
	edit(t, outside, map[string]string{"env": "GOFLAGS=" + flags + "\nGOWORK=" + outside + "/go.work\n"})
	t.Setenv("GOENV", filepath.Join(outside, "env"))
	t.Setenv("GOFLAGS", flags)
	t.Setenv("GOWORK", filepath.Join(outside, "go.work"))
	w := newSite(t, t.TempDir(), sharedCache(t))
	// Above the checkout.
	edit(t, w.dir, map[string]string{"go.work": "go 1.26.0\n\nuse " + outside + "/priv\n", "go.env": "GOFLAGS=" + flags + "\n"})
	built, err := w.build(t.Context(), dir, greeter, "linux/amd64")
	if err != nil || string(built[0].Digest) != want {
		t.Errorf("%+v, %v, want %s", built, err, want)
	}
	if _, err := os.Stat(filepath.Join(outside, "ran")); err == nil {
		t.Error("a -toolexec ran")
	}
}

// What is not in the repository is an error by name for who needs it, and a note for the others.
func TestS9WhatIsLeftOut(t *testing.T) {
	const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
	for name, test := range map[string]struct {
		files     map[string]string
		submodule string
		says      string // "" = it is built
	}{
		"a pointer beside":   {files: map[string]string{"docs/video.bin": pointer}},
		"a pointer embedded": {files: map[string]string{"data/secret.txt": pointer, "main.go": embeds}, says: "data/secret.txt is a Git LFS pointer"},
		"a pointer as code":  {files: map[string]string{"more.go": pointer}, says: "more.go is a Git LFS pointer"},
		"a submodule beside": {submodule: "themes/dark"},
		"a submodule needed": {
			files:     map[string]string{"main.go": "package main\n\nimport \"example.org/app/lib\"\n\nfunc main() { lib.Do() }\n"},
			submodule: "lib", says: "lib is a submodule that is not in this clone",
		},
		"a submodule replaced": {
			files: map[string]string{
				"go.mod": plainMod + "\nrequire example.com/priv v0.0.0\n\nreplace example.com/priv => ./third/priv\n", "main.go": needing,
			},
			submodule: "third", says: "third is a submodule that is not in this clone",
		},
		"a name that is not UTF-8": {files: map[string]string{"docs/caf\xe9.txt": "x", "caf\xe9/x": "y"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			git(t, dir, "init", "-q", "-b", "main")
			git(t, dir, "commit", "-q", "--allow-empty", "-m", "one cache for all")
			edit(t, dir, map[string]string{"go.mod": plainMod, "main.go": "package main\n\nfunc main() {}\n"})
			edit(t, dir, test.files)
			git(t, dir, "add", "-A")
			if test.submodule != "" {
				git(t, dir, "update-index", "--add", "--cacheinfo", "160000,1111111111111111111111111111111111111111,"+test.submodule)
			}
			git(t, dir, "commit", "-q", "-m", "x")
			w := newSite(t, t.TempDir(), sharedCache(t))
			var notes []string
			w.Note = func(s string) { notes = append(notes, s) }
			app := &appfile.App{Name: "app", Artifacts: map[string]appfile.Artifact{"app": {Builder: Key, Settings: &Program{Package: "."}}}}
			_, err := w.build(t.Context(), dir, app, "linux/amd64")
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), test.says) || errs.HintOf(err) == ""):
				t.Errorf("%v (hint %q)\nwant %s", err, errs.HintOf(err), test.says)
			}
			if want := test.submodule != "" || strings.Contains(name, "pointer"); want != (len(notes) == 1) {
				t.Errorf("notes: %q", notes)
			}
		})
	}
}
