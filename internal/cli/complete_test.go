package cli_test

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completed returns what the shell is offered after args, the last of which is being typed.
func completed(t *testing.T, env map[string]string, args ...string) []string {
	t.Helper()
	code, out, msg := run(t.Context(), env, append([]string{"__complete"}, args...)...)
	if code != 0 {
		t.Fatalf("%q: exit code %d: %s", args, code, msg)
	}
	var list []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, ":") {
			list = append(list, line)
		}
	}
	return list
}

// completesNames holds that names are completed from the site directory, which that does not change;
// where there is none, none are offered and none is made. It is part of TestExamples for its site.
func completesNames(t *testing.T, site string, versions []string) {
	env := siteEnv(site)
	before := files(t, env["OVERLAND_HOME"])
	one, two := "wallet@"+versions[0], "wallet@"+versions[1]
	for line, want := range map[string][]string{
		"rollback ":                   {"live", "staging"},
		"rollback live ":              {"wallet"},
		"rollback live wallet ":       nil,
		"promote ":                    {one, two, "wallet"},
		"promote x --to ":             {"live", "staging"},
		"release show ":               {one, two},
		"release remove " + one + " ": {two},
		"release list ":               {"wallet"},
		"channel show ":               {"live", "staging"},
		"channel remove ":             {"wallet"},
		"seal --channel ":             {"live", "staging"},
		"seal --channel live --app ":  {"wallet"},
	} {
		if got := completed(t, env, strings.Split(line, " ")...); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
		none := map[string]string{"OVERLAND_HOME": filepath.Join(t.TempDir(), "none")}
		if got := completed(t, none, strings.Split(line, " ")...); len(got) > 0 {
			t.Errorf("%q without a site directory: %q", line, got)
		}
		if got := files(t, none["OVERLAND_HOME"]); len(got) > 0 {
			t.Errorf("%q made %v", line, slices.Collect(maps.Keys(got)))
		}
	}
	if after := files(t, env["OVERLAND_HOME"]); !maps.Equal(before, after) {
		t.Errorf("completion changed the site directory: %v, %v", before, after)
	}
}

// files returns the files below dir with their times.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	list := map[string]string{}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			list[path] = info.ModTime().String()
		}
		return err
	})
	return list
}

// Who looks on the operator's machine for what nodes do is told where it is.
func TestVerbsOfNodes(t *testing.T) {
	for _, verb := range []string{"status", "install"} {
		if code, _, msg := run(t.Context(), nil, verb, "x"); code != 2 || !strings.Contains(msg, "hint: on a node: overland-agent "+verb) {
			t.Errorf("%s: exit code %d: %s", verb, code, msg)
		}
	}
}
