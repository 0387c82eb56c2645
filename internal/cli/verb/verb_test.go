package verb_test

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"

	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/platform"
)

func TestParsePlatforms(t *testing.T) {
	got, err := verb.ParsePlatforms([]string{" linux/arm64", "linux/amd64", "linux/arm64"})
	if want := []platform.Platform{"linux/arm64", "linux/amd64"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := verb.ParsePlatforms([]string{"linux/arm/v9"}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("arm/v9: %v", err)
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"": 0, "700": 700, "650MiB": 650 << 20} {
		if got, err := verb.ParseSize(s); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", s, got, err, want)
		}
	}
	if _, err := verb.ParseSize("much"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("much: %v", err)
	}
}

func TestParseRoot(t *testing.T) {
	if fp, err := verb.ParseRoot(""); fp != "" || err != nil {
		t.Errorf("none: %q, %v", fp, err)
	}
	if _, err := verb.ParseRoot("x"); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("x: %v", err)
	}
}

func TestInstead(t *testing.T) {
	noop := func(*cobra.Command, []string) {}
	c := verb.Group("lock", "", "", &cobra.Command{Use: "verify", Run: noop}, &cobra.Command{Use: "hidden", Hidden: true, Run: noop})
	for name, want := range map[string]string{"verfy": "did you mean lock verify?", "ver": "did you mean lock verify?", "hiden": "else", "frob": "else"} {
		if got := verb.Instead(c, name, "else"); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
