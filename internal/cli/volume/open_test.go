package volume

import (
	"strings"
	"testing"

	"overland/internal/cli/release"
	"overland/internal/cli/term"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/platform"
	rel "overland/internal/release"
)

func TestCompareNamesBothDigests(t *testing.T) {
	one, two := digest.Of([]byte("one")), digest.Of([]byte("two"))
	artifact := func(p platform.Platform) rel.Artifact {
		return rel.Artifact{Name: "wallet", Platform: p, Blob: rel.Blob{Digest: one}}
	}
	opened := &operator.Opened{Release: &rel.Release{
		App: "wallet", Version: "r1.a", Artifacts: []rel.Artifact{artifact("linux/amd64"), artifact("linux/arm64")},
	}}
	program := func(p platform.Platform, d digest.Digest) release.Program {
		return release.Program{Name: "wallet", Platform: p, Digest: d}
	}
	for name, test := range map[string]struct {
		built []release.Program
		want  []string // in the error
	}{
		"the same": {[]release.Program{program("linux/arm64", one), program("linux/amd64", one)}, nil},
		"another":  {[]release.Program{program("linux/arm64", two), program("linux/amd64", one)}, []string{"linux/arm64", string(one), string(two), "where they differ"}},
		"missing":  {[]release.Program{program("linux/amd64", one)}, []string{"linux/arm64", string(one), "not built"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := compare(&term.Term{Stdout: &out}, opened, release.Built{Programs: test.built}, false, func(rel.Artifact, digest.Digest) string { return "where they differ" })
			if (err == nil) != (test.want == nil) || (err != nil && errs.KindOf(err).Exit() != 1) {
				t.Fatalf("error = %v", err)
			}
			for _, text := range test.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in %q", text, err)
				}
			}
			if (strings.Contains(out.String(), "different") || strings.Contains(out.String(), "not built")) != (err != nil) {
				t.Errorf("printed %q", out.String())
			}
		})
	}
}
