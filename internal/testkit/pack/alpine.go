package pack

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What an Alpine repository serves: its key's name, and the paths of its index and
// of its package tea below /calm/.
const (
	AlpineKey   = "calm@invalid-1.rsa.pub"
	AlpineIndex = "v1/main/x86_64/APKINDEX.tar.gz"
	AlpineTea   = "v1/main/x86_64/tea-1.0-r0.apk"
)

// AlpineBirth is when the first index was made.
var AlpineBirth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// AlpineMember returns a gzip member with files: names, each followed by its text. Only the last
// member of a file has a tar archive with an end.
func AlpineMember(t testing.TB, made time.Time, last bool, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		name, text := files[i], files[i+1]
		h := &tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644, Typeflag: tar.TypeReg, ModTime: made, Format: tar.FormatUSTAR}
		if !strings.HasPrefix(name, ".") && last {
			h.Format = tar.FormatPAX // what apk wants to know of files that it unpacks
			h.PAXRecords = map[string]string{"APK-TOOLS.checksum.SHA1": fmt.Sprintf("%x", sha1.Sum([]byte(text)))}
		}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	end := w.Flush
	if last {
		end = w.Close
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// AlpineSign returns content with a signature before it, as abuild-sign makes it.
// kind is RSA, RSA256 or RSA512.
func AlpineSign(t testing.TB, key *rsa.PrivateKey, kind, name string, content []byte) []byte {
	t.Helper()
	hash := map[string]crypto.Hash{"RSA": crypto.SHA1, "RSA256": crypto.SHA256, "RSA512": crypto.SHA512}[kind]
	h := hash.New()
	h.Write(content)
	b, err := rsa.SignPKCS1v15(rand.Reader, key, hash, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return append(AlpineMember(t, AlpineBirth, false, ".SIGN."+kind+"."+name, string(b)), content...)
}

// APK returns a package with one file, signed, and its record in an index.
func APK(t testing.TB, key *rsa.PrivateKey, name, version, text string) ([]byte, string) {
	t.Helper()
	info := fmt.Sprintf("pkgname = %s\npkgver = %s\npkgdesc = %s\nurl = none\nsize = %d\narch = x86_64\norigin = %s\nbuilddate = %d\nlicense = none\n",
		name, version, name, len(text), name, AlpineBirth.Unix())
	return APKWith(t, key, info, nil, DebEntry{Name: "opt/"}, DebEntry{Name: "opt/" + name, Text: text})
}

// APKWith returns a package with what info, the beginning of a .PKGINFO, says, and with scripts by their names, such as
// "post-install"; and its record in an index.
func APKWith(t testing.TB, key *rsa.PrivateKey, info string, scripts map[string]string, entries ...DebEntry) ([]byte, string) {
	t.Helper()
	data := alpineData(t, entries)
	files := []string{".PKGINFO", fmt.Sprintf("# by hand\n%sdatahash = %x\n", info, sha256.Sum256(data))}
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		files = append(files, "."+name, scripts[name])
	}
	control := AlpineMember(t, AlpineBirth, false, files...)
	b := append(AlpineSign(t, key, "RSA", AlpineKey, control), data...)
	sum := sha1.Sum(control)
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		fields[name] = strings.TrimSpace(fields[name] + " " + value)
	}
	record := fmt.Sprintf("C:Q1%s\n", base64.StdEncoding.EncodeToString(sum[:]))
	for _, f := range strings.Fields("P:pkgname V:pkgver A:arch S: I:size T:pkgdesc U:url L:license o:origin t:builddate k:provider_priority D:depend p:provides i:install_if") {
		letter, name, _ := strings.Cut(f, ":")
		v := fields[name]
		if name == "" {
			v = fmt.Sprint(len(b))
		}
		if v != "" {
			record += letter + ":" + v + "\n"
		}
	}
	return b, record + "\n"
}

// alpineData returns the data of a package: what apk wants to know of the files that it unpacks is in PAX records.
func alpineData(t testing.TB, entries []DebEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := e.Header
		h.Name, h.Size, h.Format, h.ModTime = e.Name, int64(len(e.Text)), tar.FormatPAX, AlpineBirth
		if h.Uname == "" {
			h.Uname, h.Gname = "root", "root"
		}
		of := e.Text
		switch {
		case h.Typeflag == 0 && strings.HasSuffix(h.Name, "/"):
			h.Typeflag = tar.TypeDir
			h.Mode = cmp.Or(h.Mode, 0o755)
		case h.Typeflag == 0:
			h.Typeflag = tar.TypeReg
		case h.Typeflag == tar.TypeSymlink:
			h.Mode, of = 0o777, h.Linkname
		}
		h.Mode = cmp.Or(h.Mode, 0o644)
		records := map[string]string{}
		if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeSymlink {
			records["APK-TOOLS.checksum.SHA1"] = fmt.Sprintf("%x", sha1.Sum([]byte(of)))
		}
		maps.Copy(records, h.PAXRecords)
		if h.PAXRecords = records; len(records) == 0 {
			h.PAXRecords = nil
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.Text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Alpine serves a repository with the package tea below /calm/.
type Alpine struct {
	Key  *rsa.PrivateKey
	Keys string // the folder with its public key

	mu    sync.Mutex
	files map[string][]byte
}

// NewAlpine returns a repository that key signs.
func NewAlpine(t testing.TB, key *rsa.PrivateKey) *Alpine {
	t.Helper()
	p := &Alpine{Key: key, Keys: t.TempDir(), files: map[string][]byte{}}
	p.Trust(t, p.Keys)
	b, record := APK(t, key, "tea", "1.0-r0", "tea 1.0")
	p.Put(AlpineTea, b)
	p.Index(t, AlpineBirth, record)
	return p
}

// Trust writes the public key to the folder dir.
func (p *Alpine) Trust(t testing.TB, dir string) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(p.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, AlpineKey), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Index publishes an index made at that time.
func (p *Alpine) Index(t testing.TB, made time.Time, records ...string) {
	t.Helper()
	p.Put(AlpineIndex, AlpineSign(t, p.Key, "RSA", AlpineKey, p.Unsigned(t, made, records...)))
}

// Unsigned returns an index without a signature.
func (p *Alpine) Unsigned(t testing.TB, made time.Time, records ...string) []byte {
	t.Helper()
	return AlpineMember(t, made, true, "DESCRIPTION", "calm", "APKINDEX", strings.Join(records, ""))
}

// Put publishes b under name.
func (p *Alpine) Put(name string, b []byte) { p.mu.Lock(); p.files[name] = b; p.mu.Unlock() }

// Get returns what is published under name; nil when nothing is.
func (p *Alpine) Get(name string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.files[name])
}

func (p *Alpine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := p.Get(strings.TrimPrefix(r.URL.Path, "/calm/"))
	if b == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(b)
}
