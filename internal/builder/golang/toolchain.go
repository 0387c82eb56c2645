package golang

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goversion "go/version"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"

	"overland/internal/builder"
	"overland/internal/errs"
)

// firstModule is the first Go that exists as a module.
const firstModule = "go1.21.0"

var exact = regexp.MustCompile(`^go1\.\d{1,4}(\.\d{1,4}|rc\d{1,2}|beta\d{1,2})$`)

// wanted returns the toolchain for the module in dir, and the go.work that holds it ("" = none).
// The toolchain is the one that the artifact names, else the newer of the toolchain and go lines of
// go.work or go.mod, else (none, or older than 1.21) the machine's own Go.
func (b *Builder) wanted(ctx context.Context, j builder.Job, g *Program, dir string) (toolchain, workspace string, err error) {
	mod := path.Join(dir, "go.mod")
	text, err := j.ReadFile(ctx, mod)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", errs.Hint(errs.Errorf(errs.NotFound, "%s is not in %s", mod, j.Commit.Version),
			"commit it, or say where the module is: go: {package: %s, dir: FOLDER}", g.Package)
	}
	if err != nil {
		return "", "", err
	}
	asked, err := askedByModule(mod, text)
	if err != nil {
		return "", "", errs.E(errs.Invalid, err)
	}
	for up := dir; ; up = path.Dir(up) {
		name := path.Join(up, "go.work")
		text, err := j.ReadFile(ctx, name)
		if err == nil {
			uses, asks, err := askedByWorkspace(name, text, dir)
			if err != nil {
				return "", "", errs.E(errs.Invalid, err)
			}
			if uses {
				asked, workspace = asks, name
			}
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", "", err
		}
		if up == "." {
			break
		}
	}
	if t := g.Toolchain; t != "" {
		asked = t
	}
	if asked == "" || goversion.Compare(asked, firstModule) < 0 {
		h, err := b.machine(ctx)
		if err != nil {
			return "", "", err
		}
		asked, _, _ = strings.Cut(h.Go.GOVERSION, " ") // "go1.26.8 X:experiment"
		asked, _, _ = strings.Cut(asked, "-")          // a distribution's own
	}
	if asked = complete(asked); !exact.MatchString(asked) {
		return "", "", errs.Hint(errs.Errorf(errs.Invalid, "toolchain %q is not a released Go", asked),
			"write it like go1.26.8, as toolchain in overland.yaml or in %s", mod)
	}
	return asked, workspace, nil
}

// complete returns the first release of a language version: go1.25 → go1.25.0.
func complete(v string) string {
	if goversion.IsValid(v) && goversion.Lang(v) == v {
		return v + ".0"
	}
	return v
}

// askedByModule returns the toolchain that a go.mod asks for, "" when it does not.
func askedByModule(name string, text []byte) (string, error) {
	f, err := modfile.Parse(name, text, nil)
	if err != nil {
		return "", err
	}
	return newer(f.Go, f.Toolchain), nil
}

// askedByWorkspace returns whether a go.work uses the module in dir, and
// the toolchain that it asks for.
func askedByWorkspace(name string, text []byte, dir string) (bool, string, error) {
	f, err := modfile.ParseWork(name, text, nil)
	if err != nil {
		return false, "", err
	}
	for _, use := range f.Use {
		if path.Join(path.Dir(name), filepath.ToSlash(use.Path)) == dir {
			return true, newer(f.Go, f.Toolchain), nil
		}
	}
	return false, "", nil
}

func newer(g *modfile.Go, t *modfile.Toolchain) string {
	asked := ""
	if g != nil {
		asked = complete("go" + g.Version)
	}
	if t != nil && t.Name != "default" && (asked == "" || goversion.Compare(t.Name, asked) > 0) {
		asked = t.Name
	}
	return asked
}

// toolchain returns the folder of a toolchain, fetched when it is not there. The Go command
// verifies it against the checksum database, whatever GONOSUMDB says; when it is in the
// module cache, no network is used.
func (b *Builder) toolchain(ctx context.Context, h *host, version, scratch string, progress func(builder.Step, string)) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock() // one download, for all jobs
	if root, ok := b.toolchains[version]; ok {
		return root, nil
	}
	progress(builder.StepFetch, version)
	dir := filepath.Join(scratch, "toolchain")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// A module of its own, so that no go.mod above the cache applies.
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module overland.invalid/toolchain\n"), 0o600); err != nil {
		return "", err
	}
	module := fmt.Sprintf("golang.org/toolchain@v0.0.1-%s.%s-%s", version, h.Go.GOHOSTOS, h.Go.GOHOSTARCH)
	out, err := run(ctx, dir, append(h.fetchEnv(), "GOWORK=off"), h.command, "mod", "download", "-json", module)
	var ended *runError
	if errors.As(err, &ended) {
		out = ended.out
	} else if err != nil {
		return "", fmt.Errorf("fetch %s: %w", version, err)
	}
	var got struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &got); jsonErr != nil || (got.Dir == "" && got.Error == "") {
		return "", fmt.Errorf("fetch %s: %w", version, errors.Join(err, jsonErr))
	}
	if got.Error != "" {
		return "", notFetched("toolchain "+version, got.Error)
	}
	if err := allowExec(got.Dir); err != nil {
		return "", errs.Hint(fmt.Errorf("make toolchain %s executable: %w", version, err),
			"the module cache belongs to somebody else; set GOMODCACHE to a folder of your own")
	}
	b.toolchains[version] = got.Dir
	return got.Dir, nil
}

// allowExec lets the programs of a toolchain run: a module carries no modes. The Go command does
// the same when it switches to a toolchain (cmd/go/internal/toolchain).
func allowExec(root string) error {
	for _, dir := range []string{"pkg/tool", "bin"} { // bin last: bin/go says that all are done
		if info, err := os.Stat(filepath.Join(root, "bin", "go")); err != nil || info.Mode()&0o111 == 0o111 {
			return err
		}
		err := filepath.WalkDir(filepath.Join(root, filepath.FromSlash(dir)), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			return os.Chmod(path, info.Mode()&0o777|0o111)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
