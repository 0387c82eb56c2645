package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	dirtyTree  = "dirty:"
	maxChanged = 100
)

// Dirty returns HEAD with the folder's files in place of its tree: all of them, as they are now, also
// what git ignores, like generated sources; not volumes that were sealed there. Changed names the
// ignored ones too. When nothing differs it returns HEAD itself. Two folders with the same content on
// the same commit have the same version.
func (r *Repo) Dirty(ctx context.Context) (Commit, error) {
	c, err := r.Resolve(ctx, "")
	if err != nil || r.bare {
		return c, err
	}
	list, also, err := r.listWorking(ctx)
	if err != nil {
		return Commit{}, fmt.Errorf("read %s: %w", r.dir, err)
	}
	if !c.Dirty && len(also) == 0 {
		return c, nil
	}
	c.Dirty, c.Changed = true, atMost(slices.Compact(slices.Sorted(slices.Values(append(also, c.Changed...)))))
	h := digest.New()
	if err := r.eachWorking(list, h, func(entry, io.Reader, int64) error { return nil }); err != nil {
		return Commit{}, fmt.Errorf("read %s: %w", r.dir, err)
	}
	hex := h.Digest().Encoded()
	c.Tree = dirtyTree + hex
	c.Version += "-dirty." + hex[:12]
	return c, nil
}

// changed returns the paths that git status names, and those of them that git tracks.
// git status would run the filters that the repository's own configuration names, so
// they are switched off one by one.
func (r *Repo) changed(ctx context.Context) (all, tracked []string, err error) {
	filters, err := output(ctx, r.dir, 1<<20, nil, "config", "-z", "--name-only", "--get-regexp",
		`^filter\..*\.(clean|smudge|process|required)$`)
	if err != nil && !saysNothing(err) {
		return nil, nil, fmt.Errorf("read the repository's filters: %w", err)
	}
	cmd := command(ctx, r.dir, "status", "--porcelain=v1", "-z", "--no-renames",
		"--untracked-files=all", "--ignore-submodules=all")
	cmd.Env = append(cmd.Env, without(string(filters))...)
	out, err := run(ctx, cmd, maxList)
	if err != nil {
		return nil, nil, fmt.Errorf("compare the folder with its commit: %w", err)
	}
	for line := range strings.SplitSeq(string(out), "\x00") {
		if len(line) > 3 && !(strings.HasPrefix(line, "??") && sealed.MatchString(line)) {
			all = append(all, line[3:])
			if !strings.HasPrefix(line, "??") {
				tracked = append(tracked, line[3:])
			}
		}
	}
	return atMost(all), atMost(tracked), nil
}

// atMost returns the first maxChanged of list, sorted.
func atMost(list []string) []string {
	slices.Sort(list)
	return slices.Clip(list[:min(len(list), maxChanged)])
}

// without returns the environment that empties the settings listed in names, each ended by a zero
// byte. It is the environment and not -c, because a name may contain "=".
func without(names string) []string {
	var env []string
	n := 0
	for name := range strings.SplitSeq(names, "\x00") {
		if name == "" {
			continue
		}
		value := ""
		if strings.HasSuffix(name, ".required") {
			value = "false"
		}
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, name), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, value))
		n++
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", n))
}

// saysNothing reports whether git exited with 1: nothing was found.
func saysNothing(err error) bool {
	var e interface{ ExitCode() int }
	return errors.As(err, &e) && e.ExitCode() == 1
}

// sealed matches the names of volumes and their parts: overland seal writes them where it is called,
// and a volume is not a source of the commit that it was made from.
var sealed = regexp.MustCompile(`\.volume(\.[0-9]{3,})?$`)

