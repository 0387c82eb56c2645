package session_test

import (
	"os"
	"strings"
	"testing"

	"overland/internal/session"
)

// Every tool that fetches is told of the authority of this run, and has caches that are empty: what
// lies in a person's own would be missing in the lock. Both are gone afterwards.
func TestToolsHaveTheRunsAuthorityAndEmptyCaches(t *testing.T) {
	const script = `env; cat "$SSL_CERT_FILE"; find "$GOMODCACHE" "$npm_config_cache" "$PIP_CACHE_DIR" -type f 2>/dev/null || :`
	o, out := newOptions(t, script)
	o.Environ = append(o.Environ, "HTTPS_PROXY=http://127.0.0.1:1", "CURL_CA_BUNDLE=/none")
	run := func() map[string]string {
		t.Helper()
		out.Reset()
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
	for _, name := range []string{
		"CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "NODE_EXTRA_CA_CERTS", "npm_config_cafile",
	} {
		if set[name] != ca || !strings.HasPrefix(ca, o.Dir) {
			t.Errorf("%s=%s", name, set[name])
		}
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if !strings.HasPrefix(set[name], "http://127.0.0.1:") || set[name] != set["HTTP_PROXY"] {
			t.Errorf("%s=%s", name, set[name])
		}
	}
	caches := []string{"GOPATH", "GOMODCACHE", "npm_config_cache", "PIP_CACHE_DIR", "CARGO_HOME", "WGETRC", "APT_CONFIG"}
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
	for _, name := range caches[:5] {
		if strings.HasPrefix(set[name], o.Dir) {
			t.Errorf("the machine's own: %s=%s", name, set[name])
		}
	}
}
