package trust_test

import (
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/trust"
)

func TestFingerprintAsPeopleTypeIt(t *testing.T) {
	const h = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	want := trust.Fingerprint(trust.FingerprintPrefix + h)
	for _, s := range []string{
		string(want), h, strings.ToUpper(h), "SHA256:" + h, want.Groups(), " " + h + "\n",
		"sha256: 01:23:45:67:89:ab:cd:ef-0123456789abcdef-" + h[32:],
	} {
		if got, err := trust.ParseFingerprint(s); err != nil || got != want {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "sha256:", h[1:], h + "0", "g" + h[1:], "sha512:" + h, strings.Repeat(" ", 2000)} {
		if got, err := trust.ParseFingerprint(s); errs.KindOf(err) != errs.Invalid || got != "" {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
}
