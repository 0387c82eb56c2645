package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/errs"
)

const (
	junit = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite name="s"><testcase classname="pkg" name="good" time="0.1"/>
<testcase classname="pkg" name="bad"><failure message="want 1">got &lt;2&gt;</failure></testcase>
<testcase name="broken"><error>it ended</error><system-out>noise</system-out></testcase>
<testcase name="later"><skipped/></testcase></testsuite></testsuites>`
	events = `go: downloading x
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: got 2\n"}
{"Action":"output","Package":"p","Test":"TestA/sub","Output":"deep\n"}
{"Action":"fail","Package":"p","Test":"TestA/sub"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p"}
{"Action":"output","Package":"q","Output":"q.go:1: syntax error\n"}
{"Action":"fail","Package":"q"}
`
)

func TestReports(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Tests
	}{
		"junit":  {"\ufeff\n" + junit, Tests{Total: 4, Failed: 2, Skipped: 1, Failure: []Test{{"pkg bad", "want 1\ngot <2>"}, {"broken", "it ended"}}}},
		"events": {events, Tests{Total: 5, Failed: 3, Skipped: 1, Failure: []Test{{"p TestA/sub", "deep"}, {"q", "q.go:1: syntax error"}}}},
	} {
		got, err := ParseReport(strings.NewReader(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, *got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}

// A report that was made to fill the memory of whoever reads it is refused, or read in little.
func TestAReportThatIsABomb(t *testing.T) {
	refused := map[string]string{
		"nothing":    " \n",
		"a page":     "<html></html>",
		"text":       "hello\n",
		"deep":       strings.Repeat("<testsuite>", maxDepth+1),
		"entities":   `<!DOCTYPE t [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><testsuite>&b;</testsuite>`,
		"many tests": "<testsuite>" + strings.Repeat("<testcase/>", maxTests+1) + "</testsuite>",
		"a line":     `{"Action":"output","Output":"` + strings.Repeat("x", maxLine) + `"}`,
		"half":       "<testsuite><testcase>",
	}
	for name, text := range refused {
		if got, err := ParseReport(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got, err := parseReport(strings.NewReader(junit), int64(len(junit))-1); err == nil {
		t.Errorf("too long: %+v", got)
	}
	long := strings.Repeat("n", 10_000)
	got, err := ParseReport(strings.NewReader("<testsuite>" + strings.Repeat(`<testcase name="`+long+`"><failure>`+long+`</failure></testcase>`, 120) + "</testsuite>"))
	if err != nil || got.Failed != 120 || len(got.Failure) != maxFailures {
		t.Fatalf("%v, %+v", err, got)
	}
	for _, f := range got.Failure {
		if len(f.Name) > maxName+8 || len(f.Says) > maxSays+8 {
			t.Fatalf("a failure of %d and %d bytes", len(f.Name), len(f.Says))
		}
	}
}

func TestAReportIsInTheCopy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "src")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+".xml", []byte(junit), 0o600), os.Symlink("../src.xml", filepath.Join(dir, "r.xml"))); err != nil {
		t.Fatal(err)
	}
	if got, err := readReport(dir, "r.xml"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a link that leaves the copy: %+v, %v", got, err)
	}
	if _, err := readReport(dir, "none.xml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

func FuzzReport(f *testing.F) {
	f.Add(junit)
	f.Add(events)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseReport(strings.NewReader(text))
		if err != nil {
			return
		}
		if got.Failed > got.Total+1 || len(got.Failure) > got.Failed || len(got.Failure) > maxFailures {
			t.Errorf("%+v", got)
		}
	})
}
