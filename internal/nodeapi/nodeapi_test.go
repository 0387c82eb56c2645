package nodeapi_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/nodeapi"
)

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"op":"status"}`))
	f.Add([]byte(`{"op":"install","source":"/a.volume","install":{"root":"sha256:00"}}`))
	f.Add([]byte(`{"op":"rollback","generation":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := nodeapi.ReadRequest(strings.NewReader(string(b)))
		if err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("kind %s of %v", errs.KindOf(err), err)
		}
		if err == nil && q.Op == "" {
			t.Error("a request without a verb")
		}
	})
}

func TestErrorsKeepKindAndHint(t *testing.T) {
	for k := errs.Internal; k <= errs.Cancelled; k++ {
		want := errs.Hint(errs.Errorf(k, "open %s: no", "it"), "run it again")
		b, err := json.Marshal(nodeapi.NewError(want))
		if err != nil {
			t.Fatal(err)
		}
		var e nodeapi.Error
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		if got := e.Err(); errs.KindOf(got) != k || got.Error() != want.Error() || errs.HintOf(got) != errs.HintOf(want) {
			t.Errorf("%s: got %v, kind %s, hint %q", k, got, errs.KindOf(got), errs.HintOf(got))
		}
	}
	if e := nodeapi.NewError(nil); e != nil || e.Err() != nil {
		t.Error("no error became one")
	}
}

// Both programs print these types, so one that does not follow the rule makes a second dialect.
func TestKeysAreCamelCase(t *testing.T) {
	camel := regexp.MustCompile(`^[a-z]+([A-Z][a-z0-9]*)*$`)
	seen := map[reflect.Type]bool{}
	var walk func(ty reflect.Type, path string)
	walk = func(ty reflect.Type, path string) {
		for ty.Kind() == reflect.Pointer || ty.Kind() == reflect.Slice || ty.Kind() == reflect.Map {
			ty = ty.Elem()
		}
		if ty.Kind() != reflect.Struct || seen[ty] || !strings.HasPrefix(ty.PkgPath(), "overland/") {
			return
		}
		seen[ty] = true
		for i := range ty.NumField() {
			f := ty.Field(i)
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.Anonymous && !camel.MatchString(key) {
				t.Errorf("%s.%s has the key %q", path, f.Name, key)
			}
			walk(f.Type, fmt.Sprintf("%s.%s", path, f.Name))
		}
	}
	for _, v := range []any{nodeapi.Request{}, nodeapi.Response{}, nodeapi.Inspection{}} {
		walk(reflect.TypeOf(v), reflect.TypeOf(v).Name())
	}
	if len(seen) < 15 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}
