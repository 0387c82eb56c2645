package npm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/ecosystem/tool"
)

// A registry that asks who one is gets what npm would say to it, and no other one does.
func TestLogins(t *testing.T) {
	home, project := t.TempDir(), t.TempDir()
	dir := filepath.Join(project, "web")
	if err := os.Mkdir(filepath.Join(project, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(home, ".npmrc"): "# mine\n//a.invalid/:_authToken=${NPM_OWN}\n//b.invalid/npm/:_auth = \"bWU6d29yZA==\" \n//e.invalid/:_authToken=late\n",
		filepath.Join(project, ".npmrc"): "@leaf:registry=https://a.invalid/\n//a.invalid/:_authToken=${NPM_WORD} ; of CI\n//a.invalid/:email=x\n" +
			"//f.invalid/:_authToken=pre-${NPM_WORD}\n//f.invalid/${NPM_WORD}/:_authToken=x\n//c.invalid:8443/:username=me\n//c.invalid:8443/:_password='d29yZA=='\n//d.invalid/:_authToken=${NOT_THERE}\n",
		filepath.Join(dir, "package.json"): "{}",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := readLogins([]string{"NPM_WORD=n3w", "NPM_OWN=own", "npm_config_//e.invalid/:_authToken=early", "npm_config_registry=x"}, tool.ProjectFiles(dir, ".npmrc", fileLimit), []string{filepath.Join(home, ".npmrc"), "/none"})
	for address, want := range map[string]string{
		"https://a.invalid/":                 "Bearer own", // the project's names a variable of the user's
		"https://a.invalid/any/where/":       "Bearer own",
		"https://a.invalid.example/":         "",
		"https://a.invalid:8443/":            "",
		"https://b.invalid/npm/":             "Basic bWU6d29yZA==",
		"https://b.invalid/npm":              "",
		"https://b.invalid/npmx/":            "",
		"https://b.invalid/":                 "",
		"https://c.invalid:8443/":            "Basic bWU6d29yZA==",
		"https://d.invalid/":                 "",
		"https://e.invalid/":                 "Bearer early",
		"https://f.invalid/":                 "",
		"https://f.invalid/n3w/":             "",
		"https://registry.invalid/a.invalid": "",
	} {
		if got := l.header(address); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}

func FuzzLogins(f *testing.F) {
	f.Add("//a.invalid/:_authToken = \"${HOME}\" ; x\n//a.invalid/:_auth='x'\n", "https://a.invalid/reg/")
	f.Fuzz(func(t *testing.T, text, address string) {
		l := Logins{}
		for key, value := range parse([]byte(text)) {
			l.add(key, expand(value, []string{"HOME=/home"}))
		}
		if h := l.header(address); strings.ContainsAny(h, "\r\n") || len(l) == 0 && h != "" {
			t.Errorf("%q: %q", text, h)
		}
	})
}
