package platform_test

import (
	"slices"
	"testing"

	"overland/internal/platform"
)

func TestEveryPlatformSurvivesTheRoundTrip(t *testing.T) {
	for _, p := range platform.All() {
		if got, err := platform.Parse(string(p)); err != nil || got != p {
			t.Errorf("Parse(%q) = %q, %v", p, got, err)
		}
		if got := platform.FromOCI(p.OCI()); got != p {
			t.Errorf("FromOCI(OCI(%q)) = %q", p, got)
		}
	}
	for _, s := range []string{"", "linux", "linux/arm", "linux/arm/v4", "darwin/arm64", "linux/amd64/", "../x"} {
		if p, err := platform.Parse(s); err == nil {
			t.Errorf("Parse(%q) = %q", s, p)
		}
	}
	if p, err := platform.Parse("linux/arm64/v8"); err != nil || p != "linux/arm64" {
		t.Errorf("arm64/v8: %q, %v", p, err)
	}
}

func TestAnOlderARMProgramRunsOnANewerCPU(t *testing.T) {
	for p, want := range map[platform.Platform][]platform.Platform{
		"linux/arm/v7": {"linux/arm/v7", "linux/arm/v6", "linux/arm/v5"},
		"linux/arm/v5": {"linux/arm/v5"},
		"linux/arm64":  {"linux/arm64"},
		"linux/amd64":  {"linux/amd64"},
	} {
		if got := p.Runs(); !slices.Equal(got, want) {
			t.Errorf("%s runs %v, want %v", p, got, want)
		}
	}
}

func TestGoEnv(t *testing.T) {
	for p, want := range map[platform.Platform][]string{
		"linux/arm/v5": {"GOOS=linux", "GOARCH=arm", "GOARM=5"},
		"linux/amd64":  {"GOOS=linux", "GOARCH=amd64", "GOAMD64=v1"},
	} {
		if got := p.GoEnv(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", p, got, want)
		}
	}
}
