package cli_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/spf13/cobra"

	"overland/internal/cli"
	"overland/internal/errs"
)

// run runs the program in dir's site with args, and returns the exit code and both streams.
func run(ctx context.Context, env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, msg lockedBuffer
	code = cli.Run(ctx, cli.Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &msg,
		Getenv: func(name string) string { return env[name] },
	})
	return code, out.String(), msg.String()
}

// lockedBuffer is a buffer that may be written by several goroutines at once, as a file may.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestHelp holds what every verb's help must have: one line, one paragraph, examples of itself.
func TestHelp(t *testing.T) {
	for _, c := range cli.AllVerbs(cli.Tree())[1:] {
		if c.Example == "" && c.HasSubCommands() {
			continue
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || strings.Contains(c.Short, "\n") {
			t.Errorf("%s: its line is %q", c.CommandPath(), c.Short)
		}
		if !strings.HasSuffix(c.Long, ".") || strings.Contains(c.Long, "\n\n") {
			t.Errorf("%s: %q is not one paragraph", c.CommandPath(), c.Long)
		}
		for line := range strings.Lines(c.Example) {
			if !strings.HasPrefix(line, c.CommandPath()) {
				t.Errorf("%s: example %q is of another verb", c.CommandPath(), line)
			}
		}
	}
}

func TestHelpNamesTheExitCodes(t *testing.T) {
	code, out, _ := run(t.Context(), nil, "--help")
	if code != 0 || !strings.Contains(out, errs.ExitCodes) {
		t.Errorf("exit code %d, help %q", code, out)
	}
}

// TestReferenceIsCurrent fails when the tree has changed and go generate was not run.
func TestReferenceIsCurrent(t *testing.T) {
	for name, want := range map[string][]byte{"cli.md": cli.Reference(), "exit-codes.md": cli.ExitCodes()} {
		got, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/reference/%s is not what the tree says (%v): go generate ./internal/cli", name, err)
		}
	}
}

func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if code, _, msg := run(t.Context(), nil, "man", "--dir", dir); code != 0 {
		t.Fatal(msg)
	}
	b, err := os.ReadFile(filepath.Join(dir, "overland-channel-show.1"))
	if err != nil || !strings.HasPrefix(string(b), ".TH OVERLAND\\-CHANNEL\\-SHOW 1 ") {
		t.Errorf("page %q, %v", b, err)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, msg := run(t.Context(), nil, "completion", shell); code != 0 || !strings.Contains(out, "overland") {
			t.Errorf("%s: exit code %d %s", shell, code, msg)
		}
	}
}

// TestExamples runs every example of every verb's help, each verb in a copy of a site that has
// releases of the application wallet on the channels staging and live, keys and a volume.
func TestExamples(t *testing.T) {
	site, versions := newSite(t)
	t.Run("names-are-completed", func(t *testing.T) { completesNames(t, site, versions) })
	for _, c := range cli.AllVerbs(cli.Tree())[1:] {
		if c.Example == "" {
			continue
		}
		t.Run(strings.ReplaceAll(c.CommandPath(), " ", "-"), func(t *testing.T) { runExamples(t, site, versions, c) })
	}
}

