package operator_test

import (
	"testing"

	"overland/internal/appfile"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/source"
)

// A release that lacks platforms has a version of its own; one that lacks none has the commit's.
func TestAVersionNamesOneContent(t *testing.T) {
	two := []platform.Platform{"linux/amd64", "linux/arm/v6"}
	for _, test := range []struct {
		made, asked []platform.Platform
		want        string
	}{
		{nil, nil, "r1.a"},
		{nil, two, "r1.a-for-amd64.arm-v6"},
		{two, nil, "r1.a"},
		{two, two, "r1.a"},
		{two, platform.All(), "r1.a"},
		{two, two[1:], "r1.a-for-arm-v6"},
	} {
		s := &operator.Source{
			Commit: source.Commit{Version: "r1.a"},
			App:    &appfile.App{Artifacts: map[string]appfile.Artifact{"wallet": {Platforms: test.made}}},
		}
		s.Only(test.asked)
		if s.Commit.Version != test.want {
			t.Errorf("made for %q, asked for %q: %s, want %s", test.made, test.asked, s.Commit.Version, test.want)
		}
	}
}
