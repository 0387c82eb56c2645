package cli_test

import (
	"strings"
	"testing"

	"overland/internal/cli"
	"overland/internal/errs"
)

// Every verb that people see stands in a group of the help, and every group
// of verbs says what its noun is.
func TestEveryVerbIsInAGroup(t *testing.T) {
	root := cli.Tree()
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.GroupID == "" {
			t.Errorf("%s is in no group", c.Name())
		}
		if c.HasSubCommands() && !strings.HasSuffix(c.Long, ".") {
			t.Errorf("%s: %q is not a sentence", c.Name(), c.Long)
		}
	}
	_, out, _ := run(t.Context(), nil, "--help")
	at := 0
	for _, title := range []string{"Build and release:", "Carry and install:", "Record and replay:", "Serve:", "Keys and trust:", "More:"} {
		i := strings.Index(out, "\n"+title+"\n")
		if i < at {
			t.Errorf("%q stands at %d, after %d", title, i, at)
		}
		at = i
	}
}

func TestVersion(t *testing.T) {
	_, verb, _ := run(t.Context(), nil, "version")
	code, flag, _ := run(t.Context(), nil, "--version")
	if code != 0 || flag != verb || !strings.HasPrefix(flag, "overland ") {
		t.Errorf("--version: exit code %d, %q; version: %q", code, flag, verb)
	}
}

func TestUnknownVerbs(t *testing.T) {
	for line, want := range map[string]string{
		"chanel":      "did you mean overland channel?",
		"relese":      "did you mean overland release?",
		"frobnicate":  "overland --help lists them",
		"inside-out":  "overland --help lists them",
		"lock verfy":  "did you mean overland lock verify?",
		"volume what": "one of verify, list, extract",
	} {
		code, _, msg := run(t.Context(), nil, strings.Fields(line)...)
		if code != errs.Invalid.Exit() || !strings.Contains(msg, " · hint: "+want) {
			t.Errorf("%s: exit code %d, %q, want the hint %q", line, code, msg, want)
		}
	}
}
