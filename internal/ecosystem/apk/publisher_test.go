package apk_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"overland/internal/ecosystem/apk"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store/dir"
	"overland/internal/testkit/pack"
	"overland/internal/testkit/recording"
)

const (
	keyName = pack.AlpineKey
	teaIdx  = pack.AlpineIndex
	teaApk  = pack.AlpineTea
)

var birth = pack.AlpineBirth

// entry is a file of a tar archive.
type entry struct{ name, text string }

func member(t *testing.T, made time.Time, last bool, files ...entry) []byte {
	t.Helper()
	var list []string
	for _, f := range files {
		list = append(list, f.name, f.text)
	}
	return pack.AlpineMember(t, made, last, list...)
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

func sign(t *testing.T, key *rsa.PrivateKey, kind, name string, content []byte) []byte {
	t.Helper()
	return pack.AlpineSign(t, key, kind, name, content)
}

func packed(t *testing.T, key *rsa.PrivateKey, name, version, text string) ([]byte, string) {
	t.Helper()
	return pack.APK(t, key, name, version, text)
}

// publisher is a repository with the package tea, and whoever sits between it and us.
type publisher struct {
	*pack.Alpine
	t    *testing.T
	key  *rsa.PrivateKey
	keys string // the folder with its public key
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := pack.NewAlpine(t, ourKey())
	return &publisher{p, t, p.Key, p.Keys}
}

func (p *publisher) index(made time.Time, records ...string) {
	p.t.Helper()
	p.Index(p.t, made, records...)
}

func (p *publisher) unsigned(made time.Time, records ...string) []byte {
	p.t.Helper()
	return p.Unsigned(p.t, made, records...)
}

func (p *publisher) put(name string, b []byte) { p.Put(name, b) }

func (p *publisher) get(name string) []byte { return p.Get(name) }

// session is a recorder of a publisher.
type session struct {
	*publisher
	url      string
	protocol *apk.Protocol
	store    *dir.Store
	recorder *record.Recorder
}

func newSession(t *testing.T) *session {
	t.Helper()
	pub := newPublisher(t)
	srv := httptest.NewServer(pub)
	t.Cleanup(srv.Close)
	p, err := apk.New([]apk.Repository{{srv.URL + "/calm", pub.keys}}, nil)
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
