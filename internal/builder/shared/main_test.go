package shared_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"overland/internal/builder"
	"overland/internal/builder/shared"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/netcache"
	"overland/internal/netcache/client"
	"overland/internal/netcache/server"
	"overland/internal/platform"
	"overland/internal/source"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/shacache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var debian12 = platform.Host{
	OS: "debian", Release: "12", Codename: "bookworm", Arch: "amd64", CPU: "x86-64-v3", Libc: "glibc", LibcVersion: "2.36",
	Multiarch: "x86_64-linux-gnu",
}

// kind returns debian12 with a change.
func kind(change func(*platform.Host)) *platform.Host {
	h := debian12
	change(&h)
	return &h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newClient returns a client of the binary cache.
func newClient(t testing.TB, config string, o client.Options) *client.Client {
	t.Helper()
	c, err := netcache.ParseConfig(strings.NewReader(config))
	must(t, err)
	o.Binary = true
	n, err := client.New(c, o)
	must(t, err)
	t.Cleanup(n.Close)
	return n
}

// machine is a machine that builds: its depot, and what it was told.
type machine struct {
	*shared.Results
	depot *storedir.Store
	said  []string
}

func newMachine(t testing.TB, config string, o shared.ResultsOptions) *machine {
	t.Helper()
	m := &machine{}
	dir := t.TempDir()
	var err error
	m.depot, err = storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	must(t, err)
	o.Temp = filepath.Join(dir, "work")
	o.Say = func(s string) { m.said = append(m.said, s) }
	if o.Source == nil {
		o.Source = func(context.Context) (string, error) { return "https://u:p@git.example:443/group/app.git", nil }
	}
	m.Results = shared.NewResults(newClient(t, config, client.Options{State: filepath.Join(dir, "seen")}), m.depot, o)
	return m
}

// says returns what was told since the last call.
func (m *machine) says() string {
	s := strings.Join(m.said, "\n")
	m.said = nil
	return s
}

// make puts a result into the machine's depot and shares it.
func (m *machine) make(t testing.TB, w builder.Wanted, text string) builder.Sharable {
	t.Helper()
	d, err := store.PutBytes(t.Context(), m.depot, []byte(text))
	must(t, err)
	s := builder.Sharable{Digest: d, Size: int64(len(text)), Toolchain: "cc 12", Data: true}
	m.Put(t.Context(), w, s)
	return s
}

func wanted(recipe string, h *platform.Host) builder.Wanted {
	return builder.Wanted{
		Name: "app", Platform: "linux/amd64", Recipe: digest.Of([]byte(recipe)), Host: h,
		Source: source.Commit{Hash: strings.Repeat("0a", 20), Tree: strings.Repeat("0b", 20)},
	}
}

// copyEntries puts every entry of a key under another one, past the server's
// checks, as a bad server would.
func copyEntries(t testing.TB, c *shacache.Cache, from, to string, change func(*server.Record)) {
	t.Helper()
	list, err := c.Shelf.List(from)
	must(t, err)
	for _, r := range list {
		r.Key = to
		if change != nil {
			change(&r)
		}
		must(t, c.Shelf.Add(t.Context(), r))
	}
}

func kindOfErr(t testing.TB, err error, want errs.Kind, text string) {
	t.Helper()
	if errs.KindOf(err) != want || err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v (%v), want %v with %q", err, errs.KindOf(err), want, text)
	}
}

func write(t testing.TB, path, text string, mode fs.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), mode))
}

func sh(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
