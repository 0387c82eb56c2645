package netcache

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/digest"
	"overland/internal/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var someName = strings.Repeat("ab", 64)

func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	var diagnosis strings.Builder
	cmd.Stderr = &diagnosis
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, &diagnosis)
	}
	return out
}

// Signatures are the same bytes as those of "openssl sha1 -sign", which is what the Python client
// runs, and each verifies the other's.
func TestSignatureIsOpenssls(t *testing.T) {
	for _, bits := range []string{"1024", "2048"} {
		dir := t.TempDir()
		key, cert, file, sig := filepath.Join(dir, "key"), filepath.Join(dir, "cert"), filepath.Join(dir, "m"), filepath.Join(dir, "sig")
		openssl(t, "req", "-x509", "-nodes", "-days", "36500", "-subj", "/CN=COMP-1", "-newkey", "rsa:"+bits, "-keyout", key, "-out", cert)
		meta := `{"sha512": "` + someName + `", "x": "\u00e9é"}`
		if err := os.WriteFile(file, []byte(meta), 0o600); err != nil {
			t.Fatal(err)
		}
		want := base64.StdEncoding.EncodeToString(openssl(t, "sha1", "-sign", key, file))
		b, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		private, err := ParsePrivate(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Sign(private.(*rsa.PrivateKey), meta)
		if err != nil || got != want {
			t.Errorf("%s bits: %q, %v, want %q", bits, got, err, want)
		}
		if b, err = os.ReadFile(cert); err != nil {
			t.Fatal(err)
		}
		keys, warnings, err := ParseCertificates(string(b))
		if err != nil || len(warnings) > 0 || len(keys) != 1 || keys[0].Name != "COMP-1" {
			t.Fatalf("%v %v %v", keys, warnings, err)
		}
		e, err := NewEntry(meta, got)
		if err != nil || !Verify(keys[0], e) {
			t.Errorf("%s bits: does not verify: %v", bits, err)
		}
		e.Metadata += " "
		if Verify(keys[0], e) {
			t.Errorf("%s bits: another text verifies", bits)
		}
		raw, err := base64.StdEncoding.DecodeString(got)
		if err == nil {
			err = os.WriteFile(sig, raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		public := filepath.Join(dir, "public")
		openssl(t, "x509", "-in", cert, "-pubkey", "-noout", "-out", public)
		if out := openssl(t, "sha1", "-verify", public, "-signature", sig, file); string(out) != "Verified OK\n" {
			t.Errorf("openssl says %q", out)
		}
	}
}

// EC certificates verify too, as they do with the Python client; expired ones count.
func TestOtherCertificates(t *testing.T) {
	dir := t.TempDir()
	key, cert, file := filepath.Join(dir, "key"), filepath.Join(dir, "cert"), filepath.Join(dir, "m")
	openssl(t, "req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=ec", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", cert)
	meta := `{"sha512":"` + someName + `"}`
	if err := os.WriteFile(file, []byte(meta), 0o600); err != nil {
		t.Fatal(err)
	}
	sig := base64.StdEncoding.EncodeToString(openssl(t, "sha1", "-sign", key, file))
	b, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join("testdata", "expired.pem"))
	if err != nil {
		t.Fatal(err)
	}
	keys, warnings, err := ParseCertificates(string(old) + string(b))
	if err != nil || len(keys) != 2 || len(warnings) > 0 || keys[0].Name != "expired" {
		t.Fatalf("%v %v %v", keys, warnings, err)
	}
	e, err := NewEntry(meta, sig)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := Signer(keys, e); !ok || k.Name != "ec" {
		t.Errorf("signer %q, %v", k.Name, ok)
	}
}

// The list as a configuration file has it: indented, several, with a
// sample that no program can read.
func TestCertificateList(t *testing.T) {
	good, err := os.ReadFile(filepath.Join("testdata", "expired.pem"))
	if err != nil {
		t.Fatal(err)
	}
	// Like the sample of the SlapOS document: the serial number is an INTEGER of no bytes.
	zero := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("\x30\x0a\x30\x08\xa0\x03\x02\x01\x02\x02\x00\x30")})
	mangled := "-----BEGIN CERTIFICATE-----\nMIIB8DCCAVmgAwIBAgIA!!\nMA0GCSqG\n-----END CERTIFICATE-----\n"
	list := "\n  # trusted people\n" + strings.ReplaceAll(string(zero)+mangled+string(good)+string(good), "\n", "\r\n    ") + "-----BEGIN CERTIFICATE-----\n"
	keys, warnings, err := ParseCertificates(list)
	if err != nil || len(keys) != 1 || len(warnings) != 3 {
		t.Errorf("%v %q %v", keys, warnings, err)
	}
	for _, kind := range []string{"PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY"} {
		keys, _, err = ParseCertificates(string(good) + "-----BEGIN " + kind + "-----\nAAAA\n-----END " + kind + "-----\n")
		if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" || len(keys) > 0 {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if keys, warnings, err = ParseCertificates(""); len(keys)+len(warnings) > 0 || err != nil {
		t.Errorf("%v %v %v", keys, warnings, err)
	}
}

func TestStatement(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	known, err := NewKey(public, "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	want := Statement{
		KeyID: known.ID, Key: "k", Size: 5, SHA256: digest.Of([]byte("hello")), Created: now, Expires: now.Add(time.Hour), Seq: 7,
	}
	fields := map[string]any{"sha512": someName, "os": []any{"debian", "12", "é\"\\\u2028<"}, "n": json.Number("1.50"), "t": true, "z": nil}
	if err := AddStatement(fields, want, private); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEntry(string(b), "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadStatement(e, []Key{known})
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, c := range []struct {
		key string
		now time.Time
		ok  bool
	}{{"k", now, true}, {"other", now, false}, {"k", now.Add(time.Hour), false}} {
		if err := CheckStatement(got, c.key, c.now); (err == nil) != c.ok || err != nil && errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%q at %v: %v", c.key, c.now, err)
		}
	}
	if Binding("k", e) != Matches || Binding("other", e) != Mismatch {
		t.Error("the statement does not bind its key")
	}
	if _, err := ReadStatement(e, nil); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("an unknown key: %v", err)
	}
	// Whatever is changed in the metadata, the signature covers it.
	for _, change := range [][2]string{
		{`"debian"`, `"ubuntu"`},
		{`1.50`, `1.5`},
		{someName, strings.Repeat("cd", 64)},
		{`"seq":7`, `"seq":8`},
		{`"key":"k"`, `"key":"l"`},
		{`"size":5`, `"size":6`},
		{`"z":null`, `"y":null`},
		{"2026-01-01T01", "2026-01-01T02"},
		{`"t":true`, `"t":false`},
	} {
		if !strings.Contains(e.Metadata, change[0]) {
			t.Fatalf("%s is not in %s", change[0], e.Metadata)
		}
		forged, err := NewEntry(strings.Replace(e.Metadata, change[0], change[1], 1), "")
		if err != nil {
			t.Fatal(err)
		}
		if s, err := ReadStatement(forged, []Key{known}); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%v: %+v, %v", change, s, err)
		}
	}
}

