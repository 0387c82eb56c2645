package trust_test

import (
	"strings"
	"testing"

	"overland/internal/trust"
)

func FuzzParseFingerprint(f *testing.F) {
	f.Add("sha256:" + strings.Repeat("0aF9", 16))
	f.Add("01:23-45 67")
	f.Fuzz(func(t *testing.T, s string) {
		fp, err := trust.ParseFingerprint(s)
		if err != nil {
			if fp != "" {
				t.Fatalf("%q and an error", fp)
			}
			return
		}
		if again, err := trust.ParseFingerprint(fp.Groups()); err != nil || again != fp {
			t.Fatalf("%q becomes %q, %v", fp, again, err)
		}
	})
}
