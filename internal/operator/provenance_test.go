package operator_test

import (
	"os"
	"path/filepath"
	"testing"

	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/release"
	"overland/internal/trust/repository"
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
