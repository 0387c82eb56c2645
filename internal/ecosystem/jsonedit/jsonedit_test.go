package jsonedit_test

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"overland/internal/ecosystem/jsonedit"
)

func TestOnlyValuesOfTheKeyAreReplaced(t *testing.T) {
	to := func(s string) string { return strings.Replace(s, "http://a/", "http://b/", 1) }
	long := strings.Repeat(`x\"`, 50_000)
	for in, want := range map[string]string{
		`{"tarball":"http://a/x"}`:                              `{"tarball":"http://b/x"}`,
		"{\"tarball\" :\n \"http:\\/\\/a\\/x\"}":                "{\"tarball\" :\n \"http://b/x\"}",
		`{"tarball":null,"x":"http://a/x"}`:                     `{"tarball":null,"x":"http://a/x"}`,
		`["tarball","http://a/x"]`:                              `["tarball","http://a/x"]`,
		`{"x":"\"tarball\":\"http://a/x\""}`:                    `{"x":"\"tarball\":\"http://a/x\""}`,
		`{"x\\":"tarball","tarball":"http://a/"}`:               `{"x\\":"tarball","tarball":"http://b/"}`,
		`{"r":"` + long + `","tarball":"http://a/"}`:            `{"r":"` + long + `","tarball":"http://b/"}`,
		`{"tarball":"` + long + `","y":{"tarball":"http://a/"}`: `{"tarball":"` + long + `","y":{"tarball":"http://b/"}`,
		`{"tarball":"http://a/`:                                 `{"tarball":"http://a/`,
		``:                                                      ``,
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in))} {
			got, err := io.ReadAll(jsonedit.Values(r, "tarball", to))
			if err != nil || string(got) != want {
				t.Errorf("%s %.60s: %.60s, %v", name, in, got, err)
			}
		}
	}
}

func FuzzValues(f *testing.F) {
	f.Add([]byte(`{"versions":{"1":{"dist":{"tarball":"http://a/x","\\\"":"tarball"}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		same, err := io.ReadAll(jsonedit.Values(bytes.NewReader(b), "tarball", func(s string) string { return s }))
		if err != nil || !bytes.Equal(same, b) {
			t.Fatalf("%q became %q: %v", b, same, err)
		}
		got, err := io.ReadAll(jsonedit.Values(bytes.NewReader(b), "tarball", func(string) string { return "new" }))
		if err != nil {
			t.Fatal(err)
		}
		var in, out any
		if json.Unmarshal(b, &in) != nil {
			return
		}
		if err := json.Unmarshal(got, &out); err != nil {
			t.Fatalf("%q became %q: %v", b, got, err)
		}
		if want := renamed(in); !reflect.DeepEqual(out, want) {
			t.Fatalf("%q became %q\n%s", b, got, cmp.Diff(want, out))
		}
	})
}

// renamed does what the rewriter does, on a tree.
func renamed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if _, text := e.(string); text && k == "tarball" {
				v[k] = "new"
			} else {
				v[k] = renamed(e)
			}
		}
	case []any:
		for i := range v {
			v[i] = renamed(v[i])
		}
	}
	return v
}
