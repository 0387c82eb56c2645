package ecosystem_test

import (
	"slices"
	"strings"
	"testing"

	"overland/internal/ecosystem"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
)

// Every ecosystem is in the table once, with what sessions and caches need of it.
func TestTable(t *testing.T) {
	var names []string
	for _, one := range ecosystem.Table() {
		if slices.Contains(names, one.Name) {
			t.Errorf("%s is there twice", one.Name)
		}
		names = append(names, one.Name)
		if one.Command == "" || one.Serve == nil || one.Line == nil {
			t.Errorf("%s: %+v", one.Name, one)
		}
	}
	if got := strings.Join(names, " "); got != "go npm pypi apt cargo apk" {
		t.Errorf("the table is %s", got)
	}
}

// Without the tools themselves a cache serves what it has upstreams for; a name
// that nobody knows is a mistake.
func TestServeWithoutTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	list, err := ecosystem.Serve(t.Context(), map[string][]string{"npm": {"http://127.0.0.1:1/"}, "other": {"x"}}, []string{"other"}, nil)
	if err != nil || len(list) != 1 || list[0].Protocol.Name() != "npm" {
		t.Errorf("%v, %v", list, err)
	}
	_, err = ecosystem.Serve(t.Context(), map[string][]string{"nmp": {"http://127.0.0.1:1/"}}, []string{"other"}, nil)
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "npm") || !strings.Contains(errs.HintOf(err), "other") {
		t.Errorf("a misspelt name: %v, hint %q", err, errs.HintOf(err))
	}
	if _, err := ecosystem.Serve(t.Context(), nil, nil, nil); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("nothing to serve: %v", err)
	}
}

func TestLines(t *testing.T) {
	for _, line := range ecosystem.Lines(tool.Face{Base: "http://10.0.0.1:3142", Freeze: "tuesday"}) {
		if !strings.Contains(line, "10.0.0.1:3142") || strings.Contains(line, "\n") {
			t.Errorf("line %q", line)
		}
	}
}
