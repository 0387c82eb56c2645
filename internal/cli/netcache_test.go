package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/netcache"
	"overland/internal/testkit/shacache"
)

// newNetcache serves a network cache and writes slapos.cfg for it, with fresh keys, in the current
// folder; it holds one entry for the key pypi:a=1.0 and one for http://origin.example/a-1.0.tar.gz.
func newNetcache(t *testing.T, env map[string]string) {
	t.Helper()
	dir, cache := t.TempDir(), shacache.New(t)
	must := func(args ...string) string {
		t.Helper()
		code, out, msg := run(t.Context(), env, args...)
		if code != 0 {
			t.Fatalf("%v: %s", args, msg)
		}
		return out
	}
	indent := func(pem string) string { return strings.ReplaceAll("\n"+strings.TrimSpace(pem), "\n", "\n  ") + "\n" }
	key, ed := filepath.Join(dir, "signature.key"), filepath.Join(dir, "ed25519.key")
	text := "[networkcache]\ndownload-cache-url = " + cache.URL + "/shacache\nupload-cache-url = " + cache.URL + "/shacache\n" +
		"upload-binary-cache-url = " + cache.URL + "/shacache\n" +
		"signature-private-key-file = " + key + "\nsignature-certificate-file = " + filepath.Join(dir, "signature.cert") +
		"\noverland-private-key-file = " + ed + "\nupload-to-binary-cache-url-blacklist = http://origin.example/dev\n"
	write := func() {
		t.Helper()
		if err := os.WriteFile("slapos.cfg", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	cert := must("netcache", "generate-signature-key", "slapos.cfg")
	public := must("netcache", "generate-signature-key", "--ed25519", "slapos.cfg")
	bad := "\n  -----BEGIN CERTIFICATE-----\n  MIIB8DCC!!\n  -----END CERTIFICATE-----"
	text += "signature-certificate-list =" + bad + indent(cert) + "overland-key-list =" + indent(public)
	write()
	if err := os.WriteFile("a.txt", []byte("the egg\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must("netcache", "upload", "a.txt", "--key", "pypi:a=1.0", "basename=a-1.0.tar.gz")
	must("netcache", "upload", "a.txt", "-u", "http://origin.example/a-1.0.tar.gz")
}

func TestNetcache(t *testing.T) {
	t.Chdir(t.TempDir())
	home := t.TempDir()
	env := map[string]string{"OVERLAND_HOME": home}
	newNetcache(t, env)
	if err := os.WriteFile("meta.json", []byte(`{"url":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	dev, free := "http://origin.example:80/x/../dev/b.cfg", "http://origin.example/1.0/b.cfg"
	for _, test := range []struct {
		args string
		code int
		want string // in the output
	}{
		{"download -k pypi:a=1.0 -o out", 0, ""},
		{"download -u http://origin.example/a-1.0.tar.gz -o out", 0, "signed by"},
		{"download -u http://origin.example/a-1.0.tar.gz -o out --sha1 url<<", 0, ""},
		{"download -u http://origin.example/a-1.1.tar.gz -o none", 1, "no entries"},
		{"download -k pypi:a=1.0 -o none basename==x", 1, "no entry"},
		{"download -k pypi:a=1.0", 2, "where to"},
		{"download -k pypi:a=1.0 -o none -c missing.cfg", 2, "missing.cfg"},
		{"download -k pypi:a=1.0 -o none what", 2, "condition"},
		{"download -k a -u b -o none", 2, "which"},
		{"list -k pypi:a=1.0", 0, "UNTIL"},
		{"list -k pypi:a=2.0", 1, "hint"},
		{"list", 2, "which"},
		{"upload a.txt", 0, ""},
		{"upload a.txt -k free x", 2, "NAME=VALUE"},
		{"upload a.txt -k free", 2, "says nothing"},
		{"upload a.txt -k free n=1 l=[\"b\"]", 0, ""},
		{"upload a.txt -k pypi:a=3.0 basename=b-3.0.tar.gz", 2, "another key"},
		{"upload missing.txt -k free n=1", 2, "missing.txt"},
		{"upload a.txt -u http://origin.example/raw/master/x.cfg", 1, "--mutable"},
		{"upload a.txt -u http://origin.example/raw/master/x.cfg --mutable", 0, ""},
		{"upload a.txt --binary -m meta.json -u " + dev, 1, "upload-to-binary-cache-url-blacklist"},
		{"upload a.txt -m meta.json -u " + free, 0, ""},
		{"upload a.txt --binary -u http://origin.example/raw/feature/x.cfg", 1, "no version, tag or commit"},
		{"generate-signature-key slapos.cfg", 1, "there already"},
		{"generate-signature-key k.pem COMP-1 --cert-file c.pem", 0, "BEGIN CERTIFICATE"},
		{"generate-signature-key k.pem COMP-1", 1, "there already"},
		{"generate-signature-key no/such/k.pem COMP-1", 1, "mkdir -p no/such"},
	} {
		code, out, msg := run(t.Context(), env, append([]string{"netcache"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(out+msg, test.want) {
			t.Errorf("%s: exit code %d, want %d: %s%s", test.args, code, test.code, out, msg)
		}
		if code != 0 && strings.Count(msg, " · hint: ") != 1 {
			t.Errorf("%s: not one hint: %s", test.args, msg)
		}
		if code == 0 && strings.Contains(test.args, "-k pypi") && !strings.Contains(msg, "certificate 1 of the list is left out") {
			t.Errorf("%s: the malformed certificate is not reported: %s", test.args, msg)
		}
	}
	if b, err := os.ReadFile("out"); err != nil || string(b) != "the egg\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := os.Stat("none"); err == nil {
		t.Error("a failed download left a file")
	}
	if info, err := os.Stat("k.pem"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the private key: %v", info.Mode())
	}
	_, out, _ := run(t.Context(), env, "netcache", "list", "--json", "-k", "free")
	var list []struct {
		SHA1     bool
		Metadata map[string]any
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 || list[0].SHA1 || list[0].Metadata["n"] != "1" {
		t.Errorf("%s: %v", out, err)
	}
	if got := list[0].Metadata["l"]; len(got.([]any)) != 1 {
		t.Errorf("a list became %v", got)
	}
}

// What the cache has is taken from there; else from the URL itself, when that is wanted.
func TestNetcacheOrigin(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"OVERLAND_HOME": t.TempDir()}
	newNetcache(t, env)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/a-1.0.tar.gz" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "of the origin")
	}))
	defer origin.Close()
	url, sum := origin.URL+"/a-1.0.tar.gz", digest.Of([]byte("of the origin")).Encoded()
	for _, test := range []struct {
		args string
		code int
		want string // in the output
		file string
	}{
		{"-u http://origin.example/a-1.0.tar.gz --origin", 0, "signed by", "the egg\n"},
		{"-u " + url, 1, "--origin", ""},
		{"-u " + url + " --origin", 0, "from its origin; the cache: miss", "of the origin"},
		{"-u " + url + " --origin --sha256 " + sum, 0, "from its origin", "of the origin"},
		{"-u " + url + " --origin --sha256 " + strings.Repeat("0", 64), 4, "not sha256:0000", ""},
		{"-u " + url + " --origin --sha256 x", 2, "64 hex", ""},
		{"-u " + url + ".none --origin", 1, "404", ""},
		{"-k pypi:a=1.0 --origin", 2, "--url", ""},
		{"-u " + url + " --sha256 " + sum, 2, "--origin", ""},
		{"-u " + url + " --binary --origin", 2, "--url", ""},
	} {
		_ = os.Remove("out")
		code, out, msg := run(t.Context(), env, append([]string{"netcache", "download", "-o", "out"}, strings.Fields(test.args)...)...)
		b, _ := os.ReadFile("out")
		if code != test.code || !strings.Contains(out+msg, test.want) || string(b) != test.file {
			t.Errorf("%s: exit code %d, want %d: %q: %s%s", test.args, code, test.code, b, out, msg)
		}
		if code != 0 && strings.Count(msg, " · hint: ") != 1 {
			t.Errorf("%s: not one hint: %s", test.args, msg)
		}
	}
}

func TestNetcachePrivateKeyInTheList(t *testing.T) {
	t.Chdir(t.TempDir())
	text := "[networkcache]\ndownload-dir-url = http://127.0.0.1:1/\nsignature-certificate-list =\n  -----BEGIN RSA PRIVATE KEY-----\n  AAAA\n"
	if err := os.WriteFile("slapos.cfg", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"OVERLAND_HOME": t.TempDir()}
	code, _, msg := run(t.Context(), env, "netcache", "list", "-k", netcache.URLKey("x"))
	if code != 2 || !strings.Contains(msg, "private key") || strings.Contains(msg, "AAAA") {
		t.Errorf("exit code %d: %s", code, msg)
	}
}
