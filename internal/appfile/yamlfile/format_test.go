package yamlfile_test

import (
	"regexp"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/appfile/yamlfile"
	"overland/internal/appfile/yamlfile/yamltest"
)

// kettle is what a builder of its own folder brings.
type kettle struct{ Water string }

var format = yamlfile.Format{
	Builders: []yamlfile.Builder{
		yamlfile.NewBuilder("kettle", "Builder key: tea.", []yamlfile.Key[kettle]{
			yamlfile.Text("water", "Where the water comes from.", regexp.MustCompile(`^[a-z]+$`), "a to z", func(k *kettle) *string { return &k.Water }).Must(),
		}),
	},
	Runtimes: []yamlfile.Runtime{
		{Name: "cup"},
		{Name: "pot", Keys: []yamlfile.Key[appfile.Service]{
			yamlfile.Text("lid", "Who runs with the lid on.", regexp.MustCompile(`^[a-z]+$`), "a to z", func(s *appfile.Service) *string { return &s.User }),
		}},
	},
	LaterBuilders: []string{"samovar"},
	LaterRuntimes: []string{"bowl"},
}

const tea = "overland: 1\nname: tea\nartifacts:\n  tea: {kettle: {water: well}}\nservices:\n  s:\n    artifact: tea\n"

func TestKeysThatBuildersAndRuntimesBring(t *testing.T) {
	yamltest.Run(t, format, map[string]string{
		"default runtime": tea,
		"runtime's key":   tea + "    runtime: pot\n    lid: root\n",
	}, map[string]yamltest.Refusal{
		"key missing":           {strings.Replace(tea, "{water: well}", "{}", 1), "f.yaml:4:17: kettle has no key water", "water: Where", true},
		"key misspelt":          {strings.Replace(tea, "water", "watre", 1), `f.yaml:4:18: unknown key "watre" · did you mean water?`, "water: Where", true},
		"later builder":         {strings.Replace(tea, "kettle:", "samovar:", 1), "f.yaml:4:18: the builder samovar is not there yet", "that are there: kettle", true},
		"another runtime's key": {tea + "    lid: root\n", "f.yaml:8:10: lid belongs to the runtime pot, not to cup", "runtime: pot", false},
		"later runtime":         {tea + "    runtime: bowl\n", "f.yaml:8:14: the runtime bowl is not there yet", "cup, pot", true},
		"unknown runtime":       {tea + "    runtime: pto\n", `unknown runtime "pto" · did you mean pot?`, "one of: cup, pot", true},
	})
	app, err := format.Parse([]byte(tea+"    runtime: pot\n    lid: root\n"), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a, s := app.Artifacts["tea"], app.Services["s"]
	if k, ok := a.Settings.(*kettle); !ok || a.Builder != "kettle" || k.Water != "well" || s.Runtime != "pot" || s.User != "root" {
		t.Errorf("%+v, %+v", a, s)
	}
}
