package golang

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"overland/internal/builder"
	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/progress"
)

// compile is one program for one platform.
type compile struct {
	host     *host
	root     string // GOROOT of the pinned toolchain
	release  string // which that is: "go1.26.8"
	job      builder.Job
	settings settings
	src      string
	scratch  string
	cache    string // of the Go command and the compiler
	confined bool   // they run in cells of their own
}

// prepare makes the folders that the Go command writes to.
func (c compile) prepare() error {
	// Telemetry would start a process of its own that outlives the build.
	mode := filepath.Join(c.scratch, "home", ".config", "go", "telemetry", "mode")
	for _, dir := range []string{filepath.Dir(mode), filepath.Join(c.scratch, "tmp"), filepath.Join(c.scratch, "modules")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.cache, 0o700); err != nil {
		return err
	}
	return os.WriteFile(mode, []byte("off\n"), 0o600)
}

func (c compile) command() string { return filepath.Join(c.root, "bin", "go") }
func (c compile) dir() string     { return filepath.Join(c.src, filepath.FromSlash(c.settings.Dir)) }

// fixed is what both steps share.
func (c compile) fixed() []string {
	work := "off"
	if c.settings.Workspace != "" {
		work = filepath.Join(c.src, filepath.FromSlash(c.settings.Workspace))
	}
	return append(c.job.Platform.GoEnv(), "GOROOT="+c.root, "GOWORK="+work,
		"GOTMPDIR="+filepath.Join(c.scratch, "tmp"))
}

// fetchEnv is the environment of a command that is in no cell of its own, and may use the network.
func (c compile) fetchEnv() []string {
	return append(append(c.host.fetchEnv(), c.fixed()...), "GOCACHE="+c.cache)
}

// compileEnv is the whole environment of what runs in a cell, and of the compiler: nothing from the
// caller, and no network.
func (c compile) compileEnv() []string {
	return append(c.fixed(), "GOCACHE="+c.cache, "PATH="+filepath.Join(c.root, "bin"), "HOME="+filepath.Join(c.scratch, "home"),
		"TMPDIR="+filepath.Join(c.scratch, "tmp"), "GOPATH="+filepath.Join(c.scratch, "gopath"),
		"GOMODCACHE="+c.host.Go.GOMODCACHE, "GOENV=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GO111MODULE=on",
		"CGO_ENABLED=0", "GOPROXY=off", "GOSUMDB=off", "GOVCS=*:off", "LC_ALL=C", "TZ=UTC")
}

// fetch makes sure that the modules of the packages that the program imports on its platform are in
// the module cache, each verified against go.sum, and refuses packages that are made of anything
// else. It returns the packages of the standard library among them.
func (c compile) fetch(ctx context.Context) (std []string, _ error) {
	out, err := c.list(ctx)
	var ended *runError
	if errors.As(err, &ended) {
		return nil, c.notListed(ended.said)
	}
	if err != nil {
		return nil, err
	}
	modules := map[module.Version]string{}
	var cgo []string
	for list := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := list.Decode(&p); {
		case errors.Is(err, io.EOF):
			if len(cgo) > 0 {
				c.job.Note(fmt.Sprintf("cgo is off, so the parts that need it are left out of %s: what they do may fail when it runs",
					progress.Some(cgo)))
			}
			return std, c.verify(ctx, modules)
		case err != nil:
			return nil, fmt.Errorf("what go list says of %s: %w", c.settings.Package, err)
		case !p.DepOnly && p.Name != "main":
			return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s is package %s: not a command", c.settings.Package, p.Name),
				"name the folder of a package main")
		}
		if err := c.check(p); err != nil {
			return nil, err
		}
		if p.Standard {
			std = append(std, p.ImportPath)
		}
		if c.needsCgo(p) {
			cgo = append(cgo, p.ImportPath)
		}
		if m := p.Module; m != nil {
			if m.Replace != nil {
				m = m.Replace
			}
			if m.Version != "" && !lies(c.src, p.Dir) { // what is vendored is the commit's
				modules[module.Version{Path: m.Path, Version: m.Version}] = m.Dir
			}
		}
	}
}

