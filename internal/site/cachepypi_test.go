package site

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/testkit/pack"
)

// A machine that ran what cache env prints installs with the real pip through the cache; with the index gone it does so
// again, also as of a freeze.
func TestPipInstallsThroughTheCache(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	origin := httptest.NewServer(pack.PyPI{Files: map[string][]byte{"tea-1.0-py3-none-any.whl": pack.Wheel("tea", "1.0", "WORD = 'tea'\n")}})
	t.Cleanup(origin.Close)
	dir := t.TempDir()
	addr := make(chan string, 1)
	_, stop := start(t, dir, Options{Cache: CacheOptions{
		Listen: "127.0.0.1:0", Ready: func(a string) { addr <- a }, Upstreams: map[string][]string{"pypi": {origin.URL + "/simple"}},
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
		lines, err := CacheEnv(face, freeze)
		if err != nil {
			t.Fatal(err)
		}
		line := ""
		for _, l := range lines {
			if strings.HasPrefix(l, "pip ") {
				line = l
			}
		}
		work := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", line+"\npip install --no-cache-dir --root-user-action=ignore --target out tea")
		cmd.Dir = work
		for _, kv := range os.Environ() {
			if !strings.HasPrefix(kv, "PIP_") && !strings.HasPrefix(strings.ToLower(kv), "http") {
				cmd.Env = append(cmd.Env, kv)
			}
		}
		cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+work, "PIP_DISABLE_PIP_VERSION_CHECK=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", line, err, out)
		}
		if b, err := os.ReadFile(filepath.Join(work, "out", "tea.py")); err != nil || string(b) != "WORD = 'tea'\n" {
			t.Errorf("%q: got %q, %v", line, b, err)
		}
	}
}
