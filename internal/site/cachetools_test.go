package site

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cacheserver "overland/internal/server/cache"

	"overland/internal/testkit/pack"
)

// onMachines serves origin, of a protocol, through a site's cache and runs script on four
// new machines, in empty folders: two that see the newest state and two as of a freeze; from
// the third on the origin is gone. Each has run what cache env prints for the protocol
// first. The script must print want.
func onMachines(t *testing.T, protocol, tool string, origin *httptest.Server, path, script, want string) {
	t.Helper()
	t.Setenv("GOSUMDB", "off")
	dir := t.TempDir()
	addr := make(chan string, 1)
	_, stop := start(t, dir, Options{Cache: CacheOptions{
		Listen: "127.0.0.1:0", Ready: func(a string) { addr <- a }, Upstreams: map[string][]string{protocol: {origin.URL + path}},
	}})
	defer stop()
	face := "http://" + <-addr
	k, err := OpenCache(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := k.Freeze(t.Context(), "today", time.Time{}); err != nil {
		t.Fatal(err)
	}
	for n, freeze := range []string{"", "today", "", "today"} {
		if n == 2 {
			origin.Close()
		}
		lines, err := cacheserver.Lines(face, freeze)
		if err != nil {
			t.Fatal(err)
		}
		line := ""
		for _, l := range lines {
			if strings.Contains(l, tool) {
				line = l
			}
		}
		if n == 0 {
			line += "\n" + line // twice does no harm
		}
		work := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", "{ "+line+"\n} >&2\n"+script)
		cmd.Dir = work
		for _, kv := range os.Environ() {
			if !strings.HasPrefix(kv, "PIP_") && !strings.HasPrefix(strings.ToLower(kv), "http") {
				cmd.Env = append(cmd.Env, kv)
			}
		}
		cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+work, "CARGO_HOME="+filepath.Join(work, "home"), "PIP_DISABLE_PIP_VERSION_CHECK=1",
			"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
		var problems strings.Builder
		cmd.Stderr = &problems
		out, err := cmd.Output()
		if err != nil || string(out) != want {
			t.Fatalf("%q: %v, got %q\n%s", line, err, out, problems.String())
		}
	}
}

func TestPipInstallsThroughTheCache(t *testing.T) {
	origin := httptest.NewServer(pack.PyPI{Files: map[string][]byte{"tea-1.0-py3-none-any.whl": pack.Wheel("tea", "1.0", "WORD = 'tea'\n")}})
	t.Cleanup(origin.Close)
	onMachines(t, "pypi", "pip config", origin, "/simple",
		"pip install -q --no-cache-dir --root-user-action=ignore --target out tea\ncat out/tea.py", "WORD = 'tea'\n")
}

func TestCargoFetchesThroughTheCache(t *testing.T) {
	pack.SparseCargo(t)
	origin := httptest.NewServer(pack.Crates{pack.NewCrate("tea", "1.0.0", "pub fn tea() {}\n")})
	t.Cleanup(origin.Close)
	onMachines(t, "cargo", "source.crates-io", origin, "/index/", "mkdir src\ntouch src/lib.rs\nprintf '%s' '"+pack.Manifest("p", "0.1.0", "tea")+
		"' >Cargo.toml\ncargo -q fetch\ncat home/registry/src/*/tea-1.0.0/src/lib.rs", "pub fn tea() {}\n")
}
