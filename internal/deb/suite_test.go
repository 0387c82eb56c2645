package deb_test

import (
	"crypto/ed25519"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/deb"
	"overland/internal/errs"
)

// signer returns a key that is the same each time.
func signer() deb.Signer {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return deb.Signer{
		Key: key.Public().(ed25519.PublicKey), Name: "Wallet archive <wallet@localhost>",
		Sign: func(m []byte) ([]byte, error) { return ed25519.Sign(key, m), nil },
	}
}

// What is signed here is believed by gpgv, of GnuPG, and by the library that reads archives, and by neither with a letter changed.
func TestSignedAsGnuPGReadsIt(t *testing.T) {
	s := signer()
	public, err := s.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	text := "Origin: tea\n- dashed\n-----BEGIN\nspaces  \n\nlast\n"
	signed, err := s.ClearSign(text, at)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := deb.ReadKeyring(public)
	if err != nil || len(keys) != 1 || deb.Fingerprint(keys[0]) != s.Fingerprint() {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	got, by, err := deb.VerifyInRelease(signed, keys, at)
	if want := strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "spaces  ", "spaces"); err != nil || by != s.Fingerprint() || strings.TrimSuffix(string(got), "\n") != want {
		t.Errorf("%q, %s, %v", got, by, err)
	}
	dir := t.TempDir()
	gpgv := func(name string, b []byte) (string, error) {
		for name, b := range map[string][]byte{"key.asc": public, name: b} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", `sed '1,2d;/^=/d;/^---/d' key.asc | base64 -d >key.gpg; gpgv --homedir "$PWD" --keyring ./key.gpg "$0"`, name)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := gpgv("good", signed); err != nil || !strings.Contains(out, "Good signature from \"Wallet archive <wallet@localhost>\"") {
		t.Errorf("gpgv: %v\n%s", err, out)
	}
	bad := []byte(strings.Replace(string(signed), "tea", "ale", 1))
	if out, err := gpgv("bad", bad); err == nil {
		t.Errorf("gpgv believes another text: %s", out)
	}
	if _, _, err := deb.VerifyInRelease(bad, keys, at); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("another text: %v", err)
	}
	if again, err := s.ClearSign(text, at); err != nil || string(again) != string(signed) {
		t.Errorf("signed again it is another one: %v", err)
	}
	if _, err := s.ClearSign("no end", at); errs.KindOf(err) != errs.Invalid {
		t.Errorf("half a line: %v", err)
	}
}

// An archive is what its own reader finds, and lists nothing twice.
func TestASuite(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	of := func(control, file, sum string) deb.Published {
		return deb.Published{Control: control, Filename: file, File: deb.File{Size: 7, SHA256: sum}}
	}
	tea := of("Package: tea\nVersion: 10\nArchitecture: amd64\nDescription: tea\n black\n", "pool/tea_10_amd64.deb", sum)
	old := of("Package: tea\nVersion: 9\nArchitecture: amd64\n", "pool/tea_9_amd64.deb", strings.Repeat("0b", 32))
	s := deb.Suite{Origin: "wallet", Name: "live", Date: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Packages: []deb.Published{
		tea, tea, old, of("Package: tea\nVersion: 10\nArchitecture: armhf\n", "pool/tea_10_armhf.deb", sum),
	}}
	files, err := s.Write(signer())
	if err != nil {
		t.Fatal(err)
	}
	data, order := map[string]string{}, []string{}
	for _, f := range files {
		data[f.Path] = string(f.Data)
		order = append(order, f.Path)
	}
	if last := order[len(order)-1]; last != "dists/live/InRelease" || !strings.Contains(order[0], "/by-hash/SHA256/") || len(order) != 10 {
		t.Errorf("%v", order)
	}
	keys, err := deb.ReadKeyring([]byte(data["archive-key.asc"]))
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := deb.VerifyInRelease([]byte(data["dists/live/InRelease"]), keys, s.Date)
	if err != nil {
		t.Fatal(err)
	}
	r, err := deb.ParseRelease(text)
	if err != nil || r.Suite != "live" {
		t.Fatalf("%+v, %v", r, err)
	}
	const index = "main/binary-amd64/Packages"
	got, err := deb.Measure(strings.NewReader(data["dists/live/"+index]), false)
	if err != nil || data["dists/live/main/binary-amd64/by-hash/SHA256/"+got.SHA256] != data["dists/live/"+index] {
		t.Errorf("by-hash: %v", err)
	}
	if !strings.Contains(string(text), " "+got.SHA256+" ") || strings.Contains(string(text), "Valid-Until") {
		t.Errorf("%s", text)
	}
	want := "Package: tea\nVersion: 9\nArchitecture: amd64\nFilename: pool/tea_9_amd64.deb\nSize: 7\nSHA256: " + strings.Repeat("0b", 32) +
		"\n\nPackage: tea\nVersion: 10\nArchitecture: amd64\nDescription: tea\n black\nFilename: pool/tea_10_amd64.deb\nSize: 7\nSHA256: " + sum + "\n"
	if data["dists/live/"+index] != want {
		t.Errorf("%s", data["dists/live/"+index])
	}
	s.Packages = append(s.Packages, of("Package: tea\nVersion: 10\nArchitecture: amd64\n", "pool/x.deb", strings.Repeat("0c", 32)))
	if _, err := s.Write(signer()); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "tea 10 for amd64 is there twice") {
		t.Errorf("twice: %v", err)
	}
	s.Packages = []deb.Published{of("Package: tea\n", "pool/x.deb", sum)}
	if _, err := s.Write(signer()); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no version: %v", err)
	}
}