func TestBadEntryHidesNoOther(t *testing.T) {
	good := string(EncodeEntry(Entry{Metadata: `{"sha512":"` + someName + `"}`, Signature: "AAAA"}))
	list, bad, err := ParseList(strings.NewReader(`[["{}",""],` + good + `,{"a":1},["a","b","c"],` + strings.Replace(good, "AAAA", "AAA", 1) + `,` + good + `,null]`))
	if err != nil || len(list) != 2 || bad != 5 {
		t.Errorf("%d entries, %d bad, %v", len(list), bad, err)
	}
	if string(EncodeList(nil)) != "[]" {
		t.Errorf("%s", EncodeList(nil))
	}
	for _, text := range []string{"", "{}", "<html>", "[", "null x", "[] x", "[1,]"} {
		if _, _, err := ParseList(strings.NewReader(text)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A list of millions of nothings is refused before it has become GBs.
func TestAListThatIsABomb(t *testing.T) {
	text := "[" + strings.Repeat("1,", 4<<20) + "1]"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := ParseList(strings.NewReader(text))
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; errs.KindOf(err) != errs.Invalid || n > 64 {
		t.Errorf("%v, %d MiB", err, n)
	}
}

func TestPrivateKeys(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if k, err := ParsePrivate(text); err != nil || !private.Equal(k) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "x", strings.ReplaceAll(string(text), "PRIVATE", "PUBLIC"), string(text[:60])} {
		if k, err := ParsePrivate([]byte(bad)); errs.KindOf(err) != errs.Invalid || k != nil {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(string(EncodeEntry(Entry{Metadata: `{"sha512":"` + someName + `","x":[1,{"a":null}]}`, Signature: "AAAA"})))
	f.Add(`["{\"sha512\":\"` + someName + `\",\"x\":\"\\ud83d\\ude00\"}",""]`)
	f.Add(`[null,""]`)
	f.Add(`["\ud800",""]`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseEntry([]byte(text))
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Error(err)
			}
			return
		}
		again, err := ParseEntry(EncodeEntry(e))
		if err != nil || again.Metadata != e.Metadata || again.Signature != e.Signature || !json.Valid([]byte(e.Metadata)) {
			t.Errorf("%q, then %q, %v", e.Metadata, again.Metadata, err)
		}
		list, bad, err := ParseList(strings.NewReader("[" + text + "]"))
		if err != nil || bad != 0 || len(list) != 1 {
			t.Errorf("alone it is one, in a list %d, %d bad, %v", len(list), bad, err)
		}
		_, _ = ReadStatement(e, nil)
		_ = Binding("pypi:a=1", e)
	})
}

func FuzzParseCertificates(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "expired.pem"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("  -----BEGIN CERTIFICATE-----\n  MIIB\n  -----END CERTIFICATE-----")
	f.Add("-----BEGIN RSA PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		keys, _, err := ParseCertificates(text)
		if err != nil && (errs.KindOf(err) != errs.Invalid || len(keys) > 0) {
			t.Error(err)
		}
		for _, k := range keys {
			if len(k.ID) != 64 {
				t.Errorf("key %q", k.ID)
			}
		}
		_, _ = ParsePrivate([]byte(text))
	})
}
