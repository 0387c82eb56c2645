package golang

import (
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"overland/internal/fsx"
)

// found is one Go command of a repository.
type found struct {
	dir    string // of its package, from the top
	module string // folder of its module, from the top
	score  int    // how likely it is what the repository is about
	helper bool   // it helps to build or test the rest, or its main does nothing
	named  bool   // its folder says what it is: cmd/NAME
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
	"contrib", "sample", "samples", "misc", "website", "documentation", "testing", "helpers", "magefiles",
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
	files, err := s.sources(name)
	if err != nil {
		return err
	}
	main := mainOf(files)
	if main == nil {
		return nil
	}
	f := found{dir: name, module: mod, named: path.Base(path.Dir(name)) == "cmd"}
	parts := strings.Split(name, "/")
	f.helper = len(main.Body.List) == 0 || slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(helpers, p) })
	if importsNetwork(files) {
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

// sources returns the Go files of the folder name that are compiled for Linux. One that Go cannot
// read makes no command, and is left out.
func (s *search) sources(name string) (list []*ast.File, err error) {
	rules := build.Context{
		GOOS: "linux", GOARCH: "amd64", Compiler: "gc", ReleaseTags: build.Default.ReleaseTags,
		JoinPath: path.Join,
		OpenFile: func(p string) (io.ReadCloser, error) { return s.dir.Open(p) },
	}
	files, err := fs.ReadDir(s.dir, name)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		if match, err := rules.MatchFile(name, f.Name()); err != nil || !match {
			continue
		}
		b, err := head(s.dir, path.Join(name, f.Name()))
		if err != nil {
			return nil, err
		}
		if parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), b, parser.SkipObjectResolution); err == nil {
			list = append(list, parsed)
		}
	}
	return list, nil
}

// mainOf returns the function main of a package main, nil when there is none: a folder may hold a
// package main of tools and generators that is never a program.
func mainOf(files []*ast.File) *ast.FuncDecl {
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && f.Name.Name == "main" && fn.Recv == nil && fn.Name.Name == "main" && fn.Body != nil {
				return fn
			}
		}
	}
	return nil
}

// imports returns the paths that files import.
func imports(files []*ast.File) (list []string) {
	for _, f := range files {
		for _, i := range f.Imports {
			list = append(list, strings.Trim(i.Path.Value, "`\""))
		}
	}
	return list
}

// importsNetwork reports whether files import what servers import.
func importsNetwork(files []*ast.File) bool {
	return slices.ContainsFunc(imports(files), func(p string) bool {
		return p == "net" || p == "net/http" || p == "google.golang.org/grpc" || strings.HasSuffix(p, "/server")
	})
}

// maxSource is how many bytes of one file are looked at.
const maxSource = 1 << 20

// head returns the first maxSource bytes of a file.
func head(dir fs.FS, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fsx.Head(f, maxSource)
}
