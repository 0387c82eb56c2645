package inspect_test

import (
	"debug/buildinfo"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/appfile"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/store/mem"
	"overland/internal/testkit/bins"
)

// The standard library's reader, which knows more formats, must agree on what Overland builds.
func TestProgramIsReadAsTheStandardLibraryReadsIt(t *testing.T) {
	builder, s := bins.Builder{Dir: t.TempDir()}, new(mem.Store)
	r := release.Release{App: "wallet", Version: "r1.a", CommitTime: time.Unix(1e9, 0)}
	want := map[platform.Platform]nodeapi.Program{}
	for _, plat := range []platform.Platform{"linux/amd64", "linux/arm/v5"} {
		path, err := builder.Build(t.Context(), bins.Agent, plat, "")
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d, size, err := s.Put(t.Context(), f, "", -1)
		if err != nil {
			t.Fatal(err)
		}
		std, err := buildinfo.Read(f)
		if err != nil {
			t.Fatal(err)
		}
		p := nodeapi.Program{Digest: d, Size: size}
		inspect.Describe(&p, std)
		want[plat] = p
		r.Artifacts = append(r.Artifacts, release.Artifact{
			Name: "node", Platform: plat, File: "node", Kind: release.KindBinary, Blob: release.Blob{Digest: d, Size: size},
		})
	}
	r.Services = map[string]appfile.Service{"web": {Artifact: "node", Ports: []appfile.Port{{Number: 80}, {Number: 53, Protocol: appfile.UDP}}}}
	desc, err := release.Write(t.Context(), s, r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := inspect.Release(t.Context(), inspect.Depot{Blobs: s}, desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Runs) != 1 || got.Runs[0] != "web: port 80, 53/udp" {
		t.Errorf("runs %q", got.Runs)
	}
	if len(got.Artifacts) != len(want) {
		t.Errorf("%d programs, want %d", len(got.Artifacts), len(want))
	}
	for _, a := range got.Artifacts {
		if diff := cmp.Diff(want[a.Platform], a.Program); diff != "" {
			t.Errorf("%s (-standard library +ours):\n%s", a.Platform, diff)
		}
		if len(a.Modules) < 5 || !strings.HasPrefix(a.Go, "go1.") {
			t.Errorf("%s: only %+v was read", a.Platform, a.Program)
		}
	}
}
