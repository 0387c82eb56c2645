package apk

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
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store/dir"
	"overland/internal/testkit/recording"
)

const (
	keyName = "calm@invalid-1.rsa.pub"
	teaIdx  = "v1/main/x86_64/APKINDEX.tar.gz"
	teaApk  = "v1/main/x86_64/tea-1.0-r0.apk"
)

var birth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// entry is a file of a tar archive.
type entry struct{ name, text string }

// member returns a gzip member with files. Only the last one of a file has a tar archive with an end.
func member(t *testing.T, made time.Time, last bool, files ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Size: int64(len(f.text)), Mode: 0o644, Typeflag: tar.TypeReg, ModTime: made, Format: tar.FormatUSTAR}
		if !strings.HasPrefix(f.name, ".") && last {
			h.Format = tar.FormatPAX // what apk wants to know of files that it unpacks
			h.PAXRecords = map[string]string{"APK-TOOLS.checksum.SHA1": fmt.Sprintf("%x", sha1.Sum([]byte(f.text)))}
		}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
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

// The keys of the tests: making one takes long.
var (
	ourKey   = sync.OnceValue(newKey)
	otherKey = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// sign returns content with a signature before it, as abuild-sign makes it.
func sign(t *testing.T, key *rsa.PrivateKey, kind, name string, content []byte) []byte {
	t.Helper()
	hash := map[string]crypto.Hash{"RSA": crypto.SHA1, "RSA256": crypto.SHA256, "RSA512": crypto.SHA512}[kind]
	h := hash.New()
	h.Write(content)
	b, err := rsa.SignPKCS1v15(rand.Reader, key, hash, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return append(member(t, birth, false, entry{".SIGN." + kind + "." + name, string(b)}), content...)
}

// apk returns a package with one file, signed, and its record in an index.
func apk(t *testing.T, key *rsa.PrivateKey, name, version, text string) ([]byte, string) {
	t.Helper()
	data := member(t, birth, true, entry{"opt/", ""}, entry{"opt/" + name, text})
	control := member(t, birth, false, entry{".PKGINFO", fmt.Sprintf(
		"# by hand\npkgname = %s\npkgver = %s\npkgdesc = %s\nsize = %d\narch = x86_64\nlicense = none\ndatahash = %x\n",
		name, version, name, len(text), sha256.Sum256(data))})
	b := append(sign(t, key, "RSA", keyName, control), data...)
	sum := sha1.Sum(control)
	return b, fmt.Sprintf("C:Q1%s\nP:%s\nV:%s\nA:x86_64\nS:%d\nI:%d\nT:%s\nU:none\nL:none\no:%s\nt:%d\n\n",
		base64.StdEncoding.EncodeToString(sum[:]), name, version, len(b), len(text), name, name, birth.Unix())
}

// publisher is a repository with the package tea, and whoever sits between it and us.
type publisher struct {
	t    *testing.T
	key  *rsa.PrivateKey
	keys string // the folder with its public key

	mu    sync.Mutex
	files map[string][]byte
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{t: t, key: ourKey(), keys: t.TempDir(), files: map[string][]byte{}}
	der, err := x509.MarshalPKIXPublicKey(p.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if err := os.WriteFile(filepath.Join(p.keys, keyName), text, 0o644); err != nil {
		t.Fatal(err)
	}
	b, rec := apk(t, p.key, "tea", "1.0-r0", "tea 1.0")
	p.put(teaApk, b)
	p.index(birth, rec)
	return p
}

// index publishes an index made at that time.
func (p *publisher) index(made time.Time, records ...string) {
	p.t.Helper()
	p.put(teaIdx, sign(p.t, p.key, "RSA", keyName, p.unsigned(made, records...)))
}

func (p *publisher) unsigned(made time.Time, records ...string) []byte {
	p.t.Helper()
	return member(p.t, made, true, entry{"DESCRIPTION", "calm"}, entry{"APKINDEX", strings.Join(records, "")})
}

func (p *publisher) put(name string, b []byte) { p.mu.Lock(); p.files[name] = b; p.mu.Unlock() }

func (p *publisher) get(name string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.files[name])
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := p.get(strings.TrimPrefix(r.URL.Path, "/calm/"))
	if b == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(b)
}

// session is a recorder of a publisher.
type session struct {
	*publisher
	url      string
	protocol *Protocol
	store    *dir.Store
	recorder *record.Recorder
}

func newSession(t *testing.T) *session {
	t.Helper()
	pub := newPublisher(t)
	srv := httptest.NewServer(pub)
	t.Cleanup(srv.Close)
	p, err := New([]Repository{{srv.URL + "/calm", pub.keys}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{publisher: pub, url: srv.URL, protocol: p, store: recording.Store(t)}
	s.restart(nil)
	return s
}

// restart begins a new session on the same store, in which lock is locked.
func (s *session) restart(lock *lockfile.Lock) { s.recorder = recording.Recorder(s.t, s.store, lock) }

// fetch asks for the path name of the repository.
func (s *session) fetch(name string) (lockfile.Entry, error) {
	req := httptest.NewRequest(http.MethodGet, "http://recorder/", nil)
	req.URL.Path = "/calm/" + name
	it, err := s.protocol.Item(req)
	if err != nil {
		return lockfile.Entry{}, err
	}
	e, blob, err := s.recorder.Get(s.t.Context(), s.protocol, it)
	if blob != nil {
		blob.Close()
	}
	return e, err
}

// blobs returns how many blobs the store has.
func (s *session) blobs() int { return recording.Blobs(s.t, s.recorder, s.store) }
