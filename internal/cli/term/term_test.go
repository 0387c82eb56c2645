package term_test

import (
	"strings"
	"testing"
	"time"

	"overland/internal/cli/term"
	"overland/internal/errs"
)

func TestSiteDir(t *testing.T) {
	for name, test := range map[string]struct {
		home string
		env  map[string]string
		want string
	}{
		"--home":          {"/x", map[string]string{"OVERLAND_HOME": "/y"}, "/x"},
		"OVERLAND_HOME":   {"", map[string]string{"OVERLAND_HOME": "/y", "XDG_DATA_HOME": "/z"}, "/y"},
		"XDG_DATA_HOME":   {"", map[string]string{"XDG_DATA_HOME": "/z", "HOME": "/h"}, "/z/overland"},
		"a relative one":  {"", map[string]string{"XDG_DATA_HOME": "z", "HOME": "/h"}, "/h/.local/share/overland"},
		"HOME":            {"", map[string]string{"HOME": "/h"}, "/h/.local/share/overland"},
		"nothing to find": {"", nil, ""},
	} {
		tm := &term.Term{Home: test.home, Getenv: func(name string) string { return test.env[name] }}
		got, err := tm.SiteDir()
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
	}
}

// A folder that is another one in each checkout is not where keys and signed metadata are.
func TestASiteDirectoryIsTheSameEverywhere(t *testing.T) {
	for _, name := range []string{"OVERLAND_HOME", "HOME", "OVERLAND_ROOT_KEYS"} {
		tm := &term.Term{Getenv: func(n string) string { return map[string]string{name: "site"}[n] }}
		_, err := tm.SiteDir()
		if name == "OVERLAND_ROOT_KEYS" {
			_, err = tm.RootKeysDir()
		}
		if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without a person a question is an error, with a hint, and nothing is printed.
func TestNobodyToAsk(t *testing.T) {
	var out strings.Builder
	tm := &term.Term{Stdin: strings.NewReader("yes\n"), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}
	_, err := tm.Passphrase("root")
	for what, err := range map[string]error{"question": tm.Confirm("Write %s?", "x"), "passphrase": err} {
		if errs.KindOf(err) != errs.Denied || errs.HintOf(err) == "" || out.String() != "" {
			t.Errorf("%s: %v, printed %q", what, err, &out)
		}
	}
	tm.Yes = true
	if err := tm.Confirm("Write it?"); err != nil {
		t.Errorf("with --yes: %v", err)
	}
}

func TestNotesAreQuiet(t *testing.T) {
	var out, msg strings.Builder
	tm := &term.Term{Stdout: &out, Stderr: &msg, Quiet: true}
	tm.Note("a note")
	tm.Warn("a warning")
	tm.Table("  ", "A LONG-HEAD", [][]string{{"longer", "b"}})
	if got, want := out.String(), "  A       LONG-HEAD\n  longer  b\n"; got != want {
		t.Errorf("table %q, want %q", got, want)
	}
	if got := msg.String(); got != "overland: warning: a warning\n" {
		t.Errorf("stderr %q", got)
	}
	if got := term.When(time.Time{}); got != "-" {
		t.Errorf("no time = %q", got)
	}
	if got := term.Short("sha256:0123456789abcdef"); got != "0123456789ab" {
		t.Errorf("short = %q", got)
	}
}
