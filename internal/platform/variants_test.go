package platform_test

import (
	"slices"
	"testing"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/platform"
)

// Of every index that can be made, each machine takes the image here that containerd takes, and docker with its rules. There
// is one difference: an arm64 that has no image of its own takes a 32-bit one there, which not every arm64 can run.
func TestWhichOfAnIndexAMachineTakes(t *testing.T) {
	all := platform.All()
	hosts := append(all, "linux/arm/v8", "linux/arm64/v8") // 32-bit programs on a v8, and how containerd calls arm64
	for _, host := range hosts {
		matcher := platforms.Only(platforms.Normalize(*host.OCI()))
		for set := range 1 << len(all) {
			var index []platform.Platform
			for i, p := range all {
				if set>>i&1 == 1 {
					index = append(index, p)
				}
			}
			var theirs []ocispec.Platform
			for _, p := range index {
				if o := platforms.Normalize(*p.OCI()); matcher.Match(o) {
					theirs = append(theirs, o)
				}
			}
			slices.SortFunc(theirs, func(a, b ocispec.Platform) int {
				if matcher.Less(a, b) {
					return -1
				}
				return 1
			})
			var want, got platform.Platform
			if len(theirs) > 0 {
				want = platform.FromOCI(&theirs[0])
			}
			for _, p := range platform.FromOCI(host.OCI()).Runs() {
				if got == "" && slices.Contains(index, p) {
					got = p
				}
			}
			if platform.FromOCI(host.OCI()) == "linux/arm64" && want != "linux/arm64" {
				want = ""
			}
			if got != want {
				t.Errorf("%s of %v: %q, containerd %q", host, index, got, want)
			}
		}
	}
}
