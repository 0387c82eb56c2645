package yamltest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/appfile/yamlfile"
	"overland/internal/errs"
)

// Refusal is a file that is refused. It has no name of its own, so that tables may
// leave out the names of its fields.
type Refusal = struct {
	YAML   string
	Says   string // part of the error: "f.yaml:4:11: …"
	Hint   string // part of its hint
	Schema bool   // the schema refuses it too
}

// Run checks f against files that it accepts and files that it refuses, by what each is about.
func Run(t *testing.T, f yamlfile.Format, good map[string]string, bad map[string]Refusal) {
	t.Helper()
	var schema any
	if err := json.Unmarshal(f.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	for name, text := range good {
		t.Run(name, func(t *testing.T) {
			app, err := f.Parse([]byte(text), "f.yaml")
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if err := validate(schema, load(t, text), "$"); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
			again, err := f.Parse(f.Marshal(app), "f.yaml")
			if diff := cmp.Diff(app, again); err != nil || diff != "" {
				t.Errorf("what Marshal writes reads back as another (%v):\n%s", err, diff)
			}
		})
	}
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			app, err := f.Parse([]byte(c.YAML), "f.yaml")
			if err == nil {
				t.Fatalf("accepted: %+v", app)
			}
			if !strings.Contains(err.Error(), c.Says) || errs.KindOf(err) != errs.Invalid {
				t.Errorf("error %v: %v\nwant %v: %s", errs.KindOf(err), err, errs.Invalid, c.Says)
			}
			if hint := errs.HintOf(err); hint == "" || !strings.Contains(hint, c.Hint) {
				t.Errorf("hint %q, want %q in it", hint, c.Hint)
			}
			if c.Schema && validate(schema, load(t, c.YAML), "$") == nil {
				t.Errorf("the schema accepts it:\n%s", c.YAML)
			}
		})
	}
}
