package alpine_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/alpine"
	"overland/internal/errs"
	"overland/internal/testkit/pack"
)

func key(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// An index counts when one of the keys of the folder signed all of it, whatever else it claims.
func TestWhoSignedAnIndex(t *testing.T) {
	mine, other := key(t), key(t)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := t.TempDir()
	write := func(name, kind string, public any) {
		t.Helper()
		der, err := x509.MarshalPKIXPublicKey(public)
		if err == nil {
			err = os.WriteFile(filepath.Join(keys, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a.pub", ".hidden", "a\x01b"} {
		write(name, "PUBLIC KEY", mine.Public())
	}
	write("kind.pub", "RSA PUBLIC KEY", mine.Public())
	write("curve.pub", "PUBLIC KEY", curve.Public())
	if err := os.WriteFile(filepath.Join(keys, "junk.pub"), []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	index := pack.AlpineMember(t, pack.AlpineBirth, true, "DESCRIPTION", "calm", "APKINDEX", "")
	by := func(k *rsa.PrivateKey, kind, name string) []byte { return pack.AlpineSign(t, k, kind, name, index) }
	only := func(signed []byte) []byte { return signed[:len(signed)-len(index)] }
	member := func(files ...string) []byte { return pack.AlpineMember(t, pack.AlpineBirth, false, files...) }
	good := by(mine, "RSA256", "a.pub")
	changed := slices.Concat(good, []byte("x"))
	for what, c := range map[string]struct {
		b    []byte
		want bool
	}{
		"with SHA-1":                         {by(mine, "RSA", "a.pub"), true},
		"with SHA-256":                       {good, true},
		"with SHA-512":                       {by(mine, "RSA512", "a.pub"), true},
		"by a stranger beside a good one":    {slices.Concat(only(by(other, "RSA", "other.pub")), good), true},
		"wrongly beside a good one":          {slices.Concat(only(by(other, "RSA", "a.pub")), good), true},
		"16 times":                           {slices.Concat(bytes.Repeat(only(by(other, "RSA", "other.pub")), 15), good), true},
		"17 times":                           {slices.Concat(bytes.Repeat(only(by(other, "RSA", "other.pub")), 16), good), false},
		"by nobody":                          {index, false},
		"by a stranger":                      {by(other, "RSA", "other.pub"), false},
		"by a stranger with a known name":    {by(other, "RSA256", "a.pub"), false},
		"and changed after that":             {changed, false},
		"with a hash that is not known":      {slices.Concat(member(".SIGN.MD5.a.pub", "x"), index), false},
		"by a key in another folder":         {by(mine, "RSA", "x/../a.pub"), false},
		"by a hidden key":                    {by(mine, "RSA", ".hidden"), false},
		"by a name that a terminal obeys":    {by(mine, "RSA", "a\x01b"), false},
		"by a key without a name":            {by(mine, "RSA", ""), false},
		"by a key of another kind":           {by(mine, "RSA", "kind.pub"), false},
		"by a key that is a curve's":         {by(mine, "RSA", "curve.pub"), false},
		"by a key that is none":              {by(mine, "RSA", "junk.pub"), false},
		"without a key":                      {slices.Concat(member(".SIGN.RSA", "x"), index), false},
		"beside a file":                      {slices.Concat(member(".SIGN.RSA.other.pub", "x", "more.x", "x"), good), false},
		"with a signature of 4 KiB":          {slices.Concat(member(".SIGN.RSA.other.pub", strings.Repeat("x", 4<<10)), good), true},
		"with a signature of more than that": {slices.Concat(member(".SIGN.RSA.other.pub", strings.Repeat("x", 4<<10+1)), good), false},
	} {
		signer, err := alpine.Verify(bytes.NewReader(c.b), keys)
		if (err == nil) != c.want || c.want != strings.HasPrefix(signer, "a.pub sha256:") || err != nil && errs.KindOf(err) != errs.Untrusted {
			t.Errorf("signed %s: %q, %v", what, signer, err)
		}
	}
}

// A package is what its one .PKGINFO says.
func TestWhatAPackageSaysOfItself(t *testing.T) {
	data := pack.AlpineMember(t, pack.AlpineBirth, true, "a", "text")
	says := fmt.Sprintf("datahash = %x\n", sha256.Sum256(data))
	for what, c := range map[string]struct {
		files []string
		want  bool
	}{
		"what it is":             {[]string{".PKGINFO", "# by hand\npkgname = a\n" + says}, true},
		"it in capitals":         {[]string{".PKGINFO", strings.ToUpper(says[11:])}, false},
		"it with capital digits": {[]string{".PKGINFO", "datahash = " + strings.ToUpper(says[11:])}, true},
		"it twice":               {[]string{".PKGINFO", says + says}, false},
		"it in two files":        {[]string{".PKGINFO", says, ".PKGINFO", says}, false},
		"nothing":                {[]string{".PKGINFO", "pkgname = a\n"}, false},
		"nothing, in no file":    {[]string{".post-install", "x"}, false},
		"half of it":             {[]string{".PKGINFO", says[:43] + "\n"}, false},
		"another thing":          {[]string{".PKGINFO", strings.Replace(says, says[11:13], "zz", 1)}, false},
	} {
		b := slices.Concat(pack.AlpineMember(t, pack.AlpineBirth, false, c.files...), data)
		if got, err := alpine.ReadPackage(bytes.NewReader(b)); (err == nil) != c.want || err == nil && got.Size != int64(len(b)) || err != nil && errs.KindOf(err) != errs.Untrusted {
			t.Errorf("a package that says %s: %+v, %v", what, got, err)
		}
	}
	control := pack.AlpineMember(t, pack.AlpineBirth, false, ".PKGINFO", says)
	if _, err := alpine.ReadPackage(bytes.NewReader(control[:len(control)-4])); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("one that ends in its control files: %v", err)
	}
}

// An index has one list, and few files beside it.
func TestWhatIsInAnIndex(t *testing.T) {
	few, many := []string{"APKINDEX", ""}, []string{"APKINDEX", ""}
	for i := range 1000 {
		if many = append(many, fmt.Sprint(i), ""); i < 999 {
			few = append(few, fmt.Sprint(i), "")
		}
	}
	for what, c := range map[string]struct {
		files []string
		want  bool
	}{
		"one list": {[]string{"APKINDEX", ""}, true}, "two": {[]string{"APKINDEX", "", "APKINDEX", ""}, false}, "none": {[]string{"DESCRIPTION", "calm"}, false},
		"1,000 files": {few, true}, "1,001": {many, false},
	} {
		if _, err := alpine.ReadIndex(bytes.NewReader(pack.AlpineMember(t, pack.AlpineBirth, true, c.files...))); (err == nil) != c.want || err != nil && errs.KindOf(err) != errs.Untrusted {
			t.Errorf("an index with %s: %v", what, err)
		}
	}
}

// What apk-tools 3 writes by itself is named, not taken for damage.
func TestFormatV3IsRefusedByName(t *testing.T) {
	for _, head := range []string{"ADB.pckg", "ADBd\x01", "ADBc\x02\x01"} {
		b := head + strings.Repeat("x", 100)
		_, verify := alpine.Verify(strings.NewReader(b), t.TempDir())
		_, pkg := alpine.ReadPackage(strings.NewReader(b))
		_, unpack := alpine.ReadArchive(strings.NewReader(b), alpine.Contents{})
		for what, err := range map[string]error{
			"verify": verify, "package": pkg, "unpack": unpack, "infos": alpine.ReadInfos(strings.NewReader(b), func(*alpine.Info) error { return nil }),
		} {
			if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "v3 (ADB)") {
				t.Errorf("%s of %q: %v", what, head, err)
			}
		}
	}
}
