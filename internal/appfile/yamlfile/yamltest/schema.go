package yamltest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
)

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

// validate is as much of JSON schema 2020-12 as Schema uses; a keyword that
// it does not know fails the test.
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
	case "maxItems":
		return bad(isArray && len(array) > int(want.(float64)))
	case "maxProperties":
		return bad(isObject && len(object) > int(want.(float64)))
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
	case "not":
		return bad(validate(want, v, at) == nil)
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
