package cli_test

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"overland/internal/cli"
)

// obeyed is what a terminal obeys, or an eye takes for something else.
var obeyed = regexp.MustCompile("[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069]")

// Whatever verb is given a name, an address, a file or a flag that a terminal would obey, now and in later verbs, shows
// it and obeys nothing; what is printed as JSON is JSON.
func TestS22NoVerbObeysAName(t *testing.T) {
	const hostile = "x\x1b[2J\x1b]0;t\a\x9b\u202e\u009by\rz"
	t.Chdir(t.TempDir())
	home := t.TempDir()
	t.Setenv("HOME", home)
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, c := range cli.AllVerbs(cli.Tree())[1:] {
		if c.Example == "" {
			continue // a group
		}
		words := strings.Fields(c.CommandPath())[1:]
		lines := [][]string{{hostile}, {hostile, hostile}, {"--" + hostile}, {"--home", hostile}}
		if c.Flags().Lookup("json") != nil {
			lines = append(lines, []string{"--json", hostile}, []string{"--json"})
		}
		for _, more := range lines {
			ctx := t.Context()
			if c.CommandPath() == "overland site run" {
				ctx = stopped
			}
			code, out, msg := run(ctx, map[string]string{"HOME": home, "OVERLAND_HOME": home + "/site"}, slices.Concat(words, more)...)
			if at := obeyed.FindString(out + msg); at != "" || !utf8.ValidString(out+msg) {
				t.Errorf("%s %q prints %q in %.300q", c.CommandPath(), more, at, out+msg)
			}
			if more[0] == "--json" && code == 0 && !json.Valid([]byte(out)) {
				t.Errorf("%s %q prints %.200q", c.CommandPath(), more, out)
			}
		}
	}
}
