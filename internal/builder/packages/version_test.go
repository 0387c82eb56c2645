package packages_test

import (
	"os/exec"
	"testing"

	"overland/internal/builder/packages"
	"overland/internal/deb"
	"overland/internal/errs"
	"overland/internal/source"
)

// A later revision has a higher version, for dpkg and for us.
func TestVersions(t *testing.T) {
	before := ""
	tagged := func(name, rest string) source.Commit {
		return source.Commit{Version: name + rest, Tag: source.Tag{Name: name}}
	}
	for i, c := range []struct {
		of   source.Commit
		want string
	}{
		{source.Commit{Version: "r9.ffffffffffff", Tag: source.Tag{Name: "v1.2.3"}}, "0+r9.ffffffffffff"},
		{source.Commit{Version: "r10.000000000000"}, "0+r10.000000000000"},
		{source.Commit{Version: "r412.abcdef012345"}, "0+r412.abcdef012345"},
		{source.Commit{Version: "r412.abcdef012345-for-amd64.arm-v6"}, "0+r412.abcdef012345+for.amd64.arm.v6"},
		{tagged("v0.9", ""), "0.9"},
		{tagged("v1.2.3-alpha", ""), "1.2.3~alpha"},
		{tagged("v1.2.3-rc1", ""), "1.2.3~rc1"},
		{tagged("v1.2.3-rc1", "-4-gabcdef012345"), "1.2.3~rc1+4.gabcdef012345"},
		{tagged("v1.2.3-rc2", ""), "1.2.3~rc2"},
		{tagged("v1.2.3", ""), "1.2.3"},
		{tagged("v1.2.3", "-4-gabcdef012345"), "1.2.3+4.gabcdef012345"},
		{tagged("v1.2.3", "-10-g000000000000"), "1.2.3+10.g000000000000"},
		{tagged("v1.2.3", "-10-g000000000000-dirty.abcdef012345"), "1.2.3+10.g000000000000.dirty.abcdef012345"},
		{tagged("v1.2.3-1", ""), "1.2.3.1"},
		{tagged("1.2_4", ""), "1.2.4"},
		{tagged("2026.03.01", ""), "2026.03.01"},
	} {
		got, err := packages.Version(c.of)
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.of.Version, got, err, c.want)
		}
		if i > 0 && deb.CompareVersions(before, got) >= 0 {
			t.Errorf("%s is not before %s", before, got)
		}
		if out, err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", before, "lt", got).CombinedOutput(); i > 0 && err != nil {
			t.Errorf("dpkg: %s is not before %s: %s", before, got, out)
		}
		before = got
	}
	for _, name := range []string{"release-7", "v", "vx1"} {
		if got, err := packages.Version(tagged(name, "")); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
