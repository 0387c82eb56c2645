package apt_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"overland/internal/clock"
	"overland/internal/ecosystem/apt"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store/dir"
	"overland/internal/testkit/pack"
	"overland/internal/testkit/recording"
)

var (
	birth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	today = birth.AddDate(0, 0, 10)
)

// publisher is an archive in memory with the suite "calm" and one package, and
// whoever sits between it and us.
type publisher struct {
	t   *testing.T
	key *openpgp.Entity

	mu    sync.Mutex
	files map[string][]byte
}

const (
	debPath   = "pool/main/t/tea/tea_1%3a2~rc+3_amd64.deb"
	indexPath = "dists/calm/main/binary-amd64/Packages.xz"
)

func newKey() *openpgp.Entity { return pack.OpenPGP(birth) }

func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "xz")
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sign(key *openpgp.Entity, text string) []byte {
	return pack.ClearSign(key, text, &packet.Config{Time: clock.At(birth.Add(time.Hour))})
}

func hexSum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func newPublisher(t *testing.T) *publisher {
	p := &publisher{t: t, key: newKey(), files: map[string][]byte{}}
	deb := []byte("!<arch>\nnot really a package, but nobody unpacks it here")
	index := packed(t, fmt.Appendf(nil, "Package: tea\nFilename: %s\nSize: %d\nSHA256: %s\n", debPath, len(deb), hexSum(deb)))
	p.files[debPath] = deb
	p.files[indexPath] = index
	p.files["dists/calm/main/binary-amd64/by-hash/SHA256/"+hexSum(index)] = index
	p.release(p.key, "calm", birth.AddDate(0, 0, 9), birth.AddDate(0, 0, 16))
	return p
}

// release publishes an InRelease at suite "calm" that says it is of suite.
func (p *publisher) release(key *openpgp.Entity, suite string, date, until time.Time) {
	const layout = "Mon, 02 Jan 2006 15:04:05 UTC"
	index := p.get(indexPath)
	p.put("dists/calm/InRelease", sign(key, fmt.Sprintf(
		"Origin: Test\nSuite: %s\nCodename: %s\nDate: %s\nValid-Until: %s\nAcquire-By-Hash: yes\nSHA256:\n %s %d main/binary-amd64/Packages.xz\n",
		suite, suite, date.Format(layout), until.Format(layout), hexSum(index), len(index))))
}

func (p *publisher) put(name string, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[name] = b
}

func (p *publisher) get(name string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.files[name])
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := p.get(r.URL.Path[len("/archive/"):])
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
	sources  []apt.Source
	protocol *apt.Protocol
	store    *dir.Store
	recorder *record.Recorder
}

func newSession(t *testing.T) *session {
	pub := newPublisher(t)
	srv := httptest.NewServer(pub)
	t.Cleanup(srv.Close)
	sources := []apt.Source{{
		Types: []string{"deb"}, URIs: []string{srv.URL + "/archive"}, Suites: []string{"calm"}, Components: []string{"main"},
		SignedBy: pack.Armour(pub.key),
	}}
	p, err := apt.New(sources, apt.Options{Clock: clock.At(today)})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{publisher: pub, sources: sources, protocol: p, store: recording.Store(t)}
	s.restart()
	return s
}

// restart begins a new session on the same store, which knows what was locked so far.
func (s *session) restart() {
	var lock *lockfile.Lock
	if s.recorder != nil {
		lock = s.recorder.Lock()
		s.recorder.Close()
	}
	s.recorder = recording.Recorder(s.t, s.store, lock)
}

// fetch asks for the path name of the archive.
func (s *session) fetch(name string) (lockfile.Entry, error) {
	req := httptest.NewRequest(http.MethodGet, "http://recorder/", nil)
	req.URL.Path = "/archive/" + name
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
