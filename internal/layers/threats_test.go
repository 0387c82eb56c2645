package layers

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const threats = "../../docs/explanation/threats.md"

// proofs returns the names of all tests of the tree, and of all scripts.
func proofs(t *testing.T) map[string]bool {
	t.Helper()
	name := regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+)\(`)
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (strings.HasPrefix(e.Name(), ".") && len(e.Name()) > 2 || e.Name() == "third_party"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			found[e.Name()] = true
		case strings.HasSuffix(path, "_test.go"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range name.FindAllSubmatch(b, -1) {
				found[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// unproved returns what is wrong with a page of threats: tests that are not there, and lines of a table
// with the column "test" that name none.
func unproved(page string, there map[string]bool) (bad []string, named int) {
	quoted := regexp.MustCompile("`((?:Test|Fuzz)\\w+|[\\w-]+\\.txtar)`")
	claims := false
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			claims = false
		}
		tests := quoted.FindAllStringSubmatch(line, -1)
		for _, m := range tests {
			if named++; !there[m[1]] {
				bad = append(bad, m[1]+" is not a test")
			}
		}
		switch {
		case strings.HasSuffix(line, "| test |"):
			claims = true
		case claims && !strings.HasPrefix(line, "|--") && len(tests) == 0:
			bad = append(bad, "no test: "+line)
		}
	}
	return bad, named
}

// The page of threats claims nothing that no test proves.
func TestThreatsAreTested(t *testing.T) {
	page, err := os.ReadFile(threats)
	if err != nil {
		t.Fatal(err)
	}
	there := proofs(t)
	bad, named := unproved(string(page), there)
	for _, s := range bad {
		t.Errorf("%s: %s", threats, s)
	}
	const atLeast = 100 // the page cannot be emptied in silence
	if named < atLeast {
		t.Errorf("%s names %d tests", threats, named)
	}
	if bad, _ := unproved("| what | test |\n|---|---|\n| a | `TestNoSuch` |\n| b | none |\n", there); len(bad) != 2 {
		t.Errorf("what is not proved is not noticed: %q", bad)
	}
}