// list returns what the commit's Go command says of the program's packages, in JSON. It reads what
// strangers wrote and is of the release that they chose, so it runs in a cell without a network.
// When the module cache lacks something, another cell, whose modules are thrown away, tells
// which modules that is, and they are brought from outside of it.
func (c compile) list(ctx context.Context) ([]byte, error) {
	argv := []string{c.command(), "list", "-deps", "-buildvcs=false", listed}
	if len(c.settings.Tags) > 0 {
		argv = append(argv, "-tags="+strings.Join(c.settings.Tags, ","))
	}
	argv = append(argv, c.settings.Package)
	if !c.confined {
		return run(ctx, c.dir(), c.fetchEnv(), argv[0], argv[1:]...)
	}
	out, err := c.inCell(ctx, c.cell(argv))
	var ended *runError
	if !errors.As(err, &ended) || c.lacking(ended.said) != nil {
		return out, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(c.scratch), "modules-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	m, err := newModules(ctx, c, dir)
	if err != nil {
		return nil, err
	}
	o, stop := c.cell(argv), func() {}
	o.Listen = func(l net.Listener) ([]string, error) {
		stop = m.serve(ctx, l)
		return []string{
			"GOPROXY=http://" + l.Addr().String(), "GOFLAGS=-modcacherw", "GOMODCACHE=" + filepath.Join(c.scratch, "modules"),
		}, nil
	}
	out, err = c.inCell(ctx, o)
	stop()
	if failed := m.failed(); err != nil && failed != nil && ctx.Err() == nil {
		return nil, failed
	}
	if err != nil {
		return out, err
	}
	return c.inCell(ctx, c.cell(argv))
}

// build compiles, and returns the program's file.
func (c compile) build(ctx context.Context) (string, error) {
	file := filepath.Join(c.scratch, "out", c.job.Name)
	flags, err := ldflags(c.settings.Vars)
	if err != nil {
		return "", err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=" + flags, "-o", file}
	if len(c.settings.Tags) > 0 {
		args = append(args, "-tags="+strings.Join(c.settings.Tags, ","))
	}
	err = c.run(ctx, append([]string{c.command()}, append(args, c.settings.Package)...))
	var ended *runError
	if errors.As(err, &ended) {
		return "", errs.Hint(errs.Errorf(errs.Invalid, "it does not compile:\n%s", c.tidy(ended.said)),
			"mend it and commit; %s shows the same", c.same())
	}
	if err != nil {
		return "", err
	}
	return file, nil
}

// same returns the command with which a person sees what this build has seen. cgo is off in it.
func (c compile) same() string {
	words := []string{"CGO_ENABLED=0"}
	if env := c.job.Platform.GoEnv(); runtime.GOOS != "linux" || !slices.Contains(env, "GOARCH="+runtime.GOARCH) {
		words = append(words, env...)
	}
	words = append(words, "go", "build")
	if path.Clean(c.settings.Dir) != "." {
		words = append(words, "-C", c.settings.Dir)
	}
	if len(c.settings.Tags) > 0 {
		words = append(words, "-tags="+strings.Join(c.settings.Tags, ","))
	}
	return strings.Join(append(words, c.settings.Package), " ")
}

// run runs the compiler.
func (c compile) run(ctx context.Context, argv []string) error {
	if !c.confined {
		_, err := run(ctx, c.dir(), c.compileEnv(), argv[0], argv[1:]...)
		return err
	}
	_, err := c.inCell(ctx, c.cell(argv))
	return err
}

// cell returns how argv runs: where it sees the checkout, the toolchain and the modules, may write to
// the folders of this build and the application's cache, and reaches no network.
func (c compile) cell(argv []string) cell.Options {
	return cell.Options{
		Command: argv, Environ: append(c.compileEnv(), "PWD="+c.dir()), Dir: c.dir(),
		Own: []string{c.scratch, c.cache}, Read: []string{c.src, c.root, c.host.Go.GOMODCACHE}, Tmp: filepath.Join(c.scratch, "tmp"),
		Limits: cell.Limits(confine.Limits{}, c.scratch),
	}
}

// inCell runs a Go command in a cell, and returns what it prints on stdout.
func (c compile) inCell(ctx context.Context, o cell.Options) ([]byte, error) {
	stdout, stderr := &fsx.Beginning{Most: maxSaid}, &fsx.Beginning{Most: maxSaid}
	o.Stdout, o.Stderr = stdout, stderr
	exit, _, err := cell.Run(ctx, o)
	verb := "go " + o.Command[1]
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", verb, ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("%s: %w", verb, err)
	case exit.Code != 0:
		return nil, &runError{verb: verb, said: stderr.String(), err: fmt.Errorf("exit code %d", exit.Code)}
	}
	return stdout.Bytes(), nil
}

// ldflags returns the linker's flags; each value of a variable is quoted
// as the Go command reads it back.
func ldflags(vars []string) (string, error) {
	flags := "-s -w -buildid="
	for _, v := range vars {
		quote := "'"
		if strings.Contains(v, quote) {
			quote = `"`
		}
		if strings.Contains(v, quote) || strings.ContainsAny(v, "\n\x00") {
			return "", errs.Errorf(errs.Invalid, "vars: %q: both kinds of quotes, or a line end, cannot be passed on", v)
		}
		flags += " -X " + quote + v + quote
	}
	return flags, nil
}

// maxLines is how many lines of a compiler's output a person is shown.
const maxLines = 20

// chatter matches what the Go command says while it works, which pushes the reason out of sight.
var chatter = regexp.MustCompile(`(?m)^go: (downloading|finding|extracting|added|found) .*(\n|$)`)

// tidy returns the first lines of a Go command's output that say what is wrong, without the folder of
// the checkout.
func (c compile) tidy(said string) string {
	said = strings.ReplaceAll(said, c.src+string(filepath.Separator), "")
	said = strings.ReplaceAll(said, c.src, "the commit")
	if rest := chatter.ReplaceAllString(said, ""); strings.TrimSpace(rest) != "" {
		said = rest
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if more := len(lines) - maxLines; more > 0 {
		lines = append(lines[:maxLines:maxLines], fmt.Sprintf("… and %d lines more", more))
	}
	return strings.Join(lines, "\n")
}
