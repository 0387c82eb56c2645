package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/testkit/attack"
)

// client is the built program, its folders, and the publisher that it talks to over HTTP.
type client struct {
	t       *testing.T
	p       *attack.Publisher
	program string
	dir     string
	url     string
	at      time.Time // what faketime says; zero: the machine's clock
}

func newClient(t *testing.T, endless ...string) *client {
	t.Helper()
	c := &client{t: t, p: attack.New(time.Now()), program: program(t), dir: t.TempDir()}
	server := httptest.NewServer(c.p.Handler(endless...))
	t.Cleanup(server.Close)
	c.url = server.URL
	for _, d := range []string{"metadata", "targets"} {
		if err := os.Mkdir(filepath.Join(c.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(c.dir, "trusted.json")
	if err := os.WriteFile(root, c.p.Files()["1.root.json"], 0o644); err != nil {
		t.Fatal(err)
	}
	c.run(0, "init", root)
	if asked := c.p.Requests(); asked != nil {
		t.Fatalf("init asked for %v", asked)
	}
	return c
}

var built string // by TestMain

func program(t *testing.T) string {
	t.Helper()
	if built == "" {
		t.Fatal("the program was not built")
	}
	return built
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "conformance-*")
	if err != nil {
		panic(err)
	}
	built = filepath.Join(dir, "client")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", built, ".").CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// run starts the program, which must end with exit code want.
func (c *client) run(want int, args ...string) {
	c.t.Helper()
	all := append([]string{c.program, "--metadata-dir", filepath.Join(c.dir, "metadata"), "--metadata-url", c.url + "/metadata/"}, args...)
	if !c.at.IsZero() {
		all = append([]string{"faketime", c.at.UTC().Format("2006-01-02 15:04:05")}, all...)
	}
	cmd := exec.CommandContext(context.Background(), all[0], all[1:]...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		c.t.Fatal(err)
	}
	if code != want {
		c.t.Fatalf("%v: exit code %d, want %d\n%s", args, code, want, out)
	}
}

func (c *client) download(want int, names ...string) {
	c.t.Helper()
	args := []string{"--target-dir", filepath.Join(c.dir, "targets"), "--target-base-url", c.url + "/targets/"}
	for _, n := range names {
		args = append(args, "--target-name", n)
	}
	c.run(want, append(args, "download")...)
}

// holds compares the names of the metadata that the program shows as verified.
func (c *client) holds(want ...string) {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, "metadata", "*.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	if !slices.Equal(got, want) {
		c.t.Fatalf("verified %v, want %v", got, want)
	}
}

func (c *client) same(role, published string) {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, "metadata", role+".json"))
	if err != nil || string(b) != string(c.p.Files()[published]) {
		c.t.Fatalf("%s is not %s as published: %v", role, published, err)
	}
}

func TestInitAndRefresh(t *testing.T) {
	c := newClient(t)
	c.holds("root")
	c.run(0, "refresh")
	c.holds("root", "snapshot", "targets", "timestamp")
	c.same("timestamp", "timestamp.json")
	want := []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"}
	if asked := c.p.Requests(); !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
	c.run(0, "refresh")
	if asked := c.p.Requests(); !slices.Equal(asked, want[:2]) {
		t.Errorf("asked for %v, want %v", asked, want[:2])
	}
}

func TestDownload(t *testing.T) {
	c := newClient(t)
	c.p.Delegate("targets", "app/wallet", "app/wallet/*")
	c.p.Put("targets", "top.txt", "top")
	c.p.Put("app/wallet", "app/wallet/r1", "one")
	c.p.Publish("targets", "app/wallet")
	c.download(0, "top.txt", "app/wallet/r1")
	c.holds("app%2Fwallet", "root", "snapshot", "targets", "timestamp")
	for name, want := range map[string]string{"top.txt": "top", "app%2Fwallet%2Fr1": "one"} {
		if b, err := os.ReadFile(filepath.Join(c.dir, "targets", name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	c.download(1, "app/wallet/r2")
	c.p.SetFile("target/top.txt", []byte("bad"))
	c.download(0, "top.txt") // it is there already
	c.p.SetFile("target/app/wallet/r1", []byte("two"))
	if err := os.Remove(filepath.Join(c.dir, "targets", "app%2Fwallet%2Fr1")); err != nil {
		t.Fatal(err)
	}
	c.download(1, "app/wallet/r1")
	if _, err := os.Stat(filepath.Join(c.dir, "targets", "app%2Fwallet%2Fr1")); err == nil {
		t.Error("bytes that nobody signed were kept")
	}
}

func TestRollback(t *testing.T) {
	c := newClient(t)
	old := c.p.Files()
	c.p.Publish("targets")
	c.run(0, "refresh")
	current := c.p.Files()
	c.p.SetFiles(old)
	c.run(1, "refresh")
	c.p.SetFiles(current)
	c.same("timestamp", "timestamp.json")
	c.same("targets", "2.targets.json")
}

func TestKeyRotation(t *testing.T) {
	c := newClient(t)
	c.run(0, "refresh")
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		c.p.Replace(role, attack.NewKey())
	}
	c.p.PublishRoot()
	c.run(1, "refresh") // nothing is signed with the new keys yet
	c.holds("root", "targets")
	c.same("root", "2.root.json")
	c.p.Publish("targets")
	c.run(0, "refresh")
	c.p.Replace("root", attack.NewKey())
	c.p.PublishRoot()
	c.run(1, "refresh") // the old root key did not sign
	c.same("root", "2.root.json")
}

func TestExpiryByFaketime(t *testing.T) {
	c := newClient(t)
	c.run(0, "refresh")
	now := c.p.Now
	c.at = now.Add(29 * 24 * time.Hour)
	c.run(0, "refresh")
	c.at = now.Add(31 * 24 * time.Hour)
	c.run(1, "refresh")
	// A clock set back does not bring life back: the signing time of what comes next is later.
	c.p.Now = c.at
	c.p.PublishTimestamp()
	c.at = now
	c.run(1, "refresh")
	c.p.PublishRoot()
	c.p.Publish("targets")
	c.run(0, "refresh")
}

func TestEndlessData(t *testing.T) {
	for _, name := range []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"} {
		c := newClient(t, name)
		c.run(1, "refresh")
	}
}

func TestServerErrors(t *testing.T) {
	c := newClient(t)
	c.run(0, "refresh")
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "busy", http.StatusServiceUnavailable)
	}))
	defer broken.Close()
	whole := c.url
	c.url = broken.URL
	c.run(1, "refresh")
	c.holds("root", "snapshot", "targets", "timestamp")
	c.url = whole
	c.run(0, "refresh")
}
