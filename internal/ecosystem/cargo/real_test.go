package cargo_test

import (
	"bytes"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"overland/internal/ecosystem/cargo"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/testkit/pack"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// packaged returns the crate that cargo package makes.
func packaged(t *testing.T, name, version string) pack.Crate {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{"Cargo.toml": pack.Manifest(name, version), "src/lib.rs": "pub const WORD: &str = \"" + name + "\";\n"})
	cmd := exec.CommandContext(t.Context(), "cargo", "package", "--quiet", "--offline", "--no-verify", "--allow-dirty")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CARGO_HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cargo package: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "target", "package", name+"-"+version+".crate"))
	if err != nil {
		t.Fatal(err)
	}
	return pack.Crate{Name: name, Version: version, Bytes: b}
}

// fetch runs the real cargo fetch of a project that needs tea, with an empty CARGO_HOME, through k;
// it returns what came of tea and of milk, which tea needs.
func fetch(t *testing.T, p *cargo.Protocol, k record.Getter, needs ...string) (string, string, error) {
	t.Helper()
	srv := httptest.NewServer(record.Handler(k, p))
	defer srv.Close()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"Cargo.toml": pack.Manifest("p", "0.1.0", needs...), "src/lib.rs": "",
		"home/config.toml": "[source.crates-io]\nreplace-with = \"overland\"\n[source.overland]\nregistry = \"sparse+" + srv.URL + "/cargo/\"\n",
	})
	cmd := exec.CommandContext(t.Context(), "cargo", "fetch", "--quiet")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CARGO_HOME="+filepath.Join(dir, "home"), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "CARGO_NET_RETRY=0")
	out, err := cmd.CombinedOutput()
	found, _ := filepath.Glob(filepath.Join(dir, "home", "registry", "src", "*", "*", "src", "lib.rs"))
	text := ""
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	return text, string(out), err
}

// The real cargo fetches through the recorder what the real cargo packaged,
// and again with the registry dead.
func TestCargoIsRecordedAndReplayed(t *testing.T) {
	pack.SparseCargo(t)
	milk := packaged(t, "milk", "1.2.3")
	s := newSession(t, pack.Crates{pack.NewCrate("tea", "1.0.0", "pub const WORD: &str = \"tea\";\n", "milk"), milk})
	const want = "pub const WORD: &str = \"milk\";\npub const WORD: &str = \"tea\";\n"
	got, out, err := fetch(t, s.protocol, s.recorder, "tea")
	if err != nil || got != want {
		t.Fatalf("%v\n%s\n%q\n%v", err, out, got, s.recorder.Problems())
	}
	s.Close()
	var b bytes.Buffer
	if err := s.recorder.Lock().Write(&b); err != nil {
		t.Fatal(err)
	}
	l, err := lockfile.Parse(&b, 0)
	if err != nil || len(l.Entries) != 5 {
		t.Fatalf("%+v, %v", l, err)
	}
	replayer := record.NewReplayer(s.store, l)
	if got, out, err := fetch(t, cargo.Machine(nil), replayer, "tea"); err != nil || got != want || len(replayer.Misses()) != 0 {
		t.Errorf("replay: %v\n%s\n%v", err, out, replayer.Misses())
	}
	if _, out, err := fetch(t, cargo.Machine(nil), replayer, "oil"); err == nil || len(replayer.Misses()) == 0 || !strings.Contains(out, "never recorded") {
		t.Errorf("what was never recorded was had: %v\n%s", replayer.Misses(), out)
	}
}

