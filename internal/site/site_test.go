package site

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/badlink"
	"overland/internal/trust/client"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		child(role) // never returns
	}
	goleak.VerifyTestMain(m)
}

// start makes a site in dir, runs it on a free port, and returns its URL and what ends it.
func start(t *testing.T, dir string, o Options, e ...edges) (url string, stop func()) {
	t.Helper()
	info, err := Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	o.Listen, o.Ready = "127.0.0.1:0", func(addr string) { ready <- addr }
	go func() { done <- runIn(ctx, dir, o, append(e, edges{})[0]) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case addr := <-ready:
		return info.URL(addr), stop
	case err := <-done:
		done <- nil
		t.Fatal(err)
		return "", nil
	}
}

// newSite returns the directory of a new site.
func newSite(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func random(size int) []byte {
	r := rand.NewChaCha8([32]byte{2})
	b := make([]byte, size)
	_, _ = r.Read(b)
	return b
}

func open(t *testing.T, url string) *fetch.SiteSource {
	t.Helper()
	s, err := fetch.Site(url, fetch.SiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.CloseIdleConnections)
	return s
}

func TestANodeFetchesFromASite(t *testing.T) {
	dir := t.TempDir()
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	body := random(12<<20 + 7)
	list, err := store.Chunks(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{body, list} {
		if _, err := store.PutBytes(t.Context(), depot, b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	name := "3.app%2Fwallet.json"
	if err := os.WriteFile(filepath.Join(dir, "trust", name), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	url, _ := start(t, dir, Options{})
	u, err := fetch.ParseSiteURL(url)
	if err != nil {
		t.Fatal(err)
	}
	link, err := badlink.Listen(badlink.To(u.Addr.String()), badlink.Faults{CutEvery: 4_000_000, Refuse: 0.3, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	src := open(t, Info{Pin: u.Pin.String()}.URL(link.Addr()))
	to, err := storedir.Open(t.TempDir(), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := fetch.New(to, fetch.Options{Sources: []fetch.Source{src}})
	b := fetch.Blob{Digest: digest.Of(body), Size: int64(len(body)), Chunks: digest.Of(list)}
	if err := f.Fetch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := store.Verify(t.Context(), to, b.Digest); err != nil {
		t.Fatal(err)
	}
	if c := link.Counts(); float64(c.Down) > 1.02*float64(len(body)) || c.Cuts < 3 {
		t.Errorf("moved %d bytes for %d, %d cuts", c.Down, len(body), c.Cuts)
	}
	if got, err := src.Metadata(t.Context(), name, 100); err != nil || string(got) != "{}" {
		t.Errorf("%s: %q, %v", name, got, err)
	}
	if _, err := src.Metadata(t.Context(), "9.root.json", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent metadata: %v, want ErrNotExist", err)
	}
	if err := src.Health(t.Context()); err != nil {
		t.Error(err)
	}
	err = f.Fetch(t.Context(), fetch.Blob{Digest: digest.Of([]byte("absent")), Size: 6})
	if errs.KindOf(err) != errs.NotFound {
		t.Errorf("absent blob: %v, want NotFound", err)
	}
}

func TestTheTimestampOnTheWire(t *testing.T) {
	dir := t.TempDir()
	url, _ := start(t, dir, Options{})
	src := open(t, url)
	file := filepath.Join(dir, "trust", "timestamp.json")
	for _, text := range []string{"one", "one", "two"} {
		if err := (fsx.FS{}).WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := src.Metadata(t.Context(), "timestamp.json", 100); err != nil || string(got) != text {
			t.Errorf("got %q, %v; want %q", got, err, text)
		}
	}
}

func TestAnotherKeyIsRefused(t *testing.T) {
	url, _ := start(t, t.TempDir(), Options{})
	other, err := Init(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	u, err := fetch.ParseSiteURL(url)
	if err != nil {
		t.Fatal(err)
	}
	src := open(t, other.URL(u.Addr.String()))
	_, err = src.Metadata(t.Context(), "timestamp.json", 100)
	if errs.KindOf(err) != errs.Untrusted || errs.HintOf(err) == "" {
		t.Errorf("got %v (%v), want Untrusted with a hint", err, errs.KindOf(err))
	}
	to, err := storedir.Open(t.TempDir(), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = fetch.New(to, fetch.Options{Sources: []fetch.Source{src}}).Fetch(t.Context(), fetch.Blob{Digest: digest.Of([]byte("x")), Size: 1})
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("got %v (%v), want Untrusted", err, errs.KindOf(err))
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	url, _ := start(t, t.TempDir(), Options{})
	u, err := fetch.ParseSiteURL(url)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}}
	defer tr.CloseIdleConnections()
	if resp, err := (&http.Client{Transport: tr}).Get(u.Base() + "/v1/health"); err == nil {
		resp.Body.Close()
		t.Error("TLS 1.2 was accepted")
	}
}

func TestTheKeyStays(t *testing.T) {
	dir := t.TempDir()
	first, err := Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, cert := filepath.Join(dir, "tls", "key.pem"), filepath.Join(dir, "tls", "cert.pem")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v; want mode 0600", info.Mode(), err)
	}
	again := func(what string) {
		t.Helper()
		if got, err := Init(dir); err != nil || got != first {
			t.Errorf("%s: got %v, %v; want %v", what, got, err, first)
		}
	}
	again("again")
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	again("certificate gone")
	if err := os.WriteFile(cert, []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	again("certificate torn")

	saved, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string) {
		t.Helper()
		if got, err := Init(dir); err == nil || errs.HintOf(err) == "" {
			t.Errorf("%s: got %v, %v; want an error with a hint", what, got, err)
		}
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	refused("readable by all")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	refused("key gone")
	if err := os.WriteFile(key, saved[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	refused("key torn")
	if err := os.WriteFile(key, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	again("key back")
}

func TestInitStoppedAnywhereIsCompletedByTheNext(t *testing.T) {
	stop := errors.New("stop")
	for n := 1; ; n++ {
		dir, count, ran := t.TempDir(), 0, false
		f := fsx.FS{Before: func(fsx.Op) error {
			if count++; count >= n {
				ran = true
				return stop
			}
			return nil
		}}
		if _, err := initialise(f, dir); !ran {
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d operations", count)
			if count < 10 {
				t.Error("too few operations went through fsx")
			}
			return
		}
		first, err := Init(dir)
		if err != nil {
			t.Fatalf("after operation %d: %v", n, err)
		}
		if again, err := Init(dir); err != nil || again != first {
			t.Fatalf("after operation %d: %v, %v, want %v", n, again, err, first)
		}
	}
}

func TestTwoInitsAgree(t *testing.T) {
	dir := t.TempDir()
	var infos [4]Info
	var wg sync.WaitGroup
	for i := range infos {
		wg.Go(func() {
			var err error
			if infos[i], err = Init(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, info := range infos {
		if info != infos[0] {
			t.Errorf("two pins: %v and %v", info, infos[0])
		}
	}
}

func TestTheEndIsNotHeldUpByASlowNode(t *testing.T) {
	dir := t.TempDir()
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := store.PutBytes(t.Context(), depot, random(32<<20))
	if err != nil {
		t.Fatal(err)
	}
	url, stop := start(t, dir, Options{Grace: 1})
	rc, _, err := open(t, url).Open(t.Context(), d, 0) // and nothing is read
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	stop() // returns, and Run returns nil
}

func TestURLs(t *testing.T) {
	info := Info{Pin: "sha256:" + strings.Repeat("0", 64)}
	if got, err := info.URLs("10.1.2.3:8443"); err != nil || len(got) != 1 || got[0] != "https://10.1.2.3:8443#"+info.Pin {
		t.Errorf("%v, %v", got, err)
	}
	got, err := info.URLs(":8443")
	if err != nil || len(got) == 0 {
		t.Fatalf("%v, %v", got, err)
	}
	for _, u := range got {
		if _, err := fetch.ParseSiteURL(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, bad := range []string{"", "8443", "host.example:1", ":x", "10.0.0.1", "1.2.3.4:99999"} {
		if got, err := info.URLs(bad); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v, %v; want Invalid", bad, got, err)
		}
	}
}

func TestTheTimestampIsKeptFresh(t *testing.T) {
	calls := make(chan struct{})
	answers := []error{
		errs.Errorf(errs.NotFound, "no trust"), errors.New("locked key"), errors.New("locked key"),
		errs.Errorf(errs.Partial, "targets expires soon"), nil, nil,
	}
	var log bytes.Buffer
	o := Options{Refresh: 1, Log: slog.New(slog.NewTextHandler(&log, nil))}
	e := edges{refresh: func(ctx context.Context) error {
		select {
		case calls <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		return err
	}}
	_, stop := start(t, t.TempDir(), o, e)
	for range 8 {
		<-calls
	}
	stop()
	text := log.String()
	if strings.Count(text, "locked key") != 1 || !strings.Contains(text, "person's key") || !strings.Contains(text, "nothing is signed yet") || !strings.Contains(text, "kept fresh") {
		t.Errorf("log:\n%s", text)
	}
}

func TestANodeTrustsASiteThatKeepsItsTimestampFresh(t *testing.T) {
	dir := t.TempDir()
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	keys, err := keys.Open(home.Keys.In(dir), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Signed long ago: without the site's work a node would refuse it.
	old := time.Now().Add(-20 * 24 * time.Hour)
	o := repository.InitOptions{Options: repository.Options{Clock: clock.At(old)}}
	repo, err := repository.Init(t.Context(), repository.Dir(filepath.Join(dir, "trust"), fsx.FS{}), keys, o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	url, _ := start(t, dir, Options{}, edges{refresh: func(ctx context.Context) error {
		err := refresh(ctx, dir)
		done <- err
		return err
	}})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	node, err := client.Open(t.TempDir(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	src := open(t, url)
	if err := node.Pin(t.Context(), src, repo.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	fresh, err := node.Refresh(t.Context(), src, client.RefreshOptions{})
	if err != nil || !fresh.Known || !fresh.SignedAt.After(old.Add(time.Hour)) {
		t.Errorf("%+v, %v; want fresh metadata", fresh, err)
	}
}

// A slip in a folder's name makes nothing, but for Open, which makes a site where it
// is in nobody's way, and says so.
func TestNoSiteIsMadeByAMistake(t *testing.T) {
	own := t.TempDir() // of an operator who never asked for a site
	if err := os.Mkdir(home.Depot.In(own), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(own, "missing"), t.TempDir(), own} {
		before := listing(t, dir)
		look, lookErr := LookCache(t.Context(), dir)
		change, changeErr := OpenCache(t.Context(), dir)
		for what, err := range map[string]error{
			"Run": Run(t.Context(), dir, Options{Listen: "127.0.0.1:0"}), "LookCache": lookErr, "OpenCache": changeErr,
		} {
			if errs.KindOf(err) != errs.NotFound || !strings.Contains(errs.HintOf(err), "overland site init "+dir) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		if look != nil || change != nil || !slices.Equal(listing(t, dir), before) {
			t.Errorf("in %s there is %q, before it was %q", dir, listing(t, dir), before)
		}
		for _, first := range []bool{true, false} {
			if _, made, err := Open(dir); made != first || err != nil {
				t.Errorf("Open: made %v, %v", made, err)
			}
		}
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	was := listing(t, full)
	if _, _, err := Open(full); errs.KindOf(err) != errs.NotFound || !strings.Contains(errs.HintOf(err), "overland site init "+full) {
		t.Errorf("a folder of somebody else: %v", err)
	}
	if got := listing(t, full); !slices.Equal(got, was) {
		t.Errorf("it now has %q", got)
	}
	dir := newSite(t)
	before := listing(t, dir)
	if _, err := LookCache(t.Context(), dir); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("a site without a cache: %v", err)
	}
	if got := listing(t, dir); !slices.Equal(got, before) {
		t.Errorf("looking at a cache made %q of %q", got, before)
	}
}

// listing returns the names of everything below dir; none when there is no dir.
func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func TestATakenPort(t *testing.T) {
	dir := t.TempDir()
	url, _ := start(t, dir, Options{})
	u, err := fetch.ParseSiteURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), dir, Options{Listen: u.Addr.String()}); err == nil || errs.HintOf(err) == "" {
		t.Errorf("got %v, want an error with a hint", err)
	}
}
