package deb_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"

	"overland/internal/clock"
	"overland/internal/deb"
	"overland/internal/errs"
	"overland/internal/testkit/pack"
)

var (
	birth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	today = birth.AddDate(0, 0, 10)
)

func measure(t *testing.T, r io.Reader) deb.File {
	t.Helper()
	f, err := deb.Measure(r, true)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAChainIsWalkedInAStream is how a builder reads an archive:
// signature, suite, dates, index, package.
func TestAChainIsWalkedInAStream(t *testing.T) {
	const tea, index = "pool/main/t/tea_1_amd64.deb", "main/binary-amd64/Packages.gz"
	file := measure(t, strings.NewReader("a package"))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprintf(z, "Package: tea\nDepends: water,\n cup\nFilename: ./%s\nSize: %d\nSHA256: %s\n", tea, file.Size, file.SHA256)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	listed := measure(t, bytes.NewReader(packed.Bytes()))
	key := pack.OpenPGP(birth)
	signed := pack.ClearSign(key, fmt.Sprintf(
		"Suite: calm\nCodename: quiet\nDate: Fri, 02 Jan 2026 00:00:00 UTC\nValid-Until: Fri, 16 Jan 2026 00:00:00 UTC\nAcquire-By-Hash: yes\n"+
			"SHA256:\n %s %d %s\nSHA512:\n %s %d %s\n", listed.SHA256, listed.Size, index, listed.SHA512, listed.Size, index),
		&packet.Config{Time: clock.At(birth)})

	keys, err := deb.ReadKeyring([]byte(pack.Armour(key)))
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{
		"text before it": append([]byte("Suite: storm\n"), signed...), "text behind it": append(bytes.Clone(signed), "Suite: storm\n"...), "it twice": append(bytes.Clone(signed), signed...),
		"other text": bytes.Replace(signed, []byte("calm"), []byte("Calm"), 1), "no text": nil, "no signature": []byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nSuite: calm\n"),
	} {
		if text, _, err := deb.VerifyInRelease(b, keys, today); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %q, %v", what, text, err)
		}
	}
	if _, _, err := deb.VerifyInRelease(signed, keys, time.Time{}); err != nil {
		t.Errorf("at the time of the signature: %v", err)
	}
	if _, err := deb.SignedText([]byte("Suite: calm\n")); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("text that is not signed: %v", err)
	}
	text, signer, err := deb.VerifyInRelease(signed, keys, today)
	if err != nil || signer != deb.Fingerprint(key) {
		t.Fatalf("signed by %s, %v", signer, err)
	}
	if unverified, err := deb.SignedText(signed); err != nil || !bytes.Equal(unverified, text) {
		t.Errorf("%q, %v", unverified, err)
	}
	r, err := deb.ParseRelease(text)
	if err != nil || !r.ByHash {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := errors.Join(r.CheckDates(today), r.CheckSuite("calm"), r.CheckSuite("quiet/updates"), r.CheckSuite("")); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"expired": r.CheckDates(birth.AddDate(0, 1, 0)), "future": r.CheckDates(birth), "not of": r.CheckSuite("storm"),
	} {
		if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{
		index, "main/binary-amd64/by-hash/SHA256/" + listed.SHA256, "main/binary-amd64/by-hash/SHA512/" + listed.SHA512,
	} {
		if f, ok := r.Find(name); !ok || f.Check(listed) != nil {
			t.Errorf("%s: %+v %v", name, f, ok)
		}
	}
	other := strings.Repeat("0", 64)
	for _, name := range []string{
		"main/binary-amd64/by-hash/SHA256/" + other, "main/binary-amd64/by-hash/SHA512/" + other + other, "main/binary-amd64/by-hash/MD5/" + listed.SHA256,
		"main/binary-amd64/by-hash/MD5/" + listed.SHA512, "main/Packages", "main/by-hash/SHA256/" + listed.SHA256, "main/binary-amd64/by-hash/SHA256/00",
	} {
		if f, ok := r.Find(name); ok {
			t.Errorf("%s is found: %+v", name, f)
		}
	}

	x, err := deb.ReadIndex(bytes.NewReader(packed.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	want, ok := x.Find(tea)
	if !ok || want.Check(file) != nil {
		t.Errorf("%+v, %v", want, ok)
	}
	if err := want.Check(measure(t, strings.NewReader("a packagE"))); errs.KindOf(err) != errs.Untrusted {
		t.Error(err)
	}
	if _, ok := x.Find("pool/evil.deb"); ok {
		t.Error("what the index does not list is found")
	}

	plain, err := deb.Unpack(bytes.NewReader(packed.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	d := deb.NewDecoder(plain, "package", "depends")
	p, err := d.Next()
	if diff := cmp.Diff(deb.Paragraph{"package": "tea", "depends": "water,\ncup"}, p); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := d.Next(); !errors.Is(err, io.EOF) || d.Line() != 8 {
		t.Errorf("line %d, %v", d.Line(), err)
	}
}

func TestWhatIsNotAnIndexIsInvalid(t *testing.T) {
	zero := strings.Repeat("0", 64)
	for name, text := range map[string]string{
		"size":             "Filename: a\nSize: -1\nSHA256: " + zero + "\n",
		"sha256":           "Filename: a\nSize: 1\nSHA256: " + strings.ToUpper(strings.Repeat("ab", 32)) + "\n",
		"two contents":     "Filename: a\nSize: 1\nSHA256: " + zero + "\n\nFilename: ./a\nSize: 2\nSHA256: " + zero + "\n",
		"not digest":       "Directory: d\nChecksums-Sha256:\n x y\n",
		"without a colon":  "Package\n",
		"without a field":  " x\n",
		"appears twice":    "Size: 1\nSize: 2\n",
		"zstd or lzma":     "\x28\xb5\x2f\xfd",
		"lzma":             "\x5d\x00\x00",
		"not a field name": "a b: c\n",
		"NUL":              "Size: \x00\n",
	} {
		if _, err := deb.ReadIndex(strings.NewReader(text)); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := deb.ParseRelease(nil); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty Release: %v", err)
	}
}

func TestParagraphs(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "F%d: x\n", i)
		}
		return b.String()
	}
	for text, want := range map[string]deb.Paragraph{
		"# x\nA: b\n": {"a": "b"}, "A: b\n# x\n c\n": {"a": "b\nc"}, "A: b\n\tc\n": {"a": "b\nc"}, "A: b\r\n c\r\n": {"a": "b\nc"}, "\n \nA:b": {"a": "b"},
		"A: b\n \t\nC: d\n": {"a": "b"}, "A: b\n\t\nC: d\n": {"a": "b"}, "-A: b\n": nil, ":b: c\n": nil, "A\x7f: b\n": nil, "A b: c\n": nil,
		many(1001): nil,
	} {
		got, err := deb.NewDecoder(strings.NewReader(text)).Next()
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%.40q: %v\n%s", text, err, diff)
		}
	}
	if p, err := deb.NewDecoder(strings.NewReader(many(1000))).Next(); err != nil || len(p) != 1000 {
		t.Errorf("%d fields, %v", len(p), err)
	}
	for _, text := range []string{"", "A: b\n", "A: b\n c"} {
		if p, err := deb.NewDecoder(io.MultiReader(strings.NewReader(text), iotest.ErrReader(io.ErrNoProgress))).Next(); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%q, and then it cannot be read: %v, %v", text, p, err)
		}
	}
}