// listWorking returns the folder's files, sorted, and those of them that git does not track. hash is
// empty; mode is what the file has.
func (r *Repo) listWorking(ctx context.Context) (list []entry, also []string, err error) {
	out, err := output(ctx, r.dir, maxList, nil, "ls-files", "-z", "--stage", "--cached")
	if err != nil {
		return nil, nil, err
	}
	var names []string
	var submodules []entry
	for line := range strings.SplitSeq(string(out), "\x00") {
		meta, name, ok := strings.Cut(line, "\t")
		switch {
		case ok && strings.HasPrefix(meta, modeSubmodule+" "):
			submodules = append(submodules, entry{mode: modeSubmodule, hash: strings.Fields(meta)[1], path: name})
		case ok:
			names = append(names, name)
		}
	}
	out, err = output(ctx, r.dir, maxList, nil, "ls-files", "-z", "--others")
	if err != nil {
		return nil, nil, err
	}
	for name := range strings.SplitSeq(string(out), "\x00") {
		if name != "" && !strings.HasSuffix(name, "/") && !sealed.MatchString(name) {
			also = append(also, name)
		}
	}
	names = append(names, also...)
	slices.Sort(names)
	list, err = r.stat(slices.Compact(names))
	list = append(list, submodules...)
	slices.SortStableFunc(list, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return list, also, err
}

// stat returns the entries of the names that exist and are files or links.
func (r *Repo) stat(names []string) ([]entry, error) {
	links := map[string]bool{}
	var list []entry
	for _, name := range names {
		if name == "" || strings.HasSuffix(name, "/") || belowLink(name, links) {
			continue // another repository's folder, or a file behind a link: git does not see it either
		}
		info, err := os.Lstat(filepath.Join(r.dir, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
			continue // deleted
		case err != nil:
			return nil, err
		case info.Mode().IsRegular() && info.Mode()&0o100 != 0:
			list = append(list, entry{mode: modeProgram, path: name})
		case info.Mode().IsRegular():
			list = append(list, entry{mode: modeFile, path: name})
		case info.Mode()&fs.ModeSymlink != 0:
			links[name] = true
			list = append(list, entry{mode: modeLink, path: name})
		}
	}
	return list, nil
}

func belowLink(name string, links map[string]bool) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if links[dir] {
			return true
		}
	}
	return false
}

// eachWorking calls do with each file, and writes its name, mode, length and content to h.
func (r *Repo) eachWorking(list []entry, h digest.Hasher, do func(e entry, content io.Reader, size int64) error) error {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	one := func(e entry) error {
		name := filepath.FromSlash(e.path)
		if e.mode == modeSubmodule { // its commit, as in a tree
			fmt.Fprintf(h, "%s %d %s\x00%s", e.mode, len(e.hash), e.path, e.hash)
			return do(e, strings.NewReader(""), 0)
		}
		if e.mode == modeLink {
			to, err := root.Readlink(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%s %d %s\x00%s", e.mode, len(to), e.path, to)
			return do(e, strings.NewReader(to), int64(len(to)))
		}
		f, err := fsx.OpenIn(root, name)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d %s\x00", e.mode, info.Size(), e.path)
		content := io.TeeReader(bufio.NewReader(io.LimitReader(f, info.Size())), h)
		if err := do(e, content, info.Size()); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, content)
		return err
	}
	for _, e := range list {
		if err := one(e); err != nil {
			return err
		}
	}
	return nil
}

// copyWorking copies the folder's files, and checks that they are still those that gave c its name.
func (r *Repo) copyWorking(ctx context.Context, c Commit, t *target) error {
	list, _, err := r.listWorking(ctx)
	if err != nil {
		return err
	}
	h := digest.New()
	write := func(e entry, content io.Reader, size int64) error {
		if t.room -= size; t.room < 0 {
			return errs.Hint(errs.Errorf(errs.Invalid, "its files take more than half of what is free on the disk"),
				"remove what is generated and not needed (git clean -ndX lists it); or make room on the disk of the site directory")
		}
		return t.write(e, content, size)
	}
	if err := r.eachWorking(list, h, write); err != nil {
		return err
	}
	if err := r.copyObjects(ctx, t.later, t); err != nil {
		return err
	}
	if dirtyTree+h.Digest().Encoded() != c.Tree {
		return errs.Hint(errs.Errorf(errs.Conflict, "%s changed while it was being read", r.dir),
			"try again when nothing writes there")
	}
	return nil
}

func (r *Repo) readWorking(name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := fsx.OpenIn(root, filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := fsx.Read(f, name, limit)
	if errors.Is(err, fsx.ErrTooLong) {
		err = errs.E(errs.Invalid, err)
	}
	return b, err
}
