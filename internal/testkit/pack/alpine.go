package pack

import (
	"archive/tar"
	"bytes"
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
	"net/http"
	"os"
	"path/filepath"
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
	data := AlpineMember(t, AlpineBirth, true, "opt/", "", "opt/"+name, text)
	control := AlpineMember(t, AlpineBirth, false, ".PKGINFO", fmt.Sprintf(
		"# by hand\npkgname = %s\npkgver = %s\npkgdesc = %s\nsize = %d\narch = x86_64\nlicense = none\ndatahash = %x\n",
		name, version, name, len(text), sha256.Sum256(data)))
	b := append(AlpineSign(t, key, "RSA", AlpineKey, control), data...)
	sum := sha1.Sum(control)
	return b, fmt.Sprintf("C:Q1%s\nP:%s\nV:%s\nA:x86_64\nS:%d\nI:%d\nT:%s\nU:none\nL:none\no:%s\nt:%d\n\n",
		base64.StdEncoding.EncodeToString(sum[:]), name, version, len(b), len(text), name, name, AlpineBirth.Unix())
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
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if err := os.WriteFile(filepath.Join(p.Keys, AlpineKey), text, 0o644); err != nil {
		t.Fatal(err)
	}
	b, record := APK(t, key, "tea", "1.0-r0", "tea 1.0")
	p.Put(AlpineTea, b)
	p.Index(t, AlpineBirth, record)
	return p
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