// An index in bzip2 is one; the same file twice is one file; one without a sha256 is not there.
func TestWhatAnIndexMayBe(t *testing.T) {
	const packed = "BZh91AY&SY\xfa\\\xaf\x09\x00\x00\x09\xdf\x80\x00\x10\x40\x00\x73\x14\x21\x40\x08\x00\x22\x27\x00\x10\x20\x00\x31\x4c\x26\x9a\x03\x4c\x42\x08\x0c\x4c\x83\x21" +
		"\xd9\xd0\x6f\x81\x25\x34\x5d\x86\x1d\xb6\x40\x91\x33\x31\x99\xf3\x53\xe2\xee\x48\xa7\x0a\x12\x1f\x4b\x95\xe1\x20"
	one := "Filename: a\nSize: 1\nSHA256: " + strings.Repeat("0", 64) + "\n"
	for _, text := range []string{packed, one + "\n" + one, one + "\nFilename: b\nSize: 2\nMD5sum: 0\n"} {
		x, err := deb.ReadIndex(strings.NewReader(text))
		if _, ok := x.Find("a"); !ok || err != nil || len(x) != 1 {
			t.Errorf("%.20q: %v, %v", text, x, err)
		}
	}
}

func TestIsName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "z9": true, "0ad": true, "libstdc++6": true, "Foo.bar_baz-1": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
		"": false, "-a": false, ".a": false, "a{": false, "a`": false, "a:": false, "a/b": false, "a@": false, "a[": false, "a b": false, "ä": false,
	} {
		if deb.IsName(name) != want {
			t.Errorf("%.20q: %v", name, !want)
		}
		if _, err := deb.ParseRelations("b:" + name); name != "" && (err == nil) != want {
			t.Errorf("as an architecture, %.20q: %v", name, err)
		}
	}
}

