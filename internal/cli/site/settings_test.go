package site

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/site"
)

// A flag beats site.yaml; what no flag says, the file does.
func TestFlagsBeatTheSettings(t *testing.T) {
	written := site.Settings{
		Listen: ":1", Conns: 7, Upstreams: []string{"file"}, Root: "file",
		Cache: site.CacheSettings{
			Listen: ":2", Size: "1GiB", Writes: site.WritesOpen, Upstreams: map[string][]string{"go": {"file"}, "apt": {"one", "two"}},
		},
	}
	flags := runOptions{
		listen: ":3", writes: site.WritesByCertificate, offline: true, origins: []string{"go=flag"}, upstreams: []string{"flag"}, size: "",
	}
	given := []string{"listen", "upstream", "cache-upstream", "cache-size"}
	got := flags.over(written, func(flag string) bool { return slices.Contains(given, flag) })
	want := runOptions{
		listen: ":3", cache: ":2", writes: site.WritesOpen, offline: true, origins: []string{"go=flag", "apt=one", "apt=two"},
		upstreams: []string{"flag"}, root: "file", conns: 7,
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(runOptions{})); d != "" {
		t.Error(d)
	}
	flags = runOptions{listen: ":8443", writes: site.WritesByCertificate, upstreams: nil}
	if got := flags.over(site.Settings{}, func(string) bool { return false }); !cmp.Equal(got, flags, cmp.AllowUnexported(runOptions{})) {
		t.Errorf("without a file: %+v", got)
	}
}
