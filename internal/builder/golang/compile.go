package golang

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"overland/internal/builder"
	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// compile is one program for one platform.
type compile struct {
	host     *host
	root     string // GOROOT of the pinned toolchain
	job      builder.Job
	settings settings
	src      string
	scratch  string
	cache    string // of the compiler

	listCache string // of the command that lists packages
	confined  bool
}

// prepare makes the folders that the Go command writes to.
func (c compile) prepare() error {
	// Telemetry would start a process of its own that outlives the build.
	mode := filepath.Join(c.scratch, "home", ".config", "go", "telemetry", "mode")
	for _, dir := range []string{filepath.Dir(mode), filepath.Join(c.scratch, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{c.listCache, c.cache} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
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

// fetchEnv is the environment of commands that may use the network.
func (c compile) fetchEnv() []string {
	return append(append(c.host.fetchEnv(), c.fixed()...), "GOCACHE="+c.listCache)
}

// compileEnv is the whole environment of the compiler: nothing from the caller, and no network.
func (c compile) compileEnv() []string {
	return append(c.fixed(), "GOCACHE="+c.cache, "PATH="+filepath.Join(c.root, "bin"), "HOME="+filepath.Join(c.scratch, "home"),
		"TMPDIR="+filepath.Join(c.scratch, "tmp"), "GOPATH="+filepath.Join(c.scratch, "gopath"),
		"GOMODCACHE="+c.host.Go.GOMODCACHE, "GOENV=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GO111MODULE=on",
		"CGO_ENABLED=0", "GOPROXY=off", "GOSUMDB=off", "GOVCS=*:off", "LC_ALL=C", "TZ=UTC")
}

// fetch downloads the modules of the packages that the program imports on its
// platform, each verified against go.sum.
func (c compile) fetch(ctx context.Context) error {
	args := []string{"list", "-deps", "-buildvcs=false", listed}
	if len(c.settings.Tags) > 0 {
		args = append(args, "-tags="+strings.Join(c.settings.Tags, ","))
	}
	out, err := run(ctx, c.dir(), c.fetchEnv(), c.command(), append(args, c.settings.Package)...)
	var ended *runError
	if errors.As(err, &ended) {
		if lacks := c.lacking(ended.said); lacks != nil {
			return lacks
		}
		return notFetched("modules of "+c.settings.Package, c.tidy(ended.said))
	}
	if err != nil {
		return err
	}
	for list := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := list.Decode(&p); {
		case errors.Is(err, io.EOF):
			return c.verify(ctx)
		case err != nil:
			return fmt.Errorf("what go list says of %s: %w", c.settings.Package, err)
		case !p.DepOnly && p.Name != "main":
			return errs.Hint(errs.Errorf(errs.Invalid, "%s is package %s: not a command", c.settings.Package, p.Name),
				"name the folder of a package main")
		}
		if err := c.check(p); err != nil {
			return err
		}
	}
}

// verify compares, for a build from nothing, the modules in the module cache, as they are unpacked
// there, with what was downloaded.
func (c compile) verify(ctx context.Context) error {
	if !c.job.Fresh {
		return nil
	}
	_, err := run(ctx, c.dir(), c.fetchEnv(), c.command(), "mod", "verify")
	var ended *runError
	if errors.As(err, &ended) {
		return errs.Hint(errs.Errorf(errs.Untrusted, "the module cache was changed:\n%s", c.tidy(ended.said)), "go clean -modcache, then build again")
	}
	return err
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
			"mend it and commit; go build %s shows the same", c.settings.Package)
	}
	if err != nil {
		return "", err
	}
	return file, nil
}

// run runs the compiler: where it sees the checkout, the toolchain and the modules, may write to
// the folders of this build and the application's cache, and reaches no network.
func (c compile) run(ctx context.Context, argv []string) error {
	if !c.confined {
		_, err := run(ctx, c.dir(), c.compileEnv(), argv[0], argv[1:]...)
		return err
	}
	said := &fsx.Beginning{Most: maxSaid}
	exit, _, err := cell.Run(ctx, cell.Options{
		Command: argv, Environ: append(c.compileEnv(), "PWD="+c.dir()), Dir: c.dir(),
		Own: []string{c.scratch, c.cache}, Read: []string{c.src, c.root, c.host.Go.GOMODCACHE}, Tmp: filepath.Join(c.scratch, "tmp"),
		Stdout: io.Discard, Stderr: said, Limits: cell.Limits(confine.Limits{}, c.scratch),
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("go %s: %w", argv[1], ctx.Err())
	case err != nil:
		return fmt.Errorf("go %s: %w", argv[1], err)
	case exit.Code != 0:
		return &runError{verb: "go " + argv[1], said: said.String(), err: fmt.Errorf("exit code %d", exit.Code)}
	}
	return nil
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

// tidy returns the first lines of a Go command's output, without the folder of the checkout.
func (c compile) tidy(said string) string {
	said = strings.ReplaceAll(strings.TrimSpace(said), c.src+string(filepath.Separator), "")
	lines := strings.Split(said, "\n")
	if more := len(lines) - maxLines; more > 0 {
		lines = append(lines[:maxLines:maxLines], fmt.Sprintf("… and %d lines more", more))
	}
	return strings.Join(lines, "\n")
}
