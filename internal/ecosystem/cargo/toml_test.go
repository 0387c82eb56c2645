package cargo

import (
	"runtime"
	"strings"
	"testing"
)

// A configuration file of a checkout, of a few KB, is not GBs of memory.
func TestAConfigurationThatIsABomb(t *testing.T) {
	const deep = 3000
	for name, text := range map[string]string{
		"inline tables":              "a = " + strings.Repeat("{a = ", deep),
		"inline tables over lines":   "a = " + strings.Repeat("{a = [\n", deep),
		"a name":                     strings.Repeat("a.", deep) + "a = 1",
		"a table":                    "[" + strings.Repeat("a.", deep) + "a]",
		"many names of less":         strings.Repeat(strings.Repeat("a.", 90)+"a = 1\n", deep),
		"arrays, which do no harm":   "a = " + strings.Repeat("[", deep),
		"what looks like a text":     `x = '''a''''` + "\na = " + strings.Repeat("{a = ", deep),
		"longer than a file may get": strings.Repeat("# comment\n", configLength/10+1),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var to map[string]any
		err := readTOML([]byte(text), &to)
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; err == nil || took > 16 {
			t.Errorf("%s: %d MiB, %v", name, took, err)
		}
	}
	var to struct {
		Source map[string]struct {
			Registry string
		}
	}
	good := strings.Repeat("# a comment ... with dots\n", 100) + "[source.crates-io]\nregistry = 'sparse+https://a.example/'\n"
	if err := readTOML([]byte(good), &to); err != nil || to.Source["crates-io"].Registry == "" {
		t.Errorf("%+v, %v", to, err)
	}
}
