package session_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/session"
)

// Every tool that fetches is told of the authority of this run, and has caches that are empty: what
// lies in a person's own would be missing in the lock. Both are gone afterwards.
func TestToolsHaveTheRunsAuthorityAndEmptyCaches(t *testing.T) {
	const script = `env; cat "$PIP_CERT" >&2; cat "$SSL_CERT_FILE"; find "$GOMODCACHE" "$npm_config_cache" "$PIP_CACHE_DIR" -type f 2>/dev/null || :`
	o, out := newOptions(t, script)
	said := &bytes.Buffer{}
	o.Stderr = said
	own := filepath.Join(t.TempDir(), "own.pem")
	if err := os.WriteFile(own, []byte("# the caller's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"PIP_DEFAULT_TIMEOUT", "npm_config_fetch_timeout", "NPM_CONFIG_FETCH_TIMEOUT", "UV_HTTP_TIMEOUT", "HTTP_TIMEOUT", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
	} {
		o.Environ = slices.DeleteFunc(o.Environ, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
	}
	o.Environ = append(o.Environ, "HTTPS_PROXY=http://127.0.0.1:1", "CURL_CA_BUNDLE=/none", "NODE_EXTRA_CA_CERTS="+own, "PIP_CERT="+own, "ALL_PROXY=socks5://127.0.0.1:1", "UV_CACHE_DIR=/none", "PIP_TIMEOUT=7")
	run := func() map[string]string {
		t.Helper()
		out.Reset()
		said.Reset()
		if _, err := session.Record(t.Context(), o); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		set := map[string]string{}
		for line := range strings.Lines(out.String()) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			set[name] = value
		}
		return set
	}
	set := run()
	ca := set["SSL_CERT_FILE"]
	for _, name := range []string{"GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "npm_config_cafile", "YARN_HTTPS_CA_FILE_PATH"} {
		if set[name] != ca || !strings.HasPrefix(ca, o.Dir) {
			t.Errorf("%s=%s", name, set[name])
		}
	}
	// The caller's own are extended, once.
	if b := set["PIP_CERT"]; b == ca || b != set["NODE_EXTRA_CA_CERTS"] || !strings.HasPrefix(b, o.Dir) || !strings.HasPrefix(said.String(), "# the caller's\n-----BEGIN CERTIFICATE-----") {
		t.Errorf("%s: %s", b, said)
	}
	// Clients wait as long as the recorder does, unless the caller says how long.
	if set["PIP_DEFAULT_TIMEOUT"] != "" || set["PIP_TIMEOUT"] != "7" || set["UV_HTTP_TIMEOUT"] != "86400" || set["npm_config_fetch_timeout"] != "86400000" {
		t.Errorf("time-outs: %v", set)
	}
	for _, name := range []string{"npm_config_update_notifier", "pnpm_config_update_notifier"} { // else a replay would miss what a tool asks once a day
		if set[name] != "false" {
			t.Errorf("%s=%s", name, set[name])
		}
	}
	if v, isSet := set["ALL_PROXY"]; isSet {
		t.Errorf("ALL_PROXY=%s", v)
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if !strings.HasPrefix(set[name], "http://127.0.0.1:") || set[name] != set["HTTP_PROXY"] {
			t.Errorf("%s=%s", name, set[name])
		}
	}
	caches := []string{"GOPATH", "GOMODCACHE", "npm_config_cache", "PIP_CACHE_DIR", "CARGO_HOME", "XDG_CACHE_HOME", "YARN_GLOBAL_FOLDER", "PNPM_HOME", "GRADLE_USER_HOME", "UV_CACHE_DIR", "WGETRC", "APT_CONFIG"}
	for _, name := range caches {
		if !strings.HasPrefix(set[name], o.Dir) {
			t.Errorf("%s=%s", name, set[name])
		}
	}
	if _, err := os.Stat(ca); !os.IsNotExist(err) {
		t.Errorf("the authority stays: %v", err)
	}
	_, first, ok := strings.Cut(out.String(), "-----BEGIN CERTIFICATE-----")
	if _, files, _ := strings.Cut(first, "-----END CERTIFICATE-----\n"); !ok || files != "" {
		t.Errorf("no authority, or caches that are not empty: %s", files)
	}

	o.MachineCaches = true
	set = run()
	if _, second, _ := strings.Cut(out.String(), "-----BEGIN CERTIFICATE-----"); second == first {
		t.Error("two runs have the same authority")
	}
	for _, name := range caches[:10] {
		if strings.HasPrefix(set[name], o.Dir) {
			t.Errorf("the machine's own: %s=%s", name, set[name])
		}
	}
}
