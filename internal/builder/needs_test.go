package builder_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/platform"
)

// joint is a Composer whose settings are the names of artifacts, and whose result is their digests. parts are
// blobs that it says it is made of.
type joint struct {
	fake
	parts []string
	d     builder.Depot
}

func (f *joint) Needs(a appfile.Artifact) []string { return strings.Fields(a.Settings.(string)) }

func (f *joint) Recipe(_ context.Context, j builder.Job) (builder.Recipe, error) {
	var list []string
	for _, name := range f.Needs(j.Artifact) {
		list = append(list, j.Needs[name].Name+"="+string(j.Needs[name].Digest))
	}
	return builder.Recipe{Builder: "joint/1", Toolchain: "joint1.0", Settings: list}, nil
}

func (f *joint) Build(ctx context.Context, _ builder.Job, r builder.Recipe, _, scratch string) (builder.Output, error) {
	f.calls.Add(1)
	out := builder.Output{File: filepath.Join(scratch, "joint"), Data: true, Image: true, Toolchain: r.Toolchain}
	for _, text := range f.parts {
		d, _, err := f.d.Put(ctx, strings.NewReader(text), "", -1)
		if err != nil {
			return out, err
		}
		out.Parts = append(out.Parts, d)
	}
	return out, os.WriteFile(out.File, []byte(strings.Join(r.Settings.([]string), "\n")), 0o600)
}

// joined returns a site and an app whose artifact both is made of left and right, and all of both.
func joined(t *testing.T) (*site, *joint, *appfile.App, builder.Request) {
	s := newSite(t)
	a := app("left", "right")
	a.Artifacts["both"] = appfile.Artifact{Builder: "join", Settings: "left right"}
	a.Artifacts["all"] = appfile.Artifact{Builder: "join", Settings: "both left"}
	j := &joint{parts: []string{"config", "layer"}, d: s.depot}
	req := s.request(repository(t, map[string]string{"main": "1"}), a)
	req.Builders["join"] = j
	req.Platforms = []platform.Platform{"linux/amd64", "linux/arm64"}
	return s, j, a, req
}

// What an artifact is made of is made first, once for all that need it, however few at a time.
func TestAnArtifactIsMadeOfOthers(t *testing.T) {
	for _, parallel := range []int{1, 8} {
		s, j, _, req := joined(t)
		req.Parallel = parallel
		built := s.build(req)
		if len(built) != 8 || s.calls() != 4 || j.calls.Load() != 4 {
			t.Fatalf("%d results of %d and %d calls", len(built), s.calls(), j.calls.Load())
		}
		by := map[string]builder.Built{}
		for _, b := range built {
			by[b.Name+" "+string(b.Platform)] = b
		}
		for _, p := range req.Platforms {
			got, err := s.depot.Bytes(t.Context(), by["both "+string(p)].Digest, 1000)
			want := "left=" + string(by["left "+string(p)].Digest) + "\nright=" + string(by["right "+string(p)].Digest)
			if string(got) != want || err != nil {
				t.Errorf("%q, want %q: %v", got, want, err)
			}
		}
		if b := by["all linux/amd64"]; !b.Image || !b.Data || len(b.Parts) != 2 {
			t.Errorf("%+v", b)
		}
		// What nobody asked for is made too, and not returned.
		req.Artifacts = []string{"all"}
		if built := s.build(req); len(built) != 2 || !built[0].Cached || built[0].Name != "all" || len(built[0].Parts) != 2 {
			t.Errorf("%+v", built)
		}
	}
}

// A result one of whose parts a collection has taken is made again.
func TestAPartThatIsGone(t *testing.T) {
	s, _, _, req := joined(t)
	req.Artifacts, req.Platforms = []string{"both"}, req.Platforms[:1]
	before := s.build(req)
	if err := s.depot.Remove(t.Context(), before[0].Parts[1]); err != nil {
		t.Fatal(err)
	}
	if again := s.build(req); again[0].Cached || again[0].Digest != before[0].Digest {
		t.Errorf("%+v", again[0])
	}
	if there, err := s.depot.Stat(t.Context(), before[0].Parts[1]); err != nil || there != int64(len("layer")) {
		t.Errorf("%d bytes, %v", there, err)
	}
}

func TestWhatNothingCanBeMadeOf(t *testing.T) {
	for settings, want := range map[string]string{
		"both":       "is made of itself: all → both → both",
		"all":        "is made of itself: ",
		"left there": `made of "there", which is not there`,
		"right":      "both for linux/arm64 is made of right, which is not made for it",
	} {
		s, j, a, req := joined(t)
		a.Artifacts["both"] = appfile.Artifact{Builder: "join", Settings: settings}
		if settings == "right" {
			one := a.Artifacts["right"]
			one.Platforms = []platform.Platform{"linux/amd64"}
			a.Artifacts["right"] = one
		}
		_, err := builder.Run(t.Context(), s.depot, req)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) || s.calls() != 0 || j.calls.Load() != 0 {
			t.Errorf("%s: %v, want %q", settings, err, want)
		}
	}
}

// What failed is named, and what is made of it is not made.
func TestAPartThatFails(t *testing.T) {
	s, j, _, req := joined(t)
	broken := errors.New("broken")
	s.fake.during = func(context.Context, string) error { return broken }
	req.Artifacts = []string{"all"}
	_, err := builder.Run(t.Context(), s.depot, req)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "build left for linux/") || j.calls.Load() != 0 {
		t.Errorf("%v, after %d", err, j.calls.Load())
	}
}