func runExamples(t *testing.T, site string, versions []string, c *cobra.Command) {
	work := filepath.Join(t.TempDir(), "work")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", site, work).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Chdir(filepath.Join(work, "wallet"))
	env := siteEnv(work)
	_, fingerprint, _ := run(t.Context(), env, "trust", "show", "--json")
	_, fingerprint, _ = strings.Cut(fingerprint, `"fingerprint": "`)
	fingerprint, _, _ = strings.Cut(fingerprint, `"`)
	prepareFor(t, env, c.CommandPath())
	replaced := []string{"sha256:PIN", "sha256:" + strings.Repeat("0", 64), "FINGERPRINT", fingerprint}
	switch c.CommandPath() {
	case "overland rebuild", "overland image save":
		versions = []string{headVersion(t)} // what was made ready
	case "overland image push":
		versions = []string{headVersion(t)}
		s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		t.Cleanup(s.Close)
		replaced = append(replaced, "127.0.0.1:8443", s.Listener.Addr().String())
	}
	replaced = append(replaced, "r412.abcdef012345", versions[0], "r411.0123456789ab", versions[len(versions)-1])
	lines := slices.Collect(strings.Lines(c.Example))
	for i, line := range lines {
		line = strings.NewReplacer(replaced...).Replace(strings.TrimSpace(line))
		args := strings.Fields(line)[1:]
		switch c.CommandPath() {
		case "overland init":
			args = append(args, "--yes")
		case "overland trust init":
			// Its examples are ways to begin where nothing is.
			for _, dir := range []string{"trust", "keys"} {
				if err := os.RemoveAll(filepath.Join(env["OVERLAND_HOME"], dir)); err != nil {
					t.Fatal(err)
				}
			}
		case "overland rollback":
			// Each of its examples is the first; one is for a channel of two signers.
			if slices.Contains(args, "--alone") {
				args = append(args, "--yes")
				for _, words := range []string{
					"trust add-signer channel/live alice", "trust add-signer channel/live bob --threshold 2",
				} {
					if code, _, msg := run(t.Context(), env, strings.Fields(words)...); code != 0 {
						t.Fatal(msg)
					}
				}
			}
			if code, _, msg := run(t.Context(), env, "promote", "wallet@"+versions[1], "--to", "live"); code != 0 {
				t.Fatal(msg)
			}
		}
		ctx := t.Context()
		if c.CommandPath() == "overland site run" || c.CommandPath() == "overland registry serve" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
			runUntilPrinted(t, ctx, cancel, env, args)
			continue
		}
		want := 0
		if c.CommandPath() == "overland trust doctor" {
			want = errs.Partial.Exit() // the keys of a test are in the clear
		}
		if i == len(lines)-1 && c.CommandPath() != "overland open" { // whose output is git's
			runIntoTheVoid(t, ctx, env, want, args)
			continue
		}
		if code, _, msg := run(ctx, env, args...); code != want {
			t.Errorf("%s\nexit code %d: %s", line, code, msg)
		}
	}
}

// runIntoTheVoid runs args with an output that takes nothing. Where a result is printed, its loss must
// be the one thing that the verb complains of; a verb that fails by itself, with want, may say its own.
func runIntoTheVoid(t *testing.T, ctx context.Context, env map[string]string, want int, args []string) {
	t.Helper()
	var out void
	var msg bytes.Buffer
	code := cli.Run(ctx, cli.Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &msg, Getenv: func(name string) string { return env[name] },
	})
	lost := strings.Contains(msg.String(), "print the result: no space left on device · hint: ")
	if out.tried && (want == 0 || lost) {
		want = 1
	} else {
		lost = !lost
	}
	if code != want || !lost {
		t.Errorf("%v > /dev/full: exit code %d, want %d (wrote: %t): %s", args, code, want, out.tried, &msg)
	}
}

// void is a full disk.
type void struct{ tried bool }

func (v *void) Write([]byte) (int, error) {
	v.tried = true
	return 0, syscall.ENOSPC
}

// TestS1AnOutputThatCannotBeWritten: whatever prints, a result that went nowhere is not exit 0.
func TestS1AnOutputThatCannotBeWritten(t *testing.T) {
	env := map[string]string{"OVERLAND_HOME": t.TempDir()}
	for _, line := range []string{"--version", "version", "version --json", "help", "help build", "completion bash", "completion zsh", "completion fish", "completion powershell", "__complete bu"} {
		runIntoTheVoid(t, t.Context(), env, 0, strings.Fields(line))
	}
	for _, c := range cli.AllVerbs(cli.Tree()) {
		runIntoTheVoid(t, t.Context(), env, 0, append(strings.Fields(c.CommandPath())[1:], "--help"))
	}
}

