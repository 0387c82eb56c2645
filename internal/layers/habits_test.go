package layers

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// habits are what code outside of tests does not do, because there is one place that does it.
var habits = []struct {
	never   *regexp.Regexp
	instead string
	but     []string // folders that may
}{
	{
		regexp.MustCompile(`(ReadAll|NewScanner|NewDecoder)\(io\.LimitReader|&io\.LimitedReader`),
		"fsx.Read, fsx.ReadFile or fsx.Limit, which fail when there is more; fsx.Head cuts on purpose",
		[]string{"internal/fsx"},
	},
	{
		regexp.MustCompile(`"free (some|at least|%d|space)|syscall\.(ENOSPC|EDQUOT)`),
		"fsx.Full or fsx.Room: a full disk has one hint",
		[]string{"internal/fsx", "internal/confine"}, // there it is said of namespaces
	},
	{
		regexp.MustCompile(`"err", err\b`),
		"the key of an error in a log is \"error\"",
		nil,
	},
	{
		regexp.MustCompile(`fmt\.Fprint(f|ln)?\((t|tm)\.Std(out|err)|fmt\.Fprintf\(e\.(out|err)`),
		"term.Term's own ways to print, or printer.Fprintf: what others say must not reach a terminal as it is",
		[]string{"internal/cli/term"},
	},
	{
		regexp.MustCompile(`nolint:(gosec|mnd|nilnil|contextcheck)`),
		"a comment: .golangci.yml does not run that linter",
		nil,
	},
	{
		regexp.MustCompile(`exec\.Command(Context)?\(`),
		"tool.Ask for a tool that is asked about itself: a file of a checkout must run nothing",
		[]string{
			"internal/ecosystem/tool", "internal/source", "internal/session", "internal/builder/golang", "internal/builder/command", "internal/confine",
			"internal/runtime", "internal/agent/host", "internal/trust/conformance", "internal/testkit", "bench", "demo",
		},
	},
	{
		regexp.MustCompile(`func (clip\(s string\)|orDefault\(|def\()`),
		"the verb %.100q, and cmp.Or",
		nil,
	},
}

func TestHabits(t *testing.T) {
	const top = "../.."
	seen := 0
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		if base := e.Name(); e.IsDir() && (base == "testdata" || base == "third_party" || len(base) > 2 && base[0] == '.') {
			return fs.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for _, bad := range broken(name, string(text)) {
			t.Error(bad)
		}
		return nil
	})
	if err != nil || seen < 300 {
		t.Errorf("%d files were read, %v", seen, err)
	}
}

// broken returns what the file name, which holds text, does against the habits.
func broken(name, text string) []string {
	var bad []string
	for _, h := range habits {
		may := false
		for _, folder := range h.but {
			may = may || strings.HasPrefix(filepath.ToSlash(name), folder+"/")
		}
		if found := h.never.FindString(text); found != "" && !may {
			bad = append(bad, name+": "+found+"…: instead: "+h.instead)
		}
	}
	return bad
}

func TestBrokenHabitsAreFound(t *testing.T) {
	for text, want := range map[string]int{
		"b, err := io.ReadAll(io.LimitReader(r, 5))":      1,
		"json.NewDecoder(io.LimitReader(r, limit))":       1,
		"in := &io.LimitedReader{R: r, N: 5}":             1,
		"b, err := fsx.Read(r, name, 5)":                  0,
		"n, err := io.Copy(h, io.LimitReader(r, size+1))": 0,
	} {
		if got := broken("internal/x/x.go", text); len(got) != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if got := broken("internal/fsx/read.go", "io.ReadAll(io.LimitReader(r, 5))"); len(got) != 0 {
		t.Error(got)
	}
}
