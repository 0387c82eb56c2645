package golang

import (
	"errors"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/platform"
)

// found is one Go command of a repository.
type found struct {
	dir    string // of its package, from the top
	module string // folder of its module, from the top
	score  int    // how likely it is what the repository is about
	helper bool   // it helps to build or test the rest
}

// Propose returns an App for the Go commands found in dir, for overland init: every command is an
// artifact, and the likeliest one is a service that must stay up for 10 s. name is the
// application's; "" = the last part of the module's path. Commands that help to build or test the
// rest (below internal, tools, examples, …) count only when there is no other. NotFound with a
// hint when there is no command.
func Propose(dir fs.FS, name string) (*appfile.App, error) {
	s := search{dir: dir, modules: map[string]string{}}
	if err := fs.WalkDir(dir, ".", s.visit); err != nil {
		return nil, fmt.Errorf("look for Go commands: %w", err)
	}
	list := s.found
	if slices.ContainsFunc(list, func(f found) bool { return !f.helper }) {
		list = slices.DeleteFunc(list, func(f found) bool { return f.helper })
	}
	if len(list) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "there is no Go command here"),
			"run it at the top of a repository that has a go.mod and a package main")
	}
	app := &appfile.App{Overland: appfile.Version, Name: plainName(name), Artifacts: map[string]appfile.Artifact{}}
	if app.Name == "" {
		app.Name = s.appName(list)
	}
	likeliest, best := "", 0
	for _, f := range list {
		short := path.Base(f.dir)
		if f.dir == f.module {
			short = s.baseName(f.module)
		}
		as := plainName(short)
		if _, taken := app.Artifacts[as]; taken || as == "" {
			as = plainName(f.dir)
		}
		for _, taken := app.Artifacts[as]; taken || as == ""; _, taken = app.Artifacts[as] {
			as = plainName("x-" + as)
		}
		p := &Program{Package: "./" + below(f.module, f.dir), Dir: notDot(f.module)}
		if p.Package == "./" {
			p.Package = "."
		}
		app.Artifacts[as] = appfile.Artifact{Builder: Key, Settings: p, Platforms: platform.All()}
		if as == app.Name {
			f.score += 8
		}
		if likeliest == "" || f.score > best {
			likeliest, best = as, f.score
		}
	}
	app.Services = map[string]appfile.Service{likeliest: {
		Artifact: likeliest,
		Runtime:  "process",
		Restart:  appfile.Restart{Backoff: appfile.Backoff{Min: appfile.Duration(time.Second), Max: appfile.Duration(5 * time.Minute)}},
		Stable:   appfile.Duration(10 * time.Second),
	}}
	return app, nil
}

// search is a walk through a repository.
type search struct {
	dir     fs.FS
	modules map[string]string // folder of a module → its path
	found   []found
}

// helpers are folders whose commands are about the repository itself.
var helpers = []string{
	"internal", "tools", "tool", "hack", "script", "scripts", "example", "examples", "_examples", "test",
	"tests", "e2e", "ci", "dev", "demo", "docs", "doc", "build", "bench", "benchmarks", "integration", "third_party",
}

func (s *search) visit(name string, d fs.DirEntry, err error) error {
	if err != nil || !d.IsDir() {
		return err
	}
	base := path.Base(name)
	if name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor" || base == "node_modules") {
		return fs.SkipDir
	}
	if b, err := head(s.dir, path.Join(name, "go.mod")); err == nil {
		s.modules[name] = modfile.ModulePath(b)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mod, ok := s.moduleOf(name)
	if !ok {
		return nil
	}
	isMain, serves, err := s.command(name)
	if err != nil || !isMain {
		return err
	}
	f := found{dir: name, module: mod}
	parts := strings.Split(name, "/")
	f.helper = slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(helpers, p) })
	if serves {
		f.score += 5
	}
	if name == mod {
		f.score += 4
	}
	switch {
	case strings.Contains(base, "server") || strings.Contains(base, "daemon") || base == "node":
		f.score += 4
	case strings.HasSuffix(base, "ctl") || strings.HasSuffix(base, "cli") || strings.HasPrefix(base, "gen") ||
		strings.Contains(base, "bench") || strings.Contains(base, "test") || strings.Contains(base, "migrate"):
		f.score -= 4
	}
	s.found = append(s.found, f)
	return nil
}

// moduleOf returns the folder of the module that the folder name is in.
func (s *search) moduleOf(name string) (string, bool) {
	for dir := name; ; dir = path.Dir(dir) {
		if _, ok := s.modules[dir]; ok {
			return dir, true
		}
		if dir == "." {
			return "", false
		}
	}
}

// command reports whether the folder name holds a package main for Linux, and whether
// it imports what servers import.
func (s *search) command(name string) (isMain, serves bool, err error) {
	rules := build.Context{
		GOOS: "linux", GOARCH: "amd64", Compiler: "gc", ReleaseTags: build.Default.ReleaseTags,
		JoinPath: path.Join,
		OpenFile: func(p string) (io.ReadCloser, error) { return s.dir.Open(p) },
	}
	files, err := fs.ReadDir(s.dir, name)
	if err != nil {
		return false, false, err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		if match, err := rules.MatchFile(name, f.Name()); err != nil || !match {
			continue // a file that Go cannot read is not what makes a command
		}
		b, err := head(s.dir, path.Join(name, f.Name()))
		if err != nil {
			return false, false, err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), b, parser.ImportsOnly)
		if err != nil || parsed.Name.Name != "main" {
			continue
		}
		isMain = true
		for _, i := range parsed.Imports {
			p := strings.Trim(i.Path.Value, "`\"")
			serves = serves || p == "net" || p == "net/http" || p == "google.golang.org/grpc" || strings.HasSuffix(p, "/server")
		}
	}
	return isMain, serves, nil
}

// baseName returns the last part of a module's path, without a major version.
func (s *search) baseName(mod string) string {
	p := s.modules[mod]
	if prefix, _, ok := module.SplitPathVersion(p); ok {
		p = prefix
	}
	return strings.TrimSuffix(path.Base(p), ".git")
}

func (s *search) appName(list []found) string {
	mod := list[0].module
	if _, ok := s.modules["."]; ok {
		mod = "."
	}
	if name := plainName(s.baseName(mod)); name != "" {
		return name
	}
	return "app"
}

var notPlain = regexp.MustCompile(`[^a-z0-9]+`)

// plainName returns s as a name that overland.yaml allows, or "".
func plainName(s string) string {
	s = notPlain.ReplaceAllString(strings.ToLower(s), "-")
	s = strings.TrimLeft(s, "-0123456789")
	return strings.TrimRight(s[:min(len(s), 63)], "-")
}

// below returns dir as seen from mod; "" when they are the same.
func below(mod, dir string) string {
	if mod == dir {
		return ""
	}
	return strings.TrimPrefix(dir, strings.TrimPrefix(mod+"/", "./"))
}

func notDot(dir string) string {
	if dir == "." {
		return ""
	}
	return dir
}

// maxSource is how many bytes of one file are looked at.
const maxSource = 1 << 20

// head returns the first maxSource bytes of a file: enough for the name of a module
// and the imports of a source file.
func head(dir fs.FS, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fsx.Head(f, maxSource)
}
