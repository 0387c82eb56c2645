package apt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A replay asks for the translations that its lock has, and takes no password of the machine's over.
func TestSettingsOfAReplay(t *testing.T) {
	dir := t.TempDir()
	before := filepath.Join(dir, "before.conf")
	setup := func(p *Protocol, was string) string {
		t.Helper()
		if err := os.WriteFile(before, []byte(was), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Setup(dir, "http://127.0.0.1:1", "/ca.pem", before); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "apt.conf"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	of := func(locked bool, languages ...string) *Protocol {
		p := &Protocol{locked: locked}
		for _, l := range languages {
			p.sources = append(p.sources, Source{Options: map[string]string{"languages": l}})
		}
		return p
	}
	const setting = "Acquire::Languages "
	for _, c := range []struct {
		p    *Protocol
		want string // "" = nothing is set
	}{
		{of(false, "en"), ""},
		{of(true), ""},
		{of(true, "en", ""), ""}, // an InRelease that cannot be read: the replay says so
		{of(true, "none", "none"), `"none";`},
		{of(true, "none", "en de", "en"), `{ "de"; "en"; "none"; };`},
	} {
		_, got, set := strings.Cut(setup(c.p, ""), setting)
		if got, _, _ = strings.Cut(got, "\n"); got != c.want || set != (c.want != "") {
			t.Errorf("%v: %q, not %q", c.p.sources, got, c.want)
		}
	}
	for was, want := range map[string]bool{
		"APT::Install-Recommends \"false\";\n": true, "Acquire::http::Proxy \"http://tea:word@proxy.invalid\";\n": false, "#include \"/other\";\n": false,
	} {
		if got := setup(of(true), was); strings.Contains(got, was) != want || strings.Contains(got, before) {
			t.Errorf("of %q a replay has %q", was, got)
		}
		if got := setup(of(false), was); !strings.Contains(got, "#include \""+before) {
			t.Errorf("of %q a recording has %q", was, got)
		}
	}
}