// prepareFor brings about what the examples of a verb take for granted.
func prepareFor(t *testing.T, env map[string]string, verb string) {
	t.Helper()
	must := func(args ...string) {
		if code, _, msg := run(t.Context(), env, args...); code != 0 {
			t.Fatalf("%v: %s", args, msg)
		}
	}
	if strings.HasPrefix(verb, "overland netcache ") {
		newNetcache(t, env)
	}
	switch verb {
	case "overland site run", "overland site certificate":
		must("site", "init", "site")
		must("site", "init", "copy")
	case "overland cache freeze", "overland cache offline":
		must("site", "init", env["OVERLAND_HOME"])
	case "overland netcache audit":
		must("site", "init", env["OVERLAND_HOME"])
		must("cache", "offline", "off")
	case "overland registry list", "overland registry accounts", "overland registry add-account":
		must("site", "init", env["OVERLAND_HOME"])
	case "overland registry remove-account":
		must("site", "init", env["OVERLAND_HOME"])
		must("registry", "add-account", "ci", "--push", "staging/wallet")
	case "overland cache freezes", "overland cache thaw":
		must("site", "init", env["OVERLAND_HOME"])
		must("cache", "freeze", "tuesday")
	}
	if strings.HasPrefix(verb, "overland binary ") {
		newNetcache(t, env)
		if err := os.MkdirAll(filepath.Join("software", "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		must("binary", "upload", "software", "--url", "https://origin.example/raw/1.0/software.cfg")
	}
	switch verb {
	case "overland record", "overland replay": // of a package that takes no compiled runtime
		if err := errors.Join(os.Remove("main.go"), os.WriteFile("wallet.go", []byte("package wallet\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	switch verb {
	case "overland release remove":
		for _, channel := range []string{"staging", "live"} {
			must("channel", "remove", "wallet", "--from", channel)
		}
	case "overland replay", "overland lock verify", "overland lock update", "overland lock diff", "overland lock prune":
		must("record", "--", "go", "mod", "download")
	case "overland build":
		pictured(t)
	case "overland pipeline plan", "overland pipeline run":
		committed(t, map[string]string{"overland.yaml": "overland: 1\nname: wallet\nartifacts: {wallet: {go: .}}\npipelines: {ci: {unit: {run: [cp, main.go, out], keep: [out]}}}\n"})
	case "overland image save", "overland image push":
		pictured(t)
		must("release")
		certificate(t, "site.pem")
	case "overland package publish":
		packaged(t)
		must("release")
		must("promote", "wallet@"+headVersion(t), "--to", "live")
		must("key", "new", "packages")
	case "overland registry serve":
		pictured(t)
		must("seal", "-o", "../pictured.volume")
		if err := os.Rename("../pictured.volume", "live.volume"); err != nil {
			t.Fatal(err)
		}
	case "overland open", "overland rebuild":
		openable(t, env, must)
	case "overland key new":
		removeKey(t, env, "alice")
	case "overland trust add-signer", "overland trust remove-signer":
		must("trust", "add-signer", "channel/live", "bob")
		data, err := os.ReadFile(filepath.Join(env["OVERLAND_HOME"], "keys", "alice.pub"))
		if err == nil {
			err = os.WriteFile("alice.pub", data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	case "overland trust sign", "overland trust unstage", "overland trust payload", "overland trust add-signature":
		must("trust", "add-signer", "channel/live", "alice")
		must("trust", "add-signer", "channel/live", "bob", "--threshold", "2")
		key := filepath.Join(env["OVERLAND_HOME"], "keys", "bob.key")
		if err := os.Rename(key, key+".away"); err != nil {
			t.Fatal(err)
		}
		if code, _, msg := run(t.Context(), env, "rollback", "live", "wallet"); code != errs.Partial.Exit() {
			t.Fatalf("exit code %d: %s", code, msg)
		}
		if err := os.Rename(key+".away", key); err != nil {
			t.Fatal(err)
		}
		if verb == "overland trust add-signature" {
			must("trust", "payload", "channel/live", "--out", "live.json")
			signFile(t, key, "live.json", "live.sig")
			if err := os.Rename(strings.TrimSuffix(key, ".key")+".pub", "bob.pub"); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// certificate writes the certificate of some server to path.
func certificate(t *testing.T, path string) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func removeKey(t *testing.T, env map[string]string, name string) {
	t.Helper()
	for _, ending := range []string{".key", ".pub"} {
		if err := os.Remove(filepath.Join(env["OVERLAND_HOME"], "keys", name+ending)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// runUntilPrinted runs a verb that goes on until it is stopped, and stops it when
// it has printed its first line.
func runUntilPrinted(t *testing.T, ctx context.Context, stop func(), env map[string]string, args []string) {
	t.Helper()
	out := &firstWrite{done: stop}
	cli.Run(ctx, cli.Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: out, Stderr: &lockedBuffer{},
		Getenv: func(name string) string { return env[name] },
	})
	want := map[bool]string{true: "https://127.0.0.1:", false: "127.0.0.1:"}[args[0] == "site"] // an image has no scheme
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("%v printed %q", args, out.String())
	}
}

// firstWrite calls done at each write to it.
type firstWrite struct {
	lockedBuffer
	done func()
}

func (w *firstWrite) Write(p []byte) (int, error) {
	defer w.done()
	return w.lockedBuffer.Write(p)
}

func siteEnv(work string) map[string]string {
	return map[string]string{
		"OVERLAND_HOME": filepath.Join(work, "home"), "OVERLAND_AGENTS": filepath.Join(work, "agents"), "OVERLAND_COMPILED": compiled(),
	}
}

// madeVersions are the versions of the site that newSite made.
var madeVersions []string

// newSite returns a folder, which all tests share and none changes, with wallet/ (a repository of
// two commits), home/ and agents/, and the two versions.
func newSite(t *testing.T) (dir string, versions []string) {
	t.Helper()
	dir = filepath.Join(shared, "site")
	if madeVersions != nil {
		return dir, madeVersions
	}
	repo, agent := filepath.Join(dir, "wallet"), filepath.Join(dir, "agents", "linux-amd64", "overland-agent")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	must := func(args ...string) string {
		t.Helper()
		code, out, msg := run(t.Context(), siteEnv(dir), args...)
		if code != 0 {
			t.Fatalf("%v: %s", args, msg)
		}
		return out
	}
	write(agent, "#!/bin/sh\n")
	write(filepath.Join(repo, "go.mod"), "module example.org/wallet\n\ngo 1.26.0\n\ntoolchain go1.26.8\n")
	write(filepath.Join(repo, "overland.lock"), "overland.lock 1\n")
	write(filepath.Join(repo, "overland.yaml"), "overland: 1\nname: wallet\nartifacts:\n  wallet:\n    go: .\n    platforms: [linux/amd64]\n"+
		"services:\n  wallet:\n    artifact: wallet\n    runtime: process\n")
	must("trust", "init")
	must("key", "new", "alice")
	must("key", "new", "bob")
	for i, text := range []string{"one", "two"} {
		write(filepath.Join(repo, "main.go"), "package main\n\nfunc main() { println(\""+text+"\") }\n")
		if i == 0 {
			git("init", "-q")
		}
		git("add", "-A")
		git("commit", "-q", "-m", text)
		ref := strings.TrimSpace(must("release", repo))
		versions = append(versions, strings.TrimPrefix(ref, "wallet@"))
		must("promote", ref, "--to", "staging")
		must("promote", "--from", "staging", "--to", "live")
	}
	must("seal", "--channel", "live", "--with-inputs", "-o", filepath.Join(repo, "live.volume"))
	madeVersions = versions
	return dir, versions
}

func TestAnInterruptEndsWith130(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env := map[string]string{"OVERLAND_HOME": t.TempDir()}
	if code, _, msg := run(ctx, env, "build", "."); code != errs.Cancelled.Exit() || !strings.Contains(msg, "stopped · hint: ") {
		t.Errorf("exit code %d: %s", code, msg)
	}
}

// signFile puts an ed25519 signature over the file in, by the key file key, into out.
func signFile(t *testing.T, key, in, out string) {
	t.Helper()
	b, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(in); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, ed25519.Sign(parsed.(ed25519.PrivateKey), b), 0o600); err != nil {
		t.Fatal(err)
	}
}
