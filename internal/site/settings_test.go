package site_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/site"
)

func settings(t *testing.T, text string) (site.Settings, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(home.Settings.In(dir), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return site.ReadSettings(dir)
}

// The example of the reference page is read as it says.
func TestSettings(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/site-yaml.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	pin := strings.Repeat("0123456789abcdef", 4)
	got, err := settings(t, strings.ReplaceAll(example, "PIN", pin))
	if err != nil {
		t.Fatal(err)
	}
	want := site.Settings{
		Format: 1, Listen: ":8443", Conns: 4096, Names: []string{"site.example.org", "203.0.113.7"}, Trusted: []string{"10.0.0.5"},
		Upstreams: []string{"https://10.0.0.1:8443#sha256:" + pin}, Root: "sha256:" + pin, Isolation: site.IsolationRequired,
		Cache: site.CacheSettings{
			Listen: "10.0.0.2:3142", Size: "50GiB", Writes: site.WritesByCertificate,
			Upstreams: map[string][]string{
				"go":  {"https://10.0.0.9:3000"},
				"apt": {"http://10.0.0.9/debian", "deb [signed-by=/keys/own.asc] http://10.0.0.9/own stable main"},
			},
		},
		Registry: site.RegistrySettings{
			Pull: "anyone", Delete: "refused", Incomplete: "refused", Fixed: []string{"live/*"}, Untagged: "14d", Unnamed: "hub.example", Logins: "auth.json",
			Mirrors: map[string]site.MirrorSettings{
				"hub.example":      {URL: "https://registry.hub.example"},
				"own.example:5000": {URL: "https://10.0.0.9:5000", Certificate: "own.crt"},
			},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, err := site.ReadSettings(t.TempDir()); err != nil || !cmp.Equal(got, site.Settings{}) {
		t.Errorf("without a file: %+v, %v", got, err)
	}
}

func TestSettingsAreStrict(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "the file is empty",
		"listen: :8443\n":                     "no key site",
		"site: 2\n":                           "site.yaml:1:7: ",
		"site: 1\nlisten: here\n":             "site.yaml:2:9: listen \"here\"",
		"site: 1\nlisten: example.org:8443\n": "listen on \"example.org:8443\"",
		"site: 1\nlisten: :99999\n":           "99999",
		"site: 1\ncache: {listen: example.org:3142}\n":         "listen on \"example.org:3142\"",
		"site: 1\nregistry: {mirrors: {Hub: {}}}\n":            "\"Hub\"",
		"site: 1\nregistry: {mirrors: {a: \"https://b@c\"}}\n": "url \"https://b@c\"",
		"site: 1\ncahce:\n  size: 1GiB\n":                      "site.yaml:2:1: unknown key \"cahce\"",
		"site: 1\ncache:\n  offline: true\n":                   "site.yaml:3:3: unknown key \"offline\"",
		"site: 1\ncache: {upstreams: {gopher: [x]}}\n":         "unknown key \"gopher\"",
		"site: 1\ncache: {writes: everybody}\n":                "everybody",
		"site: 1\ncache: {size: much}\n":                       "size \"much\"",
		"site: 1\nupstreams: [http://10.0.0.1]\n":              "site.yaml:2:13: upstream",
		"site: 1\nsite: 1\n":                                   "site.yaml:2:1: ",
		"site: 1\nconnections: 0\n":                            "connections",
		"site: 1\nnames: [\"https://site.example\"]\n":         "site.yaml:2:9: name",
		"site: 1\ntrustedProxies: [10.0.0.0/99]\n":             "10.0.0.0/99",
	} {
		got, err := settings(t, text)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) || errs.HintOf(err) == "" {
			t.Errorf("%q: %+v, %v (hint %q), want %q", text, got, err, errs.HintOf(err), want)
		}
	}
}

func TestTheSchemaIsPublished(t *testing.T) {
	b, err := os.ReadFile("../../docs/reference/site.schema.json")
	if err != nil || string(b) != string(site.SettingsSchema()) {
		t.Errorf("docs/reference/site.schema.json is not made from the table (%v): go generate ./internal/cli", err)
	}
}
