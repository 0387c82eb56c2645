package alpine_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/alpine"
	"overland/internal/errs"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAChainIsWalked is how a builder reads a repository: signature, index, package.
func TestAChainIsWalked(t *testing.T) {
	const tea = "tea-1.0-r0.apk"
	packed, file := read(t, alpine.IndexName), read(t, tea)
	signer, err := alpine.Verify(bytes.NewReader(packed), filepath.Join("testdata", "keys"))
	if err != nil || !strings.HasPrefix(signer, "calm@invalid-1.rsa.pub sha256:") {
		t.Errorf("signed by %q, %v", signer, err)
	}
	_, err = alpine.Verify(bytes.NewReader(packed), t.TempDir())
	if errs.KindOf(err) != errs.Untrusted || !strings.Contains(errs.HintOf(err), "must have signed it") {
		t.Errorf("without keys: %v", err)
	}
	x, err := alpine.ReadIndex(bytes.NewReader(packed))
	if err != nil || x.Made.IsZero() {
		t.Fatalf("%+v, %v", x, err)
	}
	got, err := alpine.ReadPackage(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	want, ok := x.Packages[tea]
	if !ok || want.Check(got) != nil {
		t.Errorf("listed %+v, got %+v", want, got)
	}
	longer, other := got, got
	longer.Size++
	other.Control[0] ^= 1
	for _, bad := range []alpine.Package{longer, other} {
		if err := want.Check(bad); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	file[len(file)-20] ^= 1
	if _, err := alpine.ReadPackage(bytes.NewReader(file)); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("a package with other data: %v", err)
	}
}
