package yamlfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"overland/internal/errs"
)

const (
	publishedSchema = "../../../docs/reference/overland.schema.json"
	reference       = "../../../docs/reference/overland-yaml.md"
)

func TestPublishedSchemaIsCurrent(t *testing.T) {
	got, err := os.ReadFile(publishedSchema)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, Schema()) {
		t.Error("docs/reference/overland.schema.json is old: go generate ./internal/appfile/yamlfile")
	}
}

func TestReferenceNamesEveryKey(t *testing.T) {
	b, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	check := func(list []string) {
		for _, name := range list {
			if !strings.Contains(string(b), "`"+name+"`") {
				t.Errorf("the reference does not mention `%s`", name)
			}
		}
	}
	check(documented(appKeys()))
	check(documented(artifactKeys()))
	check(documented(goKeys()))
	check(documented(commandKeys()))
	check(documented(serviceKeys()))
	check(documented(restartKeys()))
	check(documented(checkKeys()))
	for i, block := range strings.Split(string(b), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if _, err := Parse([]byte(text), "example"); err != nil {
			t.Errorf("example %d: %v\n%s", i+1, err, text)
		}
	}
}

func documented[T any](keys []key[T]) []string {
	var list []string
	for _, k := range keys {
		if k.doc != "" {
			list = append(list, k.name)
		}
	}
	return list
}

// TestSchemaAgrees holds the schema against the parser: it accepts whatever the parser does, and refuses what it can.
func TestSchemaAgrees(t *testing.T) {
	var s any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	for name, text := range good {
		if err := validate(s, load(t, text), "$"); err != nil {
			t.Errorf("%s: the schema refuses it: %v", name, err)
		}
	}
	for name, test := range bad {
		if !test.schema {
			continue
		}
		if err := validate(s, load(t, test.yaml), "$"); err == nil {
			t.Errorf("%s: the schema accepts it:\n%s", name, test.yaml)
		}
	}
}

// load returns what a JSON schema sees of a YAML file.
func load(t *testing.T, text string) any {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// validate is as much of JSON schema 2020-12 as Schema uses; a keyword that it does not know fails the test.
func validate(schema, v any, at string) error {
	for key, want := range schema.(map[string]any) {
		if err := keyword(schema.(map[string]any), key, want, v, at); err != nil {
			return err
		}
	}
	return nil
}

func keyword(s map[string]any, key string, want, v any, at string) error {
	object, isObject := v.(map[string]any)
	array, isArray := v.([]any)
	text, isText := v.(string)
	number, isNumber := v.(float64)
	bad := func(is bool) error {
		if is {
			return fmt.Errorf("%s: %s %v", at, key, want)
		}
		return nil
	}
	switch key {
	case "$schema", "$comment", "title", "description":
		return nil
	case "type":
		types, many := want.([]any)
		if !many {
			types = []any{want}
		}
		_, isBool := v.(bool)
		is := map[string]bool{
			"object": isObject, "array": isArray, "string": isText, "number": isNumber,
			"integer": isNumber && number == float64(int(number)), "boolean": isBool,
		}
		return bad(!slices.ContainsFunc(types, func(t any) bool { return is[t.(string)] }))
	case "const":
		return bad(!reflect.DeepEqual(want, v))
	case "enum":
		return bad(!slices.ContainsFunc(want.([]any), func(w any) bool { return reflect.DeepEqual(w, v) }))
	case "pattern":
		return bad(isText && !regexp.MustCompile(want.(string)).MatchString(text))
	case "minLength":
		return bad(isText && len(text) < int(want.(float64)))
	case "minimum":
		return bad(isNumber && number < want.(float64))
	case "maximum":
		return bad(isNumber && number > want.(float64))
	case "minItems":
		return bad(isArray && len(array) < int(want.(float64)))
	case "minProperties":
		return bad(isObject && len(object) < int(want.(float64)))
	case "uniqueItems":
		for i, a := range array {
			if slices.ContainsFunc(array[:i], func(b any) bool { return reflect.DeepEqual(a, b) }) {
				return bad(true)
			}
		}
		return nil
	case "required":
		for _, name := range want.([]any) {
			if _, ok := object[name.(string)]; isObject && !ok {
				return bad(true)
			}
		}
		return nil
	case "items":
		for i, e := range array {
			if err := validate(want, e, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	case "propertyNames":
		for name := range object {
			if err := validate(want, name, at); err != nil {
				return err
			}
		}
		return nil
	case "properties":
		for name, e := range object {
			if p, ok := want.(map[string]any)[name]; ok {
				if err := validate(p, e, at+"."+name); err != nil {
					return err
				}
			}
		}
		return nil
	case "additionalProperties":
		known, _ := s["properties"].(map[string]any)
		for name, e := range object {
			if _, ok := known[name]; ok {
				continue
			}
			if want == false {
				return fmt.Errorf("%s: unknown %s", at, name)
			}
			if err := validate(want, e, at+"."+name); err != nil {
				return err
			}
		}
		return nil
	case "oneOf":
		n := 0
		for _, one := range want.([]any) {
			if validate(one, v, at) == nil {
				n++
			}
		}
		return bad(n != 1)
	}
	return fmt.Errorf("keyword %s is not known to this test", key)
}

func FuzzParse(f *testing.F) {
	design, err := os.ReadFile("testdata/design.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(design)
	for _, text := range good {
		f.Add([]byte(text))
	}
	for _, test := range bad {
		if len(test.yaml) < 1000 {
			f.Add([]byte(test.yaml))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		app, err := Parse(b, "f.yaml")
		if err != nil {
			if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
				t.Errorf("%v: kind %v, hint %q", err, errs.KindOf(err), errs.HintOf(err))
			}
			return
		}
		again, err := Parse(Marshal(app), "f.yaml")
		if err != nil || !reflect.DeepEqual(app, again) {
			t.Errorf("reads back as %+v (%v), want %+v", again, err, app)
		}
	})
}
