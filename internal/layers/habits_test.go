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
	but     []string // folders and files that may
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
		regexp.MustCompile(`\bos\.(Open|ReadFile|DirFS)\([^"]|\broot\.Open\([^"]`), // a constant path is the kernel's or the system's
		"fsx.Open, fsx.ReadFile, fsx.OpenIn or fsx.DirFS, which a pipe or a device under that name cannot stop; " +
			"fsx.OpenStream for what a person named",
		[]string{
			"internal/fsx", "internal/confine", "internal/procfs", "internal/platform/sysinfo", "internal/testkit", "internal/trust/conformance",
			"internal/runtime/runtimetest", "internal/store", "internal/netcache/server", // their own folders
			"internal/session", "internal/ecosystem", "internal/builder/command", // made by this process; the user's own settings
			"internal/netcache/client/seen.go", "bench", "demo",
		},
	},
	{
		regexp.MustCompile(`"err", err\b`),
		"the key of an error in a log is \"error\"",
		nil,
	},
	{
		regexp.MustCompile(`[A-Za-z)\]]\.Redacted\(\)`),
		"httpx.RedactedURL: net/url hides only passwords, and a token may stand in the query",
		[]string{"internal/httpx"},
	},
	{
		regexp.MustCompile(`os\.Environ\(\)`),
		"environ.Child, which leaves out what holds keys",
		[]string{"internal/environ", "internal/testkit", "bench", "demo"},
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
		regexp.MustCompile(`(exec|procgroup)\.Command(Context)?\(`),
		"tool.Ask for a tool that is asked about itself: a file of a checkout must run nothing",
		[]string{
			"internal/procgroup",
			"internal/ecosystem/tool", "internal/source", "internal/session", "internal/builder/golang", "internal/builder/command", "internal/confine",
			"internal/runtime", "internal/agent/host", "internal/trust/conformance", "internal/testkit", "bench", "demo",
		},
	},
	{
		regexp.MustCompile(`\b(tar\.NewReader|zip\.(NewReader|OpenReader)|elf\.NewFile|buildinfo\.Read)\(`),
		"archive.NewTar, archive.Zip, archive.ELF: what others packed is read within bounds",
		[]string{
			"internal/archive", "internal/testkit", "bench", "demo",
			"internal/platform/sysinfo", // the machine's own
			"internal/operator/agents",  // our own programs
			"internal/image/layer.go",   // one header, to tell a tar from something else
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
			may = may || strings.HasPrefix(filepath.ToSlash(name)+"/", folder+"/")
		}
		if found := h.never.FindString(text); found != "" && !may {
			bad = append(bad, name+": "+found+"…: instead: "+h.instead)
		}
	}
	at := filepath.ToSlash(name)
	if strings.HasPrefix(at, "internal/") && !strings.HasPrefix(at, "internal/testkit/") && envElsewhere[at] == "" &&
		strings.Contains(text, "exec.Command") && !strings.Contains(text, ".Env = ") {
		bad = append(bad, name+": a program is started with all of this process's environment: instead: cmd.Env = environ.Child(), or a list of its own")
	}
	return bad
}

// envElsewhere are files that start programs whose environment is set in another file.
var envElsewhere = map[string]string{
	"internal/session/reaper_linux.go":   "Record and Replay set it",
	"internal/session/replay_other.go":   "Record sets it",
	"internal/trust/conformance/main.go": "not a part of the program: the public suite starts it",
}

func TestBrokenHabitsAreFound(t *testing.T) {
	for text, want := range map[string]int{
		"b, err := io.ReadAll(io.LimitReader(r, 5))":      1,
		"json.NewDecoder(io.LimitReader(r, limit))":       1,
		"in := &io.LimitedReader{R: r, N: 5}":             1,
		"b, err := fsx.Read(r, name, 5)":                  0,
		"n, err := io.Copy(h, io.LimitReader(r, size+1))": 0,
		"f, err := os.Open(path)":                         1,
		"b, err := os.ReadFile(name)":                     1,
		"f, err := root.Open(name)":                       1,
		"tree := os.DirFS(dir)":                           1,
		`b, err := os.ReadFile("/proc/mounts")`:           0,
		"f, err := fsx.Open(path)":                        0,
		"fmt.Fprintf(t.Stdout, name)":                     1,
		"env := append(os.Environ(), more)":               1,
	} {
		if got := broken("internal/x/x.go", text); len(got) != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for text, want := range map[string]int{"exec.CommandContext(ctx, name).Run()": 1, "c := exec.Command(name); c.Env = list": 0} {
		if got := broken("internal/source/x.go", text); len(got) != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if got := broken("internal/fsx/read.go", "io.ReadAll(io.LimitReader(r, 5))"); len(got) != 0 {
		t.Error(got)
	}
}
