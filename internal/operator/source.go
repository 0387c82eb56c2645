package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/appfile"
	"overland/internal/appfile/yamlfile"
	"overland/internal/confine/cell"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/source"
)

// SourceOptions say what is built.
type SourceOptions struct {
	Dir   string // a folder in a git work tree, or a bare repository; "" = the current folder
	Rev   string // branch, tag or hash; "" = HEAD, and then the folder must not differ from it
	Dirty bool   // what the folder holds instead of a commit

	Isolation cell.Isolation // how what is built is kept from this machine; "" = cell.Full
}

// Source is one commit and what its overland.yaml says.
type Source struct {
	Repo     *source.Repo
	Commit   source.Commit
	App      *appfile.App
	Spec     []byte // the bytes of overland.yaml
	Warnings []string

	newSpec   bool // overland.yaml is the folder's: the commit has none
	isolation cell.Isolation
}

// source is LoadSource for a call of p, which hears its warnings before minutes go into a build.
func (p *Operator) source(ctx context.Context, o SourceOptions) (*Source, error) {
	src, err := LoadSource(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, text := range src.Warnings {
		p.say.Warn(text)
	}
	return src, nil
}

// LoadSource finds the commit and reads its overland.yaml. A commit that has none takes the
// folder's, with a warning, so that a newcomer's first build needs no commit.
func LoadSource(ctx context.Context, o SourceOptions) (*Source, error) {
	repo, err := source.Open(ctx, cmp.Or(o.Dir, "."))
	if err != nil {
		return nil, err
	}
	s := &Source{Repo: repo}
	if s.isolation, err = cell.Parse(string(o.Isolation)); err != nil {
		return nil, err
	}
	if s.isolation == cell.None {
		s.Warnings = append(s.Warnings, "--isolation none: what the repository runs sees and changes all that you can; a release records it")
	}
	if o.Dirty {
		if o.Rev != "" {
			return nil, errs.Errorf(errs.Invalid, "a revision and the folder as it is: only one of them can be built")
		}
		s.Commit, err = repo.Dirty(ctx)
	} else {
		s.Commit, err = repo.Resolve(ctx, o.Rev)
	}
	if err != nil {
		return nil, err
	}
	if s.newSpec, err = s.readSpec(ctx); err != nil {
		return nil, err
	}
	if o.Rev == "" && !o.Dirty {
		if err := refuseDirty(s.Commit, s.newSpec); err != nil {
			return nil, err
		}
		s.warnNew(s.newSpec)
	}
	if s.Commit.Working() {
		s.Warnings = append(s.Warnings, "the folder as it is, not the commit: "+progress.Some(s.Commit.Changed))
	}
	if s.App, err = AppFile().Parse(s.Spec, appfile.FileName); err != nil {
		return s, err
	}
	s.Warnings = append(s.Warnings, s.App.Doubts()...)
	s.Commit, err = called(ctx, repo, s.Commit, s.App)
	return s, err
}

// called returns c under the version that app wants, and with its tag where app needs that.
func called(ctx context.Context, repo *source.Repo, c source.Commit, app *appfile.App) (source.Commit, error) {
	if !app.Tagged() {
		return c, nil
	}
	c, err := repo.Describe(ctx, c)
	if err == nil && app.Version == appfile.ByTag {
		c = c.Tagged()
	}
	return c, err
}

// only makes s the source of a release for platforms alone. A version names one content, so that of
// a release which lacks platforms says which it has (decision 0080).
func (s *Source) only(platforms []platform.Platform) {
	var have []string
	lacks := false
	for _, p := range platform.All() {
		made := slices.ContainsFunc(slices.Collect(maps.Values(s.App.Artifacts)), func(a appfile.Artifact) bool { return a.For(p) })
		switch asked := len(platforms) == 0 || slices.Contains(platforms, p); {
		case made && asked:
			have = append(have, strings.TrimPrefix(p.Dashed(), "linux-"))
		case made:
			lacks = true
		}
	}
	if lacks {
		s.Commit.Version += lacking + strings.Join(have, ".")
	}
}

// lacking stands in the version of a release that lacks platforms, before those that it has.
const lacking = "-for-"

func (s *Source) readSpec(ctx context.Context) (fromFolder bool, err error) {
	s.Spec, err = s.Repo.ReadFile(ctx, s.Commit, appfile.FileName)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	s.Spec, err = fsx.ReadFile(filepath.Join(s.Repo.Dir(), appfile.FileName), yamlfile.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return false, errs.Hint(errs.Errorf(errs.NotFound, "%s has no %s", s.Repo.Dir(), appfile.FileName), "overland init")
	}
	if err != nil {
		return false, err
	}
	s.Warnings = append(s.Warnings, fmt.Sprintf("%s is not in commit %.12s: the folder's is used; commit it",
		appfile.FileName, s.Commit.Hash))
	return true, nil
}

// refuseDirty returns an error when a file in the folder differs from c: a person would
// see one thing and build another.
func refuseDirty(c source.Commit, newSpec bool) error {
	changed := except(c.Modified, newSpec)
	if len(changed) == 0 {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.Invalid, "the folder differs from commit %.12s: %s", c.Hash, progress.Some(changed)),
		"commit it, or build the commit without it (--rev HEAD), or the folder as it is (--dirty)")
}

// warnNew warns of files that are not in the commit, and so not in what is built.
func (s *Source) warnNew(newSpec bool) {
	var list []string
	for _, path := range except(s.Commit.Changed, newSpec) {
		if !slices.Contains(s.Commit.Modified, path) {
			list = append(list, path)
		}
	}
	if len(list) > 0 {
		s.Warnings = append(s.Warnings, "not in the commit, so not built: "+progress.Some(list))
	}
}

// except returns list without overland.yaml when that is new: there was a warning about it already.
func except(list []string, newSpec bool) []string {
	if !newSpec {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(path string) bool { return path == appfile.FileName })
}

func (s *Source) specDigest() digest.Digest { return digest.Of(s.Spec) }
