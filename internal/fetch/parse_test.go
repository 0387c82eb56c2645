package fetch_test

import (
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/fetch"
)

const onePin = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseSiteURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://10.0.0.1:8443#" + onePin:                             "https://10.0.0.1:8443#" + onePin,
		"https://10.0.0.1/#" + onePin:                                 "https://10.0.0.1:443#" + onePin,
		"https://[fd00::1]:8443#" + onePin:                            "https://[fd00::1]:8443#" + onePin,
		"https://[::ffff:10.0.0.1]:8443#" + onePin:                    "https://10.0.0.1:8443#" + onePin,
		"https://10.0.0.1:8443#sha256:" + strings.ToUpper(onePin[7:]): "https://10.0.0.1:8443#" + onePin,
	} {
		u, err := fetch.ParseSiteURL(raw)
		if err != nil || u.String() != want {
			t.Errorf("%s: got %s, %v; want %s", raw, u, err, want)
		}
	}
	for _, raw := range []string{
		"", "10.0.0.1:8443", "http://10.0.0.1#" + onePin, "https://site.example:8443#" + onePin, "https://10.0.0.1:8443",
		"https://10.0.0.1:8443#md5:00", "https://10.0.0.1:8443#sha256:00", "https://10.0.0.1:0#" + onePin,
		"https://10.0.0.1:99999#" + onePin, "https://me@10.0.0.1#" + onePin, "https://10.0.0.1/path#" + onePin,
		"https://10.0.0.1?q#" + onePin, "https:10.0.0.1#" + onePin, "https://10.0.0.1:8443#" + onePin + strings.Repeat("0", 600),
	} {
		if u, err := fetch.ParseSiteURL(raw); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
			t.Errorf("%q: got %v, %v; want Invalid with a hint", raw, u, err)
		}
	}
}

func FuzzSiteURL(f *testing.F) {
	for _, s := range []string{"https://10.0.0.1:8443#" + onePin, "https://[fd00::1%25eth0]:1#" + onePin, "https://x", "%", "https://10.0.0.1:8443/#" + onePin} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := fetch.ParseSiteURL(raw)
		if err != nil {
			return
		}
		again, err := fetch.ParseSiteURL(u.String())
		if err != nil || again != u {
			t.Errorf("%q became %q, which reads as %v, %v", raw, u, again, err)
		}
	})
}