func TestSourcePackagesAreListed(t *testing.T) {
	sum := strings.Repeat("0f", 32)
	tb, err := deb.ReadIndex(strings.NewReader("Package: x\nDirectory: pool/x\nChecksums-Sha256:\n " + sum + " 7 x.dsc\n " + sum + " 7 x.tar.xz\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pool/x/x.dsc", "pool/x/x.tar.xz"} {
		if got, ok := tb.Find(name); !ok || got.Size != 7 || got.SHA256 != sum {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
}

func TestKeysAreOnlyThoseThatASourceNames(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "trusted.gpg.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	a, b, c := pack.OpenPGP(birth), pack.OpenPGP(birth), pack.OpenPGP(birth)
	other, binary := filepath.Join(dir, "other.asc"), filepath.Join(dir, "binary.gpg")
	var public bytes.Buffer
	if err := a.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(dir, "trusted.gpg.d/two.asc"): pack.Armour(a) + "\n" + pack.Armour(b) + "\n",
		other: pack.Armour(c) + "\n", binary: public.String(),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		signedBy string
		want     []string
	}{
		{"", []string{deb.Fingerprint(a), deb.Fingerprint(b)}},
		{deb.Fingerprint(b) + "!", []string{deb.Fingerprint(b)}},
		{other + " " + binary, []string{deb.Fingerprint(c), deb.Fingerprint(a)}},
		{other + "," + binary, []string{deb.Fingerprint(c), deb.Fingerprint(a)}},
		{other + "\n" + binary, []string{deb.Fingerprint(c), deb.Fingerprint(a)}},
		{other + "\t" + deb.Fingerprint(c), []string{deb.Fingerprint(c)}},
		{other, []string{deb.Fingerprint(c)}},
		{strings.ReplaceAll("\n"+pack.Armour(a), "\n\n", "\n.\n"), []string{deb.Fingerprint(a)}},
	} {
		keys, err := deb.KeysFor(tc.signedBy, dir)
		var got []string
		for _, k := range keys {
			got = append(got, deb.Fingerprint(k))
		}
		if d := cmp.Diff(tc.want, got); err != nil || d != "" {
			t.Errorf("signed-by %.100q: %v\n%s", tc.signedBy, err, d)
		}
	}
	if _, err := deb.KeysFor(deb.Fingerprint(c), dir); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a key that is not trusted: %v", err)
	}
	for _, signedBy := range []string{deb.Fingerprint(a) + " " + other, filepath.Join(dir, "none.asc"), other + " " + filepath.Join(dir, "none.asc")} {
		if keys, err := deb.KeysFor(signedBy, dir); err == nil {
			t.Errorf("%d keys for %s", len(keys), signedBy)
		}
	}
	for what, text := range map[string]string{
		"no key": "-----BEGIN CERTIFICATE-----\n", "too long": pack.Armour(a) + strings.Repeat("\n", 4<<20), "half of one": pack.Armour(a)[:200],
	} {
		if keys, err := deb.ReadKeyring([]byte(text)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %d keys, %v", what, len(keys), err)
		}
	}
	var private bytes.Buffer
	if err := a.SerializePrivate(&private, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := deb.ReadKeyring(private.Bytes()); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a private key: %v", err)
	}
}
