package oci

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
)

// A login is read from a file that docker login or podman login has written, for one registry; the file is its owner's.
func TestReadLogin(t *testing.T) {
	const secret = "czNjcmV0LXdvcmQ" // is in no error
	text := `{"auths": {
		"https://hub.example/v1/": {"auth": "YW5uOnMzY3JldDp4"},
		"own.example:5000": {"username": "bob", "password": "word"},
		"bad.example": {"auth": "` + secret + `!"},
		"half.example": {"auth": "YW5u"},
		"helped.example": {}
	}, "credsStore": "../../program"}`
	for _, c := range []struct {
		text, name, address string
		mode                os.FileMode
		want                Login
		ok                  bool
		kind                errs.Kind
	}{
		{text, "hub.example", "https://registry.hub.example", 0o600, Login{"ann", "s3cret:x"}, true, 0},
		{text, "hub", "https://own.example:5000", 0o400, Login{"bob", "word"}, true, 0},
		{text, "own.example", "https://own.example", 0o600, Login{}, false, 0},
		{text, "bad.example", "https://bad.example", 0o600, Login{}, false, errs.Invalid},
		{text, "half.example", "https://half.example", 0o600, Login{}, false, errs.Invalid},
		{text, "helped.example", "https://helped.example", 0o600, Login{}, false, errs.Invalid},
		{text, "hub.example", "https://hub.example", 0o640, Login{}, false, errs.Denied},
		{secret, "hub.example", "https://hub.example", 0o600, Login{}, false, errs.Invalid},
		{"", "hub.example", "https://hub.example", 0o600, Login{}, false, errs.NotFound},
	} {
		file := filepath.Join(t.TempDir(), "auth.json")
		if c.text != "" {
			if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
		}
		got, ok, err := ReadLogin(file, c.name, c.address)
		if got != c.want || ok != c.ok || (err != nil) != (c.kind != 0) || err != nil && (errs.KindOf(err) != c.kind || strings.Contains(err.Error(), secret)) {
			t.Errorf("%s at %s, %v: %+v, %v, %v", c.name, c.address, c.mode, got, ok, err)
		}
	}
}
