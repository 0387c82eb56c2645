package operator_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/provenance"
	"overland/internal/release"
	"overland/internal/trust/repository"
	"overland/internal/volume"
)

// Provenance is signed once, by a key that may release; when that key may not any more, anew.
func TestProvenanceIsSignedByWhoReleases(t *testing.T) {
	p := begin(t)
	ref := publish(t, p, "wallet", "r1.aaaaaaaaaaaa", "linux/amd64", "linux/arm/v6")
	in, err := p.Inspect(t.Context(), ref.String())
	if err != nil || len(in.Releases[0].Provenance) != 0 {
		t.Fatalf("before anything is signed: %v", err)
	}
	list, err := p.Provenance(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := p.Keys().Public(repository.KeyRelease)
	if err != nil || len(list) != 2 || list[0].Key.ID != pub.ID || list[1].Platform != "linux/arm/v6" || !list[1].Statement.Covers(list[1].Digest) {
		t.Fatalf("%v, %v", list, err)
	}
	if again, err := p.Provenance(t.Context(), ref); err != nil || string(again[0].Bundle) != string(list[0].Bundle) {
		t.Errorf("signed twice: %v", err)
	}
	repo, err := p.Repository(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.RotateKey(t.Context(), repository.KeyRelease, []byte{}); err != nil {
		t.Fatal(err)
	}
	if in, err = p.Inspect(t.Context(), ref.String()); err != nil || in.Releases[0].Unproved == "" || len(in.Releases[0].Provenance) != 0 {
		t.Errorf("by a key that may not any more: %+v, %v", in.Releases[0], err)
	}
	if list, err = p.Provenance(t.Context(), ref); err != nil || list[0].Key.ID == pub.ID {
		t.Errorf("signed anew: %v", err)
	}
	if in, err = p.Inspect(t.Context(), ref.String()); err != nil || len(in.Releases[0].Provenance) != 1 {
		t.Errorf("%+v, %v", in.Releases[0], err)
	}
	if _, err := p.Provenance(t.Context(), release.Ref{App: "wallet", Version: "r2.bbbbbbbbbbbb"}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("no such release: %v", err)
	}
}

// A site that cannot sign as who releases does not sign as somebody else.
func TestProvenanceWithoutTheKey(t *testing.T) {
	p := begin(t)
	ref := publish(t, p, "wallet", "r1.aaaaaaaaaaaa", "linux/amd64")
	moved := filepath.Join(t.TempDir(), "release.key")
	if err := os.Rename(p.Keys().Path(repository.KeyRelease), moved); err != nil {
		t.Fatal(err)
	}
	if _, err := p.With(operator.Callbacks{}).Provenance(t.Context(), ref); errs.KindOf(err) != errs.Denied || errs.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

// Whoever may release may sign what it likes: what it says of another commit is not how the release was built.
func TestProvenanceOfAnotherCommit(t *testing.T) {
	p := begin(t)
	r := release.Release{App: "wallet", Version: "r1.aaaaaaaaaaaa", CommitTime: noon, Commit: strings.Repeat("a", 40)}
	ref := publishRelease(t, p, r, "linux/amd64")
	list, err := p.Provenance(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	key, err := p.Keys().ByID(list[0].Key.ID)
	if err != nil {
		t.Fatal(err)
	}
	list[0].Statement.Predicate.BuildDefinition.ResolvedDependencies[0].Digest["gitCommit"] = strings.Repeat("b", 40)
	if list[0].Bundle, err = provenance.Sign(*list[0].Statement, key); err != nil {
		t.Fatal(err)
	}
	if err := provenance.Write(t.Context(), p.Depot(), ref, []provenance.Made{list[0].Made}); err != nil {
		t.Fatal(err)
	}
	if in, err := p.Inspect(t.Context(), ref.String()); err != nil || in.Releases[0].Unproved == "" || in.Releases[0].Provenance != nil {
		t.Errorf("%+v, %v", in.Releases, err)
	}
}

// A volume says how what is in it was built, signed; nothing else may lie there in its place.
func TestProvenanceIsCarriedByAVolume(t *testing.T) {
	p := begin(t)
	ref := publish(t, p, "wallet", "r1.aaaaaaaaaaaa", "linux/amd64", "linux/arm/v6")
	other := publish(t, p, "other", "r1.bbbbbbbbbbbb", "linux/amd64", "linux/arm/v6")
	promote(t, p, ref, "live")
	promote(t, p, other, "elsewhere")
	if s, _ := seal(t, p, operator.SealOptions{Channel: "live"}); len(s.Warnings) > 0 {
		t.Errorf("%q", s.Warnings)
	} else if _, _, err := operator.ProvenanceFile(t.Context(), operator.FileOptions{Path: s.Paths[0]}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("before anything is signed: %v", err)
	}
	signed, err := p.Provenance(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := p.Provenance(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct {
		o    operator.SealOptions
		want int
	}{{operator.SealOptions{}, 2}, {operator.SealOptions{Platforms: []platform.Platform{"linux/amd64"}}, 1}, {operator.SealOptions{Bare: true}, 0}} {
		of.o.Channel = "live"
		s, _ := seal(t, p, of.o)
		path := s.Paths[0]
		check, err := operator.VerifyVolume(t.Context(), path, "", nil)
		if err != nil || check.Provenance != of.want {
			t.Errorf("%+v: %+v, %v", of.o, check, err)
		}
		in, err := p.Inspect(t.Context(), path)
		if err != nil || in.Signed.Problem != "" || (of.want > 0) != (releaseOf(in, "wallet").Provenance != nil) || releaseOf(in, "wallet").Unproved != "" {
			t.Errorf("%+v: %+v, %v", of.o, in, err)
		}
		for _, r := range in.Signed.Roles {
			if r.Version == 0 {
				t.Errorf("a role %s", r.Name)
			}
		}
		if got, list, err := operator.ProvenanceFile(t.Context(), operator.FileOptions{Path: path}); of.want > 0 &&
			(err != nil || got != ref || len(list) != of.want || string(list[0].Bundle) != string(signed[0].Bundle)) {
			t.Errorf("%+v: %v, %d, %v", of.o, got, len(list), err)
		}
	}
	whole, _ := seal(t, p, operator.SealOptions{Channel: "live"})
	torn := slices.Clone(signed[0].Bundle)
	torn[len(torn)-20] ^= 1
	for what, text := range map[string][]byte{"of another channel's release": foreign[0].Bundle, "changed": torn, "not a statement": []byte("{}")} {
		changed := filepath.Join(t.TempDir(), "changed.volume")
		addMetadata(t, whole.Paths[0], changed, release.ProvenanceFile(digest.Of(text)), text)
		if _, err := operator.VerifyVolume(t.Context(), changed, "", nil); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v", what, err)
		}
		if in, err := p.Inspect(t.Context(), changed); err != nil || releaseOf(in, "wallet").Unproved == "" || releaseOf(in, "wallet").Provenance != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	repo, err := p.Repository(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.RotateKey(t.Context(), repository.KeyRelease, []byte{}); err != nil {
		t.Fatal(err)
	}
	s, _ := seal(t, p, operator.SealOptions{Channel: "live"})
	if check, err := operator.VerifyVolume(t.Context(), s.Paths[0], "", nil); err != nil || check.Provenance != 0 || len(s.Warnings) != 1 {
		t.Errorf("by a key that may not any more: %+v, %q, %v", check, s.Warnings, err)
	}
}

// releaseOf returns what in has of app.
func releaseOf(in *nodeapi.Inspection, app string) nodeapi.Release {
	for _, r := range in.Releases {
		if r.App == app {
			return r
		}
	}
	return nodeapi.Release{}
}

// addMetadata writes the volume to, which is the one at from with one more file among the metadata.
func addMetadata(t *testing.T, from, to, name string, text []byte) {
	t.Helper()
	v, err := volume.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	c := volume.Content{Trust: map[string][]byte{name: text}, Agents: v.Agents()}
	if c.Index, err = v.Index(); err != nil {
		t.Fatal(err)
	}
	for _, one := range v.MetadataNames() {
		if c.Trust[one], err = v.Metadata(t.Context(), one, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range v.Entries() {
		if e.Digest != "" && strings.HasPrefix(e.Name, "blobs/") {
			c.Blobs = append(c.Blobs, ocispec.Descriptor{Digest: e.Digest, Size: e.Size})
		}
	}
	c.Open = func(d digest.Digest) (io.ReadCloser, error) {
		r, _, err := v.Open(t.Context(), d, 0)
		return r, err
	}
	if _, err := volume.Seal(t.Context(), to, c, volume.Options{}); err != nil {
		t.Fatal(err)
	}
}
