package golang

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"overland/internal/confine/cell"
	"overland/internal/fsx"
)

// seeds is the folder, among those of applications, in which the standard library is compiled for
// all of them: one cache for each release of Go and platform.
const seeds = "std"

// standard matches the names of packages that a seed is asked for: those of the standard library that
// a program may import. What they need comes with them.
var standard = regexp.MustCompile(`^[a-z][a-z0-9]*(/[a-z0-9]+)*$`)

// kept is how long what is not used stays in a cache for certain: the Go command removes it after five
// days.
const kept = 4 * 24 * time.Hour

// seed copies the standard library, compiled, into the cache of an application that has none yet for
// this release and platform. The seed is made in a cell that sees the toolchain and no file of any
// application; an application decides which packages are in it, and not what they are. It is
// copied and never linked, and the cell of an application does not see it, so nothing comes back.
func (c compile) seed(ctx context.Context, caches string, packages []string) error {
	if !c.confined || c.job.Fresh {
		return nil
	}
	name := c.release + "-" + strings.ReplaceAll(string(c.job.Platform), "/", "-")
	mark := filepath.Join(filepath.Dir(c.cache), "seeded-"+name) // where no cell writes
	if info, err := os.Lstat(mark); err == nil && time.Since(info.ModTime()) < kept {
		now := time.Now()
		return os.Chtimes(mark, now, now)
	}
	packages = slices.DeleteFunc(slices.Clone(packages), func(p string) bool {
		parts := strings.Split(p, "/")
		return !standard.MatchString(p) || slices.Contains(parts, "internal") || parts[0] == "vendor" || p == "unsafe"
	})
	if len(packages) == 0 {
		return nil
	}
	dir := filepath.Join(caches, seeds, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := fsx.AwaitLock(ctx, dir+".lock")
	if err != nil {
		return fmt.Errorf("wait for the standard library of another build: %w", err)
	}
	defer lock.Unlock()
	if err := c.compileStandard(ctx, dir, packages); err != nil {
		return err
	}
	if err := addTree(c.cache, dir); err != nil {
		return fmt.Errorf("copy the compiled standard library: %w", err)
	}
	if err := cell.Give(c.cache); err != nil {
		return err
	}
	return os.WriteFile(mark, nil, 0o600)
}

// compileStandard compiles packages into the cache dir.
func (c compile) compileStandard(ctx context.Context, dir string, packages []string) error {
	scratch, err := os.MkdirTemp(filepath.Dir(c.scratch), seeds+"-") // the application has written to its own
	if err != nil {
		return err
	}
	defer func() { _ = fsx.RemoveTree(scratch) }()
	s := compile{root: c.root, host: c.host, job: c.job, settings: settings{Dir: "."}, scratch: scratch, src: filepath.Join(scratch, "src"), cache: dir}
	if err := errors.Join(s.prepare(), os.MkdirAll(s.src, 0o700)); err != nil {
		return err
	}
	o := s.cell(append([]string{s.command(), "build", "-trimpath", "-buildvcs=false"}, packages...))
	o.Read = []string{s.root}
	_, err = s.inCell(ctx, o)
	var ended *runError
	if errors.As(err, &ended) { // of another release, or of none: the build itself tells
		return nil
	}
	return err
}

// addTree copies into the folder to, which belongs to others, what it lacks of the folder from.
func addTree(to, from string) error {
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		const folder, mode = 0o755, 0o644
		switch {
		case name == ".", name == "trim.txt":
			return nil
		case d.IsDir():
			return root.MkdirAll(name, folder)
		case !d.Type().IsRegular():
			return nil
		}
		r, err := fsx.Open(path)
		if err != nil {
			return err
		}
		defer r.Close()
		w, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = io.Copy(w, r)
		return errors.Join(err, w.Close())
	})
}
