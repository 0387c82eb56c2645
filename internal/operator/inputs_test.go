package operator_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/operator"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/volume"
)

// publishFrom is publish for a release that was built from a lock, a source and the inputs.
func publishFrom(t *testing.T, p *operator.Operator, app, version string, inputs ...string) release.Ref {
	t.Helper()
	return publishBuilt(t, p, release.Release{App: app, Version: version}, "source of "+app+"@"+version, inputs...)
}

func publishBuilt(t *testing.T, p *operator.Operator, r release.Release, source string, inputs ...string) release.Ref {
	t.Helper()
	ref := r.Ref()
	put := func(text string) ocispec.Descriptor {
		d, err := store.PutBytes(t.Context(), p.Depot(), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return ocispec.Descriptor{Digest: d, Size: int64(len(text))}
	}
	lock := "overland.lock 1\n"
	in := release.Inputs{Source: put(source)}
	for _, text := range inputs {
		b := put(text)
		in.Blobs = append(in.Blobs, b)
		lock += fmt.Sprintf(`{"protocol":"url","key":"https://example.org/%s","blob":"%s","size":%d}`+"\n", text, b.Digest, b.Size)
	}
	slices.SortFunc(in.Blobs, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	in.Lock = put(lock)
	desc, err := release.WriteInputs(t.Context(), p.Depot(), ref, in)
	if err != nil {
		t.Fatal(err)
	}
	r.Inputs = &desc
	if r.CommitTime.IsZero() {
		r.CommitTime = noon
	}
	return publishRelease(t, p, r, "linux/amd64")
}

func TestSealInputs(t *testing.T) {
	p := begin(t)
	promote(t, p, publishFrom(t, p, "wallet", "r1.a", "one", "two", "three"), "live")
	promote(t, p, publish(t, p, "chat", "r7.b", "linux/amd64"), "live")
	_, plain := seal(t, p, operator.SealOptions{Channel: "live"})
	if strings.Contains(string(plain), "source of wallet") {
		t.Error("the source is in a volume that was sealed without inputs")
	}
	s, b := seal(t, p, operator.SealOptions{Channel: "live", Inputs: true})
	for _, text := range []string{"one", "two", "three", "source of wallet", "overland.lock 1"} {
		if !strings.Contains(string(b), text) {
			t.Errorf("%q is not in the volume", text)
		}
	}
	if len(s.Inputs) != 1 || s.Inputs[0].Blobs != 3 || s.Inputs[0].Protocols[0] != (nodeapi.Protocol{Name: "url", Entries: 3, Bytes: 11}) {
		t.Errorf("sealed inputs %+v", s.Inputs)
	}
	if last := s.Warnings[len(s.Warnings)-1]; !strings.Contains(last, "no inputs of chat@r7.b are sealed") {
		t.Errorf("warning %q, want one of chat, which has no inputs", last)
	}
	if _, err := operator.VerifyVolume(t.Context(), s.Paths[0], s.Fingerprint, nil); err != nil {
		t.Error(err)
	}
	in, err := p.Inspect(t.Context(), s.Paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range in.Releases {
		if (r.Inputs != nil && r.Inputs.Present) != (r.App == "wallet") {
			t.Errorf("%s: inputs %+v", r.App, r.Inputs)
		}
	}
	if _, err := p.Seal(t.Context(), operator.SealOptions{Channel: "live", Apps: []string{"chat"}, Inputs: true, Out: filepath.Join(t.TempDir(), "x")}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("no release with inputs: %v", err)
	}
}

func TestSealNamesMissingInputs(t *testing.T) {
	p := begin(t)
	promote(t, p, publishFrom(t, p, "wallet", "r1.a", "one", "two"), "live")
	if err := p.Depot().Remove(t.Context(), digest.Of([]byte("two"))); err != nil {
		t.Fatal(err)
	}
	_, err := p.Seal(t.Context(), operator.SealOptions{Channel: "live", Inputs: true, Out: filepath.Join(t.TempDir(), "x")})
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(err.Error(), "1 of 2") || !strings.Contains(err.Error(), "url https://example.org/two") ||
		strings.Contains(err.Error(), "/one") {
		t.Errorf("error = %v", err)
	}
}

// Inputs of a signed release are changed and every digest in the volume is computed
// again: only the signatures tell.
func TestVerifyVolumeWithForgedInputs(t *testing.T) {
	p := begin(t)
	promote(t, p, publishFrom(t, p, "wallet", "r1.a", "one", "two", "three"), "live")
	s, _ := seal(t, p, operator.SealOptions{Channel: "live", Inputs: true})
	repo, err := p.Repository(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	evil := ocispec.Descriptor{Digest: digest.Of([]byte("evil")), Size: 4}
	if _, err := store.PutBytes(t.Context(), p.Depot(), []byte("evil")); err != nil {
		t.Fatal(err)
	}
	other := publishFrom(t, p, "other", "r1.b", "not of this channel") // signed, but this channel does not run it
	now, err := repo.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := release.Find(now, other)
	if err != nil {
		t.Fatal(err)
	}
	r, err := release.Read(t.Context(), p.Depot(), e.Digest)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := release.ReadInputs(t.Context(), p.Depot(), *r.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	find := func(c *volume.Content, text string) int {
		want := digest.Of([]byte(text))
		return slices.IndexFunc(c.Blobs, func(b ocispec.Descriptor) bool { return b.Digest == want })
	}
	for name, change := range map[string]func(c *volume.Content){
		"as it is":        func(*volume.Content) {},
		"another input":   func(c *volume.Content) { c.Blobs[find(c, "two")] = evil },
		"another source":  func(c *volume.Content) { c.Blobs[find(c, "source of wallet@r1.a")] = evil },
		"one more":        func(c *volume.Content) { c.Blobs = append(c.Blobs, evil) },
		"one less":        func(c *volume.Content) { i := find(c, "two"); c.Blobs = slices.Delete(c.Blobs, i, i+1) },
		"another's input": func(c *volume.Content) { c.Blobs = append(c.Blobs, foreign.All()...) },
		"without the list": func(c *volume.Content) {
			i := slices.IndexFunc(c.Blobs, func(b ocispec.Descriptor) bool { return b.Digest == s.Inputs[0].Digest })
			c.Blobs = slices.Delete(c.Blobs, i, i+1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := p.Content(t.Context(), operator.SealOptions{Channel: "live", Inputs: true})
			if err != nil {
				t.Fatal(err)
			}
			change(&c)
			path := filepath.Join(t.TempDir(), "forged.volume")
			if _, err := volume.Seal(t.Context(), path, c, volume.Options{}); err != nil {
				t.Fatal(err)
			}
			_, err = operator.VerifyVolume(t.Context(), path, s.Fingerprint, nil)
			if good := name == "as it is"; good != (err == nil) || (!good && errs.KindOf(err) != errs.Untrusted) {
				t.Errorf("error = %v", err)
			}
			t.Log(err)
		})
	}
}
