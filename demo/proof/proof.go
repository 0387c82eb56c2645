package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Options are the settings of the proof.
type Options struct {
	Dir      string // an empty folder, absolute; whoever made it removes it
	Overland string // the program
	Agents   string // folder of agent programs; "" = beside the program
	Compiled string // folder where compiled packages stay between runs; "" = in Dir
	Teahouse string // the application's files
	Command  func(line string)
	Line     func(text string)
	Output   io.Writer // for the output of the programs
}

// Step is one part of the proof. A step needs those before it.
type Step struct {
	Title string
	Do    func(context.Context) error
}

// Steps returns the proof.
func Steps(o Options) []Step {
	p := &proof{Options: o}
	return []Step{
		{"make a repository: a Go server, a front end from npm, files of Debian packages", p.makeRepository},
		{"build it once with a network, and lock all that it fetches", p.record},
		{"release it: built from the lock, without a network", p.release},
		{"seal the release and all its inputs into one file", p.seal},
		{"take everything else away, and build the same bytes from that file", p.open},
		{"change one byte of the file: it is refused", p.tamper},
	}
}

// proof is one run.
type proof struct {
	Options
	digests     map[string]string // of the recorded build, by artifact
	fingerprint string
}

func (p *proof) repository() string { return filepath.Join(p.Dir, "teahouse") }
func (p *proof) site() string       { return filepath.Join(p.Dir, "site") }
func (p *proof) volume() string     { return filepath.Join(p.Dir, "teahouse.volume") }

func (p *proof) makeRepository(ctx context.Context) error {
	for _, tool := range []string{"git", "go", "npm", "apt-get", "dpkg-deb", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	if err := os.CopyFS(p.repository(), os.DirFS(p.Teahouse)); err != nil {
		return err
	}
	if err := p.git(ctx, "init", "--quiet", "--initial-branch=main"); err != nil {
		return err
	}
	return p.commit(ctx, "a tea house")
}

// commit commits the whole folder. Author and time are fixed: every run makes the same commits.
func (p *proof) commit(ctx context.Context, message string) error {
	if err := p.git(ctx, "add", "--all", "--force"); err != nil {
		return err
	}
	return p.git(ctx, "commit", "--quiet", "--message", message)
}

func (p *proof) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = p.repository()
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=demo", "GIT_AUTHOR_EMAIL=demo@localhost", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=demo", "GIT_COMMITTER_EMAIL=demo@localhost", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}

// overland runs the program in the repository, as its owner would.
func (p *proof) overland(ctx context.Context, args ...string) (string, error) {
	p.Command("overland " + strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, p.Overland, args...)
	cmd.Dir = p.repository()
	cmd.Env = append(os.Environ(), "OVERLAND_HOME="+p.site(), "OVERLAND_AGENTS="+p.Agents, "OVERLAND_COMPILED="+p.Compiled,
		"PATH="+filepath.Dir(p.Overland)+":"+os.Getenv("PATH"))
	return p.run(cmd)
}

// run runs cmd and returns what it prints.
func (p *proof) run(cmd *exec.Cmd) (string, error) {
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, p.Output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w", strings.Join(cmd.Args[:2], " "), err)
	}
	return out.String(), nil
}

// result is what overland build prints with --json.
type result struct {
	App, Version string
	Programs     []struct{ Name, Digest string }
}

func (r result) digests() map[string]string {
	m := map[string]string{}
	for _, a := range r.Programs {
		m[a.Name] = a.Digest
	}
	return m
}

func (p *proof) record(ctx context.Context) error {
	out, err := p.overland(ctx, "record", "--", "overland", "build", "--json")
	if err != nil {
		return err
	}
	var r result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return err
	}
	p.digests = r.digests()
	lock, err := os.ReadFile(filepath.Join(p.repository(), "overland.lock"))
	if err != nil {
		return err
	}
	for _, want := range []string{"sumdb", "npm-integrity", "apt-openpgp", "apt-release", "apt-index", "golang.org/toolchain/@v/"} {
		n := strings.Count(string(lock), `"`+want)
		if n == 0 {
			return fmt.Errorf("the lock has no %s", want)
		}
		p.Line(fmt.Sprintf("overland.lock: %d × %s", n, want))
	}
	return p.commit(ctx, "lock the inputs")
}

func (p *proof) release(ctx context.Context) error {
	if _, err := p.overland(ctx, "trust", "init"); err != nil {
		return err
	}
	out, err := p.overland(ctx, "trust", "show", "--json")
	if err != nil {
		return err
	}
	var t struct{ Fingerprint string }
	if err := json.Unmarshal([]byte(out), &t); err != nil {
		return err
	}
	p.fingerprint = t.Fingerprint
	if _, err = p.overland(ctx, "release"); err != nil {
		return err
	}
	if out, err = p.overland(ctx, "build", "--json"); err != nil {
		return err
	}
	var r result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return err
	}
	if err := p.same(r.digests()); err != nil {
		return err
	}
	_, err = p.overland(ctx, "promote", r.App+"@"+r.Version, "--to", "live")
	return err
}

// same returns an error when an artifact is not as it was recorded.
func (p *proof) same(got map[string]string) error {
	if len(p.digests) == 0 || len(got) != len(p.digests) {
		return fmt.Errorf("%d artifacts, recorded were %d", len(got), len(p.digests))
	}
	for name, want := range p.digests {
		if got[name] != want {
			return fmt.Errorf("%s is %s, recorded was %s", name, got[name], want)
		}
		p.Line(fmt.Sprintf("%-8s %s, as it was recorded", name, want))
	}
	return nil
}

func (p *proof) seal(ctx context.Context) error {
	if _, err := p.overland(ctx, "seal", "--channel", "live", "--with-inputs", "--platform", "linux/amd64", "-o", p.volume()); err != nil {
		return err
	}
	info, err := os.Stat(p.volume())
	if err != nil {
		return err
	}
	p.Line(fmt.Sprintf("%s: %.1f MiB", filepath.Base(p.volume()), float64(info.Size())/(1<<20)))
	return nil
}

func (p *proof) open(ctx context.Context) error {
	// The repository and the depot are gone; what tools keep in HOME is out of sight.
	away := filepath.Join(p.Dir, "away")
	if err := os.Mkdir(away, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{p.site(), p.repository()} {
		moved := filepath.Join(away, filepath.Base(dir))
		if err := os.Rename(dir, moved); err != nil {
			return err
		}
		defer func() { _ = os.Rename(moved, dir) }()
	}
	out, err := p.nowhere(ctx, "open", p.volume(), "--root", p.fingerprint, "--json")
	if err != nil {
		return err
	}
	var r struct {
		Identical bool
		Artifacts []struct{ Name, Released, Built string }
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return err
	}
	built := map[string]string{}
	for _, a := range r.Artifacts {
		built[a.Name] = a.Built
	}
	if !r.Identical {
		return errors.New("overland open says that it is not identical")
	}
	return p.same(built)
}

func (p *proof) tamper(ctx context.Context) error {
	f, err := os.OpenFile(p.volume(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, info.Size()/2); err != nil {
		return err
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, info.Size()/2); err != nil {
		return err
	}
	const untrusted = 4
	_, err = p.nowhere(ctx, "open", p.volume(), "--root", p.fingerprint)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return errors.New("a volume with another byte was opened")
	case !errors.As(err, &exit) || exit.ExitCode() != untrusted:
		return fmt.Errorf("a volume with another byte: exit code %d was expected: %w", untrusted, err)
	}
	return nil
}
