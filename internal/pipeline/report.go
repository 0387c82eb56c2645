package pipeline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Bounds of a report: a command made it, and may have made it to fill somebody's memory.
const (
	maxReport   = 32 << 20 // bytes
	maxDepth    = 64       // elements in each other
	maxTests    = 100_000
	maxFailures = 100      // that are named
	maxName     = 300      // bytes of a test's name
	maxSays     = 2 << 10  // bytes of what a test said
	maxHeld     = 16 << 20 // bytes of what tests have said that have not ended
	maxLine     = 1 << 20  // bytes of an event
)

// Tests is what the tests of a step did.
type Tests struct {
	Total   int    `json:"total"`
	Failed  int    `json:"failed"`
	Skipped int    `json:"skipped"`
	Failure []Test `json:"failure,omitempty"` // the first ones
}

// Test is a test that failed.
type Test struct {
	Name string `json:"name"`
	Says string `json:"says,omitempty"` // the end of it
}

// readReport reads the report called name in a step's copy; fs.ErrNotExist when there is none. No link is
// followed out of the copy.
func readReport(dir, name string) (*Tests, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := fsx.OpenIn(root, filepath.FromSlash(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "report %s: %w", name, err)
	}
	defer f.Close()
	t, err := ParseReport(f)
	if err != nil {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "report %s: %w", name, err), "it is JUnit XML, or what go test -json prints")
	}
	return t, nil
}

// ParseReport reads JUnit XML, or the lines of go test -json, of at most 32 MiB.
func ParseReport(r io.Reader) (*Tests, error) { return parseReport(r, maxReport) }

func parseReport(r io.Reader, most int64) (*Tests, error) {
	br := bufio.NewReader(fsx.Limit(r, most))
	if bom, err := br.Peek(3); err == nil && string(bom) == "\ufeff" {
		_, _ = br.Discard(len(bom))
	}
	for {
		b, err := br.Peek(1)
		switch {
		case errors.Is(err, io.EOF):
			return nil, errors.New("it is empty")
		case err != nil:
			return nil, err
		case bytes.ContainsAny(b, " \t\r\n"):
			_, _ = br.Discard(1)
		case b[0] == '<':
			return parseJUnit(br)
		default:
			return parseGo(br)
		}
	}
}

func (t *Tests) fail(name, says string) {
	t.Failed++
	if len(t.Failure) < maxFailures {
		t.Failure = append(t.Failure, Test{Name: clip(name, maxName, false), Says: strings.TrimSpace(clip(says, maxSays, true))})
	}
}

func (t *Tests) count() error {
	if t.Total++; t.Total > maxTests {
		return fmt.Errorf("more than %d tests", maxTests)
	}
	return nil
}

// clip returns at most n bytes of s, of its end or its beginning, as valid text.
func clip(s string, n int, end bool) string {
	switch {
	case len(s) <= n:
	case end:
		s = "…" + s[len(s)-n:]
	default:
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// parseJUnit reads the elements testcase of r, wherever they stand.
func parseJUnit(r io.Reader) (*Tests, error) {
	d := xml.NewDecoder(r) // it knows no entities but those of XML, and reads no other file
	t := &Tests{}
	var name, says string
	var failed, skipped, in, seen bool
	for depth := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if !seen {
				return nil, errors.New("it has no element testsuite")
			}
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return nil, fmt.Errorf("more than %d elements in each other", maxDepth)
			}
			switch e.Name.Local {
			case "testsuite", "testsuites":
				seen = true
			case "testcase":
				if err := t.count(); err != nil {
					return nil, err
				}
				name, says, failed, skipped = strings.TrimPrefix(attr(e, "classname")+" ", " ")+attr(e, "name"), "", false, false
			case "failure", "error":
				in, failed = true, true
				says = clip(says+attr(e, "message")+"\n", maxSays, true)
			case "skipped":
				skipped = true
			}
		case xml.CharData:
			if in {
				says = clip(says+clip(string(e), maxSays, true), maxSays, true)
			}
		case xml.EndElement:
			depth--
			switch e.Name.Local {
			case "failure", "error":
				in = false
			case "testcase":
				if failed {
					t.fail(name, says)
				} else if skipped {
					t.Skipped++
				}
				failed = false
			}
		}
	}
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return clip(a.Value, maxSays, true)
		}
	}
	return ""
}

// event is a line of go test -json.
type event struct{ Action, Package, Test, Output string }

// goReport gathers events.
type goReport struct {
	Tests
	said   map[[2]string]string // of tests that have not ended, the end of it
	held   int                  // bytes in said
	failed map[string]bool      // packages with a test that failed
}

// parseGo reads lines of go test -json; others between them, as of a build, are passed over.
func parseGo(r io.Reader) (*Tests, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	g := &goReport{said: map[[2]string]string{}, failed: map[string]bool{}}
	seen := false
	for lines.Scan() {
		var e event
		if line := bytes.TrimSpace(lines.Bytes()); len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &e) != nil || e.Action == "" {
			continue
		}
		seen = true
		if err := g.add(e); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if !seen {
		return nil, errors.New("no line of it is an event of go test")
	}
	// A test fails with those in it, which say why.
	g.Failure = slices.DeleteFunc(g.Failure, func(a Test) bool {
		return slices.ContainsFunc(g.Failure, func(b Test) bool { return strings.HasPrefix(b.Name, a.Name+"/") })
	})
	return &g.Tests, nil
}

func (g *goReport) add(e event) error {
	at := [2]string{e.Package, e.Test}
	switch e.Action {
	case "output":
		before := g.said[at]
		if after := clip(before+e.Output, maxSays, true); g.held+len(after)-len(before) <= maxHeld {
			g.held += len(after) - len(before)
			g.said[at] = after
		}
		return nil
	case "pass", "fail", "skip":
	default:
		return nil
	}
	says := g.said[at]
	g.held -= len(says)
	delete(g.said, at)
	if e.Test == "" {
		if e.Action == "fail" && !g.failed[e.Package] { // it was not compiled, or ended by itself
			g.fail(e.Package, says)
			return g.count()
		}
		return nil
	}
	switch e.Action {
	case "fail":
		g.failed[e.Package] = true
		g.fail(e.Package+" "+e.Test, says)
	case "skip":
		g.Skipped++
	}
	return g.count()
}
