package nodecli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"overland/internal/cli/nodecli"
	"overland/internal/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what one command line did.
type result struct {
	code     int
	out, err string
}

func cli(t *testing.T, args ...string) result {
	t.Helper()
	t.Setenv("OVERLAND_DIR", filepath.Join(t.TempDir(), "node"))
	var out, errOut bytes.Buffer
	code := nodecli.Run(t.Context(), strings.NewReader(""), &out, &errOut, args)
	return result{code, out.String(), errOut.String()}
}

func TestEveryMistakeHasAMessageAHintAndACode(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{nil, 2, []string{"usage: overland-agent VERB"}},
		{[]string{"dance"}, 2, []string{`overland-agent: no verb "dance" · hint: overland-agent help`}},
		{[]string{"sttaus"}, 2, []string{`no verb "sttaus" · hint: did you mean overland-agent status?`}},
		{[]string{"help", "dance"}, 2, []string{`no verb "dance"`}},
		{[]string{"status", "--loud"}, 2, []string{"status: flag provided but not defined: -loud", "overland-agent help status"}},
		{[]string{"status", "now"}, 2, []string{"usage: overland-agent status", "hint"}},
		{[]string{"logs"}, 2, []string{"usage: overland-agent logs SERVICE"}},
		{[]string{"logs", "a.b", "-n", "x"}, 2, []string{"invalid value", "-n"}},
		{[]string{"rollback", "-1"}, 2, []string{"rollback: flag provided but not defined: -1"}},
		{[]string{"rollback", "last"}, 2, []string{"a generation is a number"}},
		{[]string{"rollback"}, 5, []string{"hint: start the agent"}},
		{[]string{"install"}, 2, []string{"install: from where? · hint: sh FILE install"}},
		{[]string{"install", "--volume", "a", "--site", "https://10.0.0.1"}, 2, []string{"only one of"}},
		{[]string{"install", "--volume", "/nowhere/x.volume"}, 1, []string{"/nowhere/x.volume"}},
		{[]string{"install", "--volume", "a", "--service", "launchd"}, 2, []string{"not one of auto, systemd, openrc, none"}},
		{[]string{"status", "--state", "/a'b"}, 2, []string{"cannot be a node's directory"}},
		{[]string{"status", "--state", "/"}, 2, []string{"cannot be a node's directory"}},
		{[]string{"verify"}, 2, []string{"which volume? · hint"}},
		{[]string{"extract", "--volume", "/nowhere/x.volume", "d"}, 1, []string{"/nowhere/x.volume"}},
		{[]string{"uninstall"}, 0, []string{"nothing is installed"}},
	} {
		r := cli(t, tt.args...)
		if r.code != tt.code {
			t.Errorf("%q: exit code %d, want %d\n%s", tt.args, r.code, tt.code, r.err)
		}
		for _, want := range tt.want {
			if !strings.Contains(r.err, want) {
				t.Errorf("%q: says %q, want %q in it", tt.args, r.err, want)
			}
		}
		if r.out != "" {
			t.Errorf("%q: printed a result: %q", tt.args, r.out)
		}
	}
}

func TestHelpIsComplete(t *testing.T) {
	all := cli(t, "help")
	if all.code != 0 || !strings.Contains(all.out, errs.ExitCodes) {
		t.Errorf("help = %+v", all)
	}
	for verb, examples := range nodecli.VerbExamples() {
		if !strings.Contains(all.out, "\n  "+verb+" ") {
			t.Errorf("help does not list %s", verb)
		}
		one := cli(t, "help", verb)
		flag := cli(t, verb, "--help")
		if one.code != 0 || flag.code != 0 || one.out != flag.out {
			t.Errorf("help %s and %s --help differ: %+v, %+v", verb, verb, one, flag)
		}
		for _, want := range []string{"usage: overland-agent " + verb, "Examples:", errs.ExitCodes} {
			if !strings.Contains(one.out, want) {
				t.Errorf("help %s lacks %q", verb, want)
			}
		}
		for _, example := range examples {
			args := strings.Fields(example)
			if err := nodecli.Parse(verb, args[1:]); args[0] != verb || err != nil {
				t.Errorf("example %q does not parse: %v", example, err)
			}
		}
	}
}

// The reference page holds what help prints, word for word.
func TestReferencePageIsHelp(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference/node-cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for verb := range nodecli.VerbExamples() {
		if text := cli(t, "help", verb).out; !strings.Contains(string(page), text) {
			t.Errorf("docs/reference/node-cli.md lacks this, which help %s prints:\n%s", verb, text)
		}
	}
}
