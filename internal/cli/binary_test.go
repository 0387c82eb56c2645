package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/platform"
)

func TestBinary(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"OVERLAND_HOME": t.TempDir()}
	newNetcache(t, env)
	for path, text := range map[string]string{"good/bin/hello": "#!/bin/sh\n", "bad/bin/hello": "#!/opt/prefix/bin/python\n"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const url = "http://origin.example/raw/1.0/software.cfg"
	for _, test := range []struct {
		args string
		code int
		want string // in the output
	}{
		{"host", 0, "glibc"},
		{"list -u " + url, 1, "overland binary upload"},
		{"upload good", 2, "--url"},
		{"upload good -u " + url + " -c missing.cfg", 2, "missing.cfg"},
		{"upload -u " + url, 2, "DIR"},
		{"upload none -u " + url, 2, "not a folder"},
		{"upload bad -u " + url + " --prefix /opt/prefix", 2, "bin/hello: its first line runs /opt/prefix/bin/python"},
		{"upload good -u http://origin.example/raw/feature/software.cfg", 1, "--mutable"},
		{"upload good -u http://origin.example/dev/1.0/x.cfg", 1, "upload-to-binary-cache-url-blacklist"},
		{"upload good -u " + url, 0, "3 files and folders"},
		{"install -u " + url + " there/it/is", 0, "signed by"},
		{"install -u " + url + " there/it/is", 1, "exists already"},
		{"install -u " + url + ".none none", 1, "nothing for"},
		{"list -u " + url, 0, "yes"},
		{"list", 2, "--url"},
	} {
		code, out, msg := run(t.Context(), env, append([]string{"binary"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(out+msg, test.want) {
			t.Errorf("%s: exit code %d, want %d: %s%s", test.args, code, test.code, out, msg)
		}
		if code != 0 && strings.Count(msg, " · hint: ") != 1 {
			t.Errorf("%s: not one hint: %s", test.args, msg)
		}
	}
	if info, err := os.Stat("there/it/is/bin/hello"); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat("none"); err == nil {
		t.Error("a failed install left a folder")
	}
	_, out, _ := run(t.Context(), env, "binary", "list", "--json", "-u", url)
	var list []struct {
		SHA1    bool
		For     platform.Host
		Refused string
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 || list[0].SHA1 || list[0].Refused != "" || list[0].For.Libc != "glibc" {
		t.Errorf("%s: %v", out, err)
	}
}