// To learn where cargo fetches from takes its settings and no secret: what is killed on
// the way leaves its folder behind.
func TestDiscoverTakesNoCredentials(t *testing.T) {
	home, bin := t.TempDir(), t.TempDir()
	write(t, home, map[string]string{"config.toml": "", "credentials.toml": "[registry]\ntoken = \"s3cret\"\n"})
	write(t, bin, map[string]string{"cargo": "#!/bin/sh\nls \"$CARGO_HOME\" >\"$CARGO_SEEN\"\n"})
	if err := os.Chmod(filepath.Join(bin, "cargo"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CARGO_HOME", home)
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("CARGO_SEEN", filepath.Join(bin, "seen"))
	if _, err := cargo.Discover(t.Context(), ""); errs.KindOf(err) != errs.NotFound {
		t.Errorf("error %v", err)
	}
	seen, err := os.ReadFile(filepath.Join(bin, "seen"))
	if err != nil || !strings.Contains(string(seen), "config.toml") || strings.Contains(string(seen), "credentials") {
		t.Errorf("cargo's folder holds %q, %v", seen, err)
	}
	own := filepath.Join(bin, "own")
	if err := cargo.Home(own, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(own, "credentials.toml")); err != nil {
		t.Errorf("a session's cargo: %v", err)
	}
}

// cargo itself says what it takes for crates-io: what is built in, what the person or the project
// configures, and that it fetches from none.
func TestDiscover(t *testing.T) {
	home, project := t.TempDir(), t.TempDir()
	t.Setenv("CARGO_HOME", home)
	t.Chdir(project) // its configuration counts for those only who name it
	pack.SparseCargo(t)
	builtIn, err := cargo.Discover(t.Context(), "")
	if err != nil || !strings.HasPrefix(builtIn, "https://") {
		t.Errorf("built in: %q, %v", builtIn, err)
	}
	mirror := func(registry string) map[string]string {
		return map[string]string{"config.toml": "[source.crates-io]\nreplace-with = \"m\"\n[source.m]\n" + registry + "\n"}
	}
	t.Run("git, as built into cargo before 1.70", func(t *testing.T) {
		t.Setenv("CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "git")
		t.Setenv("CARGO_UNSTABLE_SPARSE_REGISTRY", "false")
		if got, err := cargo.Discover(t.Context(), ""); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%q, %v", got, err)
		}
	})
	write(t, home, mirror(`registry = "sparse+http://person.invalid/x/"`))
	if got, err := cargo.Discover(t.Context(), ""); err != nil || got != "http://person.invalid/x/" {
		t.Errorf("the person's: %q, %v", got, err)
	}
	p := cargo.Machine(nil)
	tea, err := p.ItemOf("tea")
	if err != nil {
		t.Fatal(err)
	}
	if it, err := p.Locate(t.Context(), tea, nil); err != nil || it.Upstream != "http://person.invalid/x/3/t/tea" {
		t.Errorf("%+v, %v", it, err)
	}
	write(t, filepath.Join(project, ".cargo"), mirror(`registry = "sparse+https://project.invalid/"`))
	if got, err := cargo.Discover(t.Context(), ""); err != nil || got != "http://person.invalid/x/" {
		t.Errorf("no project's: %q, %v", got, err)
	}
	if got, err := cargo.Discover(t.Context(), project); err != nil || got != "https://project.invalid/" {
		t.Errorf("the project's: %q, %v", got, err)
	}
	for name, registry := range map[string]string{"git": `registry = "http://git.invalid/x"`, "vendored": `directory = "/nowhere"`} {
		write(t, filepath.Join(project, ".cargo"), mirror(registry))
		if got, err := cargo.Discover(t.Context(), project); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if got, err := cargo.Discover(t.Context(), ""); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("without cargo: %q, %v", got, err)
	}
}

// Every user of the machine reaches the proxy that cargo is asked behind. Whoever is not cargo says nothing there: a request
// of theirs would name the registry that all crates come from.
func TestS7AnotherUserNamesNoRegistry(t *testing.T) {
	bin := t.TempDir()
	// The thief's address is that of the proxy, without what only cargo is told.
	write(t, bin, map[string]string{"cargo": "#!/bin/sh\nat=http://${http_proxy##*@}; at=http://${at##*/}\ncurl -sS -x \"$at\" http://thief.invalid/config.json" +
		"\ncurl -sS -p -x \"$at\" http://thief.invalid/config.json\ncurl -sS http://own.invalid/config.json\n"})
	if err := os.Chmod(filepath.Join(bin, "cargo"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CARGO_HOME", t.TempDir())
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if got, err := cargo.Discover(t.Context(), ""); err != nil || got != "http://own.invalid/" {
		t.Errorf("%q, %v", got, err)
	}
}

// What a checkout says of where crates come from makes cargo connect to nobody: a build, which asks
// it, is to reach no network, and cargo would go around the proxy that it is asked behind.
func TestS1ACheckoutSendsCargoNowhere(t *testing.T) {
	project := t.TempDir()
	t.Setenv("CARGO_HOME", t.TempDir())
	pack.SparseCargo(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var visits atomic.Int64
	var ended sync.WaitGroup
	defer ended.Wait()
	defer l.Close()
	ended.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			c.Close()
		}
	})
	at := l.Addr().String()
	for _, registry := range []string{"ssh://git@" + at + "/x", "git://" + at + "/x", "http://" + at + "/x", "sparse+http://" + at + "/x/"} {
		for _, settings := range []string{
			"[source.crates-io]\nreplace-with = \"m\"\n[source.m]\nregistry = \"" + registry + "\"\n",
			"[source.crates-io]\nreplace-with = \"m\"\n[registries.m]\nindex = \"" + registry + "\"\n",
		} {
			write(t, filepath.Join(project, ".cargo"), map[string]string{"config.toml": settings})
			found, err := cargo.Discover(t.Context(), project)
			if n := visits.Load(); n != 0 {
				t.Fatalf("%s: cargo was there %d times; %q, %v", registry, n, found, err)
			}
		}
	}
}

// Whoever must not know the user's logins has settings without them, wherever they stand.
func TestS4CargosSettingsWithoutLogins(t *testing.T) {
	home, own := t.TempDir(), filepath.Join(t.TempDir(), "own")
	t.Setenv("CARGO_HOME", home)
	write(t, home, map[string]string{"config.toml": `
[registries.corp]
index = "sparse+https://user:s3cret@corp.invalid/index/"
token = "s3cret"
[source.m]
registry = "https://s3cret@corp.invalid/x"
[[list]]
token = "s3cret"
[target.x]
runner = ["run", "https://user:s3cret@corp.invalid/"]
[http]
proxy = "https://user:s3cret@corp.invalid/"
`})
	if err := cargo.Home(own, false); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(own, "config.toml"))
	if err != nil || strings.Contains(string(b), "s3cret") || !strings.Contains(string(b), "corp.invalid/index/") {
		t.Errorf("%v\n%s", err, b)
	}
}
