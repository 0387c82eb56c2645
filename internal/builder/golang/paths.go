package golang

import (
	"context"
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/source"
)

// checkPaths refuses what go.mod and go.work take from outside of the repository: the commit would
// be built to other bytes on another machine, and to those of the operator's own folders.
func checkPaths(ctx context.Context, j builder.Job, s settings) error {
	modules, replaced, err := used(ctx, j, s)
	if err != nil {
		return err
	}
	if err := checkReplace(s.Workspace, replaced); err != nil {
		return err
	}
	for _, dir := range modules {
		name := path.Join(dir, "go.mod")
		text, err := j.ReadFile(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // of another module of the workspace: the go command says so
		}
		if err != nil {
			return err
		}
		f, err := modfile.Parse(name, text, nil)
		if err != nil {
			return errs.E(errs.Invalid, err)
		}
		if err := checkReplace(name, f.Replace); err != nil {
			return err
		}
	}
	return nil
}

// used returns the folders of the modules that s is built from: that of the program, or all of its
// workspace, with what that replaces.
func used(ctx context.Context, j builder.Job, s settings) (dirs []string, replaced []*modfile.Replace, _ error) {
	if s.Workspace == "" {
		return []string{s.Dir}, nil, nil
	}
	text, err := j.ReadFile(ctx, s.Workspace)
	if err != nil {
		return nil, nil, err
	}
	f, err := modfile.ParseWork(s.Workspace, text, nil)
	if err != nil {
		return nil, nil, errs.E(errs.Invalid, err)
	}
	for _, use := range f.Use {
		dir, err := within(s.Workspace, "use", use.Path)
		if err != nil {
			return nil, nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, f.Replace, nil
}

func checkReplace(name string, list []*modfile.Replace) error {
	for _, r := range list {
		if r.New.Version != "" {
			continue // a module, which go.sum holds
		}
		if _, err := within(name, "replace "+r.Old.Path+" =>", r.New.Path); err != nil {
			return err
		}
	}
	return nil
}

// within returns the folder of the repository that the file name refers to as to; verb says how.
func within(name, verb, to string) (string, error) {
	dir := path.Join(path.Dir(name), filepath.ToSlash(to))
	if filepath.IsAbs(to) || strings.HasPrefix(filepath.ToSlash(to), "/") || dir == ".." || strings.HasPrefix(dir, "../") {
		return "", errs.Hint(errs.Errorf(errs.Invalid, "%s: %s %s leaves the repository, so the commit does not hold what is built", name, verb, to),
			"commit that module below the top, or take a published version of it")
	}
	return dir, nil
}

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Name, Dir string
	Standard, DepOnly     bool
	GoFiles, SFiles, HFiles, SysoFiles,
	EmbedFiles, IgnoredGoFiles []string
	Module *goModule
}

// goModule is what go list says of a module.
type goModule struct {
	Path, Version, Dir string
	Replace            *goModule
}

// listed are the fields of a goPackage.
const listed = "-json=ImportPath,Name,Dir,Standard,DepOnly,GoFiles,SFiles,HFiles,SysoFiles,EmbedFiles,IgnoredGoFiles,Module"

// needsCgo reports whether p has files for this platform that are left out because cgo is off.
func (c compile) needsCgo(p goPackage) bool {
	if p.Standard {
		return false
	}
	env := c.job.Platform.GoEnv()
	rules := build.Default
	rules.GOOS, rules.GOARCH, rules.CgoEnabled, rules.BuildTags = value(env, "GOOS"), value(env, "GOARCH"), true, c.settings.Tags
	return slices.ContainsFunc(p.IgnoredGoFiles, func(name string) bool {
		if match, err := rules.MatchFile(p.Dir, name); err != nil || !match {
			return false
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
		return err == nil && slices.Contains(imports([]*ast.File{f}), "C")
	})
}

// value returns what env sets name to.
func value(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// check refuses a package whose files are neither of the commit nor of the module cache, whose
// content go.sum holds, also when a link leads there; and one that needs what the checkout lacks.
func (c compile) check(p goPackage) error {
	if p.Standard {
		return nil
	}
	src, err := filepath.EvalSymlinks(c.src)
	if err != nil {
		return err
	}
	modules, err := filepath.EvalSymlinks(c.host.Go.GOMODCACHE)
	if err != nil {
		modules = c.host.Go.GOMODCACHE
	}
	names, top := []string{"."}, moduleOf(p.Dir)
	local := lies(c.src, p.Dir)
	if local {
		for _, l := range c.job.Left {
			in := filepath.Join(c.src, filepath.FromSlash(path.Dir(l.Path))) == p.Dir
			if ext := path.Ext(l.Path); in && slices.Contains([]string{".go", ".s", ".h", ".syso"}, ext) {
				return l.Err()
			}
		}
		top = src
		names = slices.Concat(names, p.GoFiles, p.SFiles, p.HFiles, p.SysoFiles, p.EmbedFiles)
	}
	for _, name := range names {
		file := filepath.Join(p.Dir, name)
		if rel, err := filepath.Rel(c.src, file); err == nil && local {
			if err := needs(c.job.Left, filepath.ToSlash(rel)); err != nil {
				return err
			}
		}
		target, err := filepath.EvalSymlinks(file)
		if err != nil {
			return err
		}
		if !lies(src, target) && (local || !lies(modules, target)) {
			return errs.Hint(errs.Errorf(errs.Invalid, "package %s takes %s from outside of the repository and the module cache", p.ImportPath, file),
				"commit it, or take it from a published module")
		}
	}
	if top, err = filepath.EvalSymlinks(top); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, name := range slices.Concat(p.SFiles, p.HFiles) {
		if err := includes(top, p.Dir, filepath.Join(p.Dir, name), seen); err != nil {
			return err
		}
	}
	return nil
}

// needs returns the error of what the checkout lacks of the file name.
func needs(left []source.Left, name string) error {
	for _, l := range left {
		if l.Covers(name) {
			return l.Err()
		}
	}
	return nil
}

// lacking returns the error of what the checkout lacks when the go command, which said why it
// failed, names it: by its path, or as a pattern of go:embed.
func (c compile) lacking(said string) error {
	for _, l := range c.job.Left {
		if strings.Contains("/"+l.Path, "/vendor/") || path.Base(l.Path) == "vendor" {
			return l.Err() // the go command does not name what it misses there
		}
		for _, name := range []string{regexp.QuoteMeta(l.Path), "pattern " + regexp.QuoteMeta(path.Base(l.Path))} {
			if regexp.MustCompile(`(^|[\s/"'(])` + name + `($|[\s/"'):;,])`).MatchString(said) {
				return l.Err()
			}
		}
	}
	return nil
}

// lies reports whether path is dir or lies in it.
func lies(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
