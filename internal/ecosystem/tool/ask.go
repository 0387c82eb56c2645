package tool

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/procgroup"
)

// Question is what a tool of this machine is asked about itself.
type Question struct {
	Argv []string // a program in PATH, and its arguments
	// Keep lists prefixes of variable names, in upper case: the tool's own settings. Of the other
	// variables it gets those that every program needs.
	Keep    []string
	Environ []string // the caller's; nil = environ.Child()
	Set     []string // further settings, NAME=value
	// Prepare writes files into dir, an empty folder that is removed afterwards, and returns
	// further settings, NAME=value, and arguments; nil = none.
	Prepare func(dir string) (set, args []string, err error)
}

// Limits of an answer, in bytes.
const (
	maxAnswer    = 4 << 20
	maxComplaint = 4 << 10
)

// Ask runs a tool of this machine and returns what it prints, at most 4 MiB. This is the only way
// to ask one: in an empty folder, so that what a checkout configures (.cargo/config.toml, .npmrc,
// go.mod, a module called pip) is not read, and without the variables of others, so that it
// cannot leak them. The tool and all that it starts end with ctx. Its exit code is an
// *exec.ExitError below an error with its last words.
func Ask(ctx context.Context, q Question) ([]byte, error) {
	path, err := exec.LookPath(q.Argv[0])
	if err != nil {
		return nil, errs.E(errs.NotFound, err)
	}
	dir, at, err := folder()
	if err != nil {
		return nil, fmt.Errorf("a folder to ask %s in: %w", q.Argv[0], err)
	}
	defer func() { _ = fsx.RemoveTree(dir) }()
	var set, args []string
	if q.Prepare != nil {
		if set, args, err = q.Prepare(dir); err != nil {
			return nil, err
		}
	}
	env := append(slices.Concat(q.environ(), q.Set, set), "PWD="+at)
	cmd := procgroup.Command(ctx, time.Second, env, path, append(slices.Clone(q.Argv[1:]), args...)...)
	cmd.Dir = at
	out, said := &fsx.Beginning{Most: maxAnswer}, &fsx.Beginning{Most: maxComplaint}
	cmd.Stdout, cmd.Stderr = out, said
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", q.Argv[0], ctx.Err())
	case err != nil:
		return out.Bytes(), fmt.Errorf("%s: %w: %.200s", strings.Join(q.Argv[:min(len(q.Argv), 2)], " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return out.Bytes(), nil
}

// basic are the variables that every program gets: where things are on this machine, and the
// homes of the programs that choose a version of a tool.
var basic = []string{"HOME", "USER", "LOGNAME", "TMPDIR", "XDG_", "ASDF_", "MISE_", "PYENV_", "NVM_", "VOLTA_", "RUSTUP_"}

// secret matches the names of variables that no tool gets.
var secret = regexp.MustCompile(`TOKEN|SECRET|PASS|CREDENTIAL|_AUTH`)

// environ returns the environment of a tool that is asked.
func (q Question) environ() []string {
	given := q.Environ
	if given == nil {
		given = environ.Child()
	}
	var env []string
	for _, kv := range given {
		name, value, _ := strings.Cut(kv, "=")
		upper := strings.ToUpper(name)
		begins := func(prefix string) bool { return strings.HasPrefix(upper, prefix) }
		switch {
		case name == "PATH": // "." would be the folder that somebody else fills
			list := slices.DeleteFunc(filepath.SplitList(value), func(dir string) bool { return !filepath.IsAbs(dir) })
			env = append(env, "PATH="+strings.Join(list, string(filepath.ListSeparator)))
		case secret.MatchString(upper):
		case slices.ContainsFunc(basic, begins), slices.ContainsFunc(q.Keep, begins):
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C")
}

// folder makes an empty folder and returns where a tool is asked: in it, or in / when others may
// write above it. cargo and npm read the configuration of every folder above their own; so it is
// not below a home either, whose settings count only for projects there.
func folder() (dir, at string, err error) {
	const name = "overland-ask-"
	for _, base := range []string{os.TempDir(), os.Getenv("XDG_RUNTIME_DIR"), "/run"} {
		if !ours(base) {
			continue
		}
		if dir, err := os.MkdirTemp(base, name); err == nil {
			return dir, dir, nil
		}
	}
	dir, err = os.MkdirTemp("", name)
	return dir, "/", err
}

// ours reports whether only root and this user may write to dir and what is above it.
func ours(dir string) bool {
	if !filepath.IsAbs(dir) {
		return false
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return false
		}
		const others = 0o022
		if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != 0 && int(s.Uid) != os.Geteuid() || info.Mode()&others != 0 {
			return false
		}
		up := filepath.Dir(dir)
		if up == dir {
			return true
		}
		dir = up
	}
}

// ProjectFiles returns the bytes of the files called name, slash-separated, that stand in dir and
// in the folders above it that belong to the same repository, the nearest first. They are what a
// project says, to be read as data, at most limit bytes each: one that is longer, or not a
// regular file, is left out. dir "" = nothing.
func ProjectFiles(dir, name string, limit int64) [][]byte {
	if dir == "" {
		return nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	var list [][]byte
	for _, dir := range repository(dir) {
		if b, err := fsx.ReadFile(filepath.Join(dir, filepath.FromSlash(name)), limit); err == nil {
			list = append(list, b)
		}
	}
	return list
}

// repository returns dir and the folders above it, up to the one that holds .git; dir alone
// when none does: what is above a folder in no repository may be anybody's.
func repository(dir string) []string {
	var list []string
	for at := dir; ; at = filepath.Dir(at) {
		list = append(list, at)
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return list
		}
		if at == filepath.Dir(at) {
			return []string{dir}
		}
	}
}
