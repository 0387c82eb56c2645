package golang

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goversion "go/version"
	"os/exec"
	"regexp"
	"slices"
	"time"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/procgroup"
)

// host is the machine's own Go, and the caller's settings for fetching.
type host struct {
	command string
	env     []string // the caller's environment without what belongs to Go or to a C compiler
	Go      goEnv
}

// goEnv is what the machine's Go command says about itself. The caller may have set
// these by variables or by go env -w.
type goEnv struct {
	GOVERSION, GOHOSTOS, GOHOSTARCH, GOPATH, GOMODCACHE                                 string
	GOPROXY, GOSUMDB, GONOSUMDB, GONOPROXY, GOPRIVATE, GOINSECURE, GOAUTH, GOVCS, GOENV string
}

// ownedByGo matches the variables that would change a build, or belong to Overland. Not those of
// others that begin alike (GOOGLE_…).
var ownedByGo = regexp.MustCompile(`^(GO[A-Z0-9]+|CGO_[A-Z_]+|GO_[A-Z_]+|GIT_HTTP_USER_AGENT|CC|CXX|OVERLAND_[A-Z_]+)=`)

// machine returns the host, asked once.
func (b *Builder) machine(ctx context.Context) (*host, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.host != nil {
		return b.host, nil
	}
	command, err := exec.LookPath(cmp.Or(b.o.Go, "go"))
	if err != nil {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "Go is not on this machine: %w", err),
			"install Go 1.21 or newer; it fetches the toolchain that each build asks for")
	}
	h := &host{command: command}
	out, err := tool.Ask(ctx, tool.Question{
		Argv: []string{command, "env", "-json"}, Keep: []string{"GO"}, Environ: b.o.Env,
		Set: []string{"GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS="},
	})
	if err != nil {
		return nil, fmt.Errorf("ask Go for its settings: %w", err)
	}
	if err := json.Unmarshal(out, &h.Go); err != nil {
		return nil, fmt.Errorf("ask Go for its settings: %w", err)
	}
	// Before 1.21 the Go command does not insist on verifying toolchains.
	if v := h.Go.GOVERSION; goversion.IsValid(v) && goversion.Compare(v, "go1.21") < 0 {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s is %s: too old to fetch toolchains", command, v), "install Go 1.21 or newer")
	}
	if b.o.ModCache != "" {
		h.Go.GOMODCACHE = b.o.ModCache
	}
	for _, v := range b.o.Env {
		if !ownedByGo.MatchString(v) {
			h.env = append(h.env, v)
		}
	}
	b.host = h
	return h, nil
}

// fetchEnv is the environment of commands that may use the network: the caller's own (its proxies,
// certificates, credentials), with Go's settings as the caller's Go has them. All that they fetch
// is verified, so this cannot change a result. GOPATH holds the newest tree of the checksum
// database that this caller has seen: a replay must see only the recorded one.
func (h *host) fetchEnv() []string {
	g := h.Go
	return append(slices.Clone(h.env), "GOENV=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GO111MODULE=on", "CGO_ENABLED=0",
		"GOPATH="+g.GOPATH, "GOMODCACHE="+g.GOMODCACHE, "GOPROXY="+g.GOPROXY, "GOSUMDB="+g.GOSUMDB, "GONOSUMDB="+g.GONOSUMDB,
		"GONOPROXY="+g.GONOPROXY, "GOPRIVATE="+g.GOPRIVATE, "GOINSECURE="+g.GOINSECURE, "GOAUTH="+g.GOAUTH, "GOVCS="+g.GOVCS)
}

// maxSaid is how many bytes of a command's output are kept: enough for the list of a program's
// packages with their files.
const maxSaid = 64 << 20

// runError is a command that failed, with its output.
type runError struct {
	verb string
	out  []byte // stdout, for commands that explain themselves there
	said string // stderr
	err  error
}

func (e *runError) Error() string { return fmt.Sprintf("%s: %v: %s", e.verb, e.err, e.said) }
func (e *runError) Unwrap() error { return e.err }

// run returns what a command prints on stdout. The command and everything
// that it starts end when ctx does.
func run(ctx context.Context, dir string, env []string, command string, args ...string) ([]byte, error) {
	cmd := procgroup.Command(ctx, 5*time.Second, append(slices.Clone(env), "PWD="+dir), command, args...)
	cmd.Dir = dir
	stdout, stderr := &fsx.Beginning{Most: maxSaid}, &fsx.Beginning{Most: maxSaid}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], ctx.Err())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, &runError{verb: "go " + args[0], out: stdout.Bytes(), said: stderr.String(), err: err}
	}
	return stdout.Bytes(), err
}
