package cell

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/confine"
	"overland/internal/environ"
)

// tools are the programs that are shown beside the system's.
type tools struct {
	home    string   // of the caller
	never   []string // folders that are never shown, and neither are those above them
	path    []string // the folders of PATH
	mounts  []confine.Mount
	environ []string // what the programs need to find their own
}

// newTools finds the programs of the PATH in env.
func newTools(env []string) *tools {
	t := &tools{home: os.Getenv("HOME")}
	if t.home != "" {
		t.never = append(t.never, t.home)
	}
	if site := os.Getenv("OVERLAND_HOME"); site != "" {
		t.never = append(t.never, site)
	}
	list, _ := environ.Lookup(env, "PATH")
	t.path = filepath.SplitList(list)
	for _, dir := range t.path {
		if filepath.IsAbs(dir) {
			t.folder(filepath.Clean(dir))
		}
	}
	return t
}

// show shows the file or folder path, read-only, unless it is shown already or must not be.
func (t *tools) show(path string) {
	if covered(t.mounts, path) || t.shown(path) || slices.ContainsFunc(t.never, func(dir string) bool { return below(dir, path) }) {
		return
	}
	t.mounts = append(t.mounts, confine.Mount{Kind: confine.Optional, Source: path, Target: path})
}

// shown reports whether confine.System shows path.
func (*tools) shown(path string) bool {
	folders := []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}
	return slices.ContainsFunc(folders, func(dir string) bool { return below(path, dir) })
}

// folder shows the programs in a folder of PATH.
func (t *tools) folder(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	local := dir == "/usr/local/bin" || dir == "/usr/local/sbin" // where links to elsewhere are put
	if t.shown(dir) && !local {
		return
	}
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return
	}
	t.managed(dir)
	whole := !t.inHome(dir) || isBin(dir)
	if whole {
		t.installation(dir)
		if resolved != dir {
			t.installation(resolved)
		}
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		if !whole {
			t.show(path)
		}
		if e.Type()&os.ModeSymlink != 0 {
			t.target(path)
		}
	}
}

// target shows what the link path leads to.
func (t *tools) target(path string) {
	resolved, err := filepath.EvalSymlinks(path)
	switch {
	case err != nil:
	case isBin(filepath.Dir(resolved)):
		t.installation(filepath.Dir(resolved))
	default:
		t.show(resolved)
	}
}

// add shows the program name, wherever it is.
func (t *tools) add(name, dir string) {
	if !strings.Contains(name, "/") {
		return // it is in a folder of PATH
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	t.show(name)
	t.target(name)
}

// inHome reports whether dir lies in somebody's home.
func (t *tools) inHome(dir string) bool {
	return slices.ContainsFunc([]string{t.home, "/root", "/home"}, func(home string) bool { return home != "" && below(dir, home) })
}

// isBin reports whether dir holds programs alone, by its name.
func isBin(dir string) bool {
	return slices.Contains([]string{"bin", "sbin", "shims"}, filepath.Base(dir))
}

// installation shows the folder of programs dir, and what of the same installation lies beside it.
// Settings and credentials never lie there.
func (t *tools) installation(dir string) {
	t.show(dir)
	parent := filepath.Dir(dir)
	if !isBin(dir) || slices.ContainsFunc(t.never, func(no string) bool { return below(no, parent) }) {
		return
	}
	beside := []string{"lib", "lib32", "lib64", "libexec", "include", "pyvenv.cfg"}
	switch {
	case exists(parent, "src", "runtime") && exists(parent, "VERSION"): // Go
		beside = append(beside, "src", "pkg", "api", "VERSION", "go.env")
	case exists(parent, "release") && exists(parent, "lib", "modules"): // Java
		beside = append(beside, "release", "conf", "jmods", "legal")
	}
	if !t.inHome(parent) { // there it holds settings and keys; elsewhere what CMake, git and autoconf need
		beside = append(beside, "share")
	}
	for _, name := range beside {
		if exists(parent, name) {
			t.show(filepath.Join(parent, name))
		}
	}
}

func exists(parts ...string) bool {
	_, err := os.Stat(filepath.Join(parts...))
	return err == nil
}

// managed shows what the programs of a version manager choose from, when dir is a folder of it, and
// says where that is: they look in HOME, which is another one in a cell.
func (t *tools) managed(dir string) {
	if exists(dir, "rustup") {
		root := cmp.Or(os.Getenv("RUSTUP_HOME"), filepath.Join(t.home, ".rustup"))
		t.manager(root, "RUSTUP_HOME", "toolchains", "settings.toml", "update-hashes")
	}
	if root := filepath.Dir(dir); exists(root, "bin", "pyenv") && exists(root, "versions") {
		t.manager(root, "PYENV_ROOT", "bin", "completions", "libexec", "plugins", "shims", "src", "version", "versions")
	}
}

func (t *tools) manager(root, variable string, names ...string) {
	if !filepath.IsAbs(root) {
		return
	}
	for _, name := range names {
		if exists(root, name) {
			t.show(filepath.Join(root, name))
		}
	}
	if kv := variable + "=" + root; !slices.Contains(t.environ, kv) {
		t.environ = append(t.environ, kv)
	}
}
