package site

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/home"
	"overland/internal/mirror"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/attack"
	"overland/internal/testkit/badlink"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

// fetched fetches b from the sites at urls with empty hands, and returns its error.
func fetched(t *testing.T, b fetch.Blob, stall time.Duration, urls ...string) error {
	t.Helper()
	to, err := storedir.Open(t.TempDir(), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := fetch.Options{Stall: stall, Attempts: 2, Backoff: time.Millisecond}
	for _, u := range urls {
		o.Sources = append(o.Sources, open(t, u))
	}
	if err := fetch.New(to, o).Fetch(t.Context(), b); err != nil {
		return err
	}
	return store.Verify(t.Context(), to, b.Digest)
}

func blobOf(b []byte) fetch.Blob { return fetch.Blob{Digest: digest.Of(b), Size: int64(len(b))} }

func originOf(t *testing.T, blobs ...[]byte) *badlink.Origin {
	o := badlink.NewOrigin(nil, blobs...)
	t.Cleanup(func() { o.Close() })
	return o
}

func linkTo(t *testing.T, to badlink.Dialer, f badlink.Faults) *badlink.Link {
	t.Helper()
	l, err := badlink.Listen(to, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// blobs returns how many blobs the depot of the site in dir has; each must be itself.
func blobs(t *testing.T, dir string) (n int) {
	t.Helper()
	s := openDepot(t, dir)
	if err := s.List(t.Context(), func(d digest.Digest, _ int64) error { n++; return store.Verify(t.Context(), s, d) }); err != nil {
		t.Error(err)
	}
	return n
}

// A near site asks upstream once, whoever asks it afterwards; then the upstream may be gone.
func TestTheNearCopyIsPreferred(t *testing.T) {
	body := random(3<<20 + 11)
	far := originOf(t, body)
	dir := t.TempDir()
	near, _ := start(t, dir, Options{Upstreams: []string{far.URL(far.Addr())}})
	if err := fetched(t, blobOf(body), 0, near); err != nil {
		t.Fatal(err)
	}
	first, sent := far.Requests()
	if first != 1 || sent != int64(len(body)) {
		t.Errorf("the first node cost %d requests and %d bytes upstream", first, sent)
	}
	if err := fetched(t, blobOf(body), 0, near); err != nil {
		t.Fatal(err)
	}
	if second, _ := far.Requests(); second != first {
		t.Errorf("the second node cost %d requests upstream", second-first)
	}
	far.Close()
	if err := fetched(t, blobOf(body), 0, near); err != nil {
		t.Error(err)
	}
	if n := blobs(t, dir); n != 1 {
		t.Errorf("%d blobs in the depot", n)
	}
	if err := fetched(t, blobOf([]byte("absent")), 0, near); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("upstream is dead: %v", err)
	}
}

// What nobody has is not asked of upstream each time, and leaves nothing on the disk.
func TestBlobsThatNobodyHas(t *testing.T) {
	far := originOf(t)
	dir := t.TempDir()
	near, _ := start(t, dir, Options{Upstreams: []string{far.URL(far.Addr())}})
	for n := range 20 {
		if err := fetched(t, blobOf([]byte{byte(n % 5)}), 0, near); errs.KindOf(err) != errs.NotFound {
			t.Errorf("got %v", err)
		}
	}
	if n, _ := far.Requests(); n != 5 {
		t.Errorf("%d requests upstream for five blobs", n)
	}
	if left, err := filepath.Glob(filepath.Join(home.Depot.In(dir), "ingest", "*.part")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// What is not the blob reaches neither the node nor the near site's depot; an
// honest upstream makes up for it.
func TestAnUpstreamLies(t *testing.T) {
	body := random(200_000)
	for name, m := range map[string]badlink.Mischief{
		"portal": badlink.Portal, "other bytes": badlink.PortalSameLen, "short": badlink.ShortBody, "longer than said": badlink.LongLength,
		"gzip": badlink.Gzipped, "redirects": badlink.Redirects, "no length": badlink.NoLength, "503": badlink.Unavailable, "a flipped byte": badlink.Liar,
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := originOf(t, body), originOf(t, body)
			bad.Set(m, 77)
			dir := t.TempDir()
			near, stop := start(t, dir, Options{Upstreams: []string{bad.URL(bad.Addr())}})
			if err := fetched(t, blobOf(body), 20*time.Second, near); err == nil {
				t.Error("the node has a blob")
			}
			if n := blobs(t, dir); n != 0 {
				t.Errorf("%d blobs in the depot", n)
			}
			stop()
			near, _ = start(t, dir, Options{Upstreams: []string{bad.URL(bad.Addr()), good.URL(good.Addr())}})
			if err := fetched(t, blobOf(body), 20*time.Second, near); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnUpstreamIsEndless(t *testing.T) {
	far := originOf(t, []byte("x"))
	far.Set(badlink.Endless)
	dir := t.TempDir()
	near, _ := start(t, dir, Options{Upstreams: []string{far.URL(far.Addr())}}, edges{mirror: mirror.Options{Limit: 1 << 20}})
	if err := fetched(t, blobOf([]byte("x")), 0, near); err == nil {
		t.Error("the node has a blob")
	}
	if n := blobs(t, dir); n != 0 {
		t.Errorf("%d blobs in the depot", n)
	}
}

// A transfer from upstream that is cut again and again moves every byte once.
func TestAnUpstreamIsCut(t *testing.T) {
	body := random(6 << 20)
	far := originOf(t, body)
	link := linkTo(t, badlink.To(far.Addr()), badlink.Faults{CutEvery: 1 << 20})
	near, _ := start(t, t.TempDir(), Options{Upstreams: []string{far.URL(link.Addr())}})
	if err := fetched(t, blobOf(body), 0, near); err != nil {
		t.Fatal(err)
	}
	if c := link.Counts(); c.Cuts < 5 || float64(c.Down) > 1.05*float64(len(body)) {
		t.Errorf("%d cuts, %d bytes moved for %d", c.Cuts, c.Down, len(body))
	}
}

// What a near site had of a blob when it was stopped it does not fetch again.
func TestANearSiteStopsInTheMiddle(t *testing.T) {
	body := random(6 << 20)
	far := originOf(t, body)
	link := linkTo(t, badlink.To(far.Addr()), badlink.Faults{SilentAt: 3 << 20})
	dir := t.TempDir()
	near, stop := start(t, dir, Options{Upstreams: []string{far.URL(link.Addr())}, Grace: 1})
	lost := make(chan error, 1)
	go func() { lost <- fetched(t, blobOf(body), time.Minute, near) }()
	// The silence begins when the link has sent: what the site has not read by then is in
	// buffers, and would come twice.
	const buffered = 128 << 10
	part := filepath.Join(home.Depot.In(dir), "ingest", blobOf(body).Digest.Encoded()+".part")
	for tick := time.NewTicker(time.Millisecond); link.Counts().Silences == 0 || sizeOf(part) < 3<<20-buffered; <-tick.C {
	}
	stop()
	if err := <-lost; err == nil {
		t.Fatal("the link does not go silent")
	}
	link.Set(badlink.Faults{})
	near, _ = start(t, dir, Options{Upstreams: []string{far.URL(link.Addr())}})
	if err := fetched(t, blobOf(body), 0, near); err != nil {
		t.Fatal(err)
	}
	if c := link.Counts(); float64(c.Down) > 1.05*float64(len(body)) {
		t.Errorf("%d bytes moved for %d", c.Down, len(body))
	}
}

// sizeOf returns the length of the file in bytes; 0 when there is none.
func sizeOf(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// A node waits for a near site whose upstream is slow for longer than
// it waits for one that is silent.
func TestAnUpstreamIsSlow(t *testing.T) {
	t.Parallel()
	body := random(48 << 10)
	far := originOf(t, body)
	link := linkTo(t, badlink.To(far.Addr()), badlink.Faults{Rate: 4096})
	near, _ := start(t, t.TempDir(), Options{Upstreams: []string{far.URL(link.Addr())}})
	began := time.Now()
	if err := fetched(t, blobOf(body), 6*time.Second, near); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < 7*time.Second {
		t.Errorf("it took %v: this is not a slow link", took)
	}
	if n, _ := far.Requests(); n != 1 {
		t.Errorf("%d requests upstream: somebody gave up", n)
	}
}

// Of an upstream that has gone silent a node hears nothing, and goes on with the next source.
func TestAnUpstreamIsSilent(t *testing.T) {
	t.Parallel()
	body := random(1 << 20)
	far, other := originOf(t, body), originOf(t, body)
	link := linkTo(t, badlink.To(far.Addr()), badlink.Faults{SilentAt: 100_000})
	near, _ := start(t, t.TempDir(), Options{Upstreams: []string{far.URL(link.Addr())}, Grace: 1})
	if err := fetched(t, blobOf(body), 4*time.Second, near, other.URL(other.Addr())); err != nil {
		t.Error(err)
	}
}

// Three sites in a row: what the last one has comes through all of them, and stays in each.
func TestAChainOfThree(t *testing.T) {
	body := random(2 << 20)
	far := originOf(t, body)
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	last, stopLast := start(t, dirs[2], Options{Upstreams: []string{far.URL(far.Addr())}})
	middle, stopMiddle := start(t, dirs[1], Options{Upstreams: []string{last}})
	near, _ := start(t, dirs[0], Options{Upstreams: []string{middle}})
	if err := fetched(t, blobOf(body), 0, near); err != nil {
		t.Fatal(err)
	}
	if n, _ := far.Requests(); n != 1 {
		t.Errorf("%d requests at the origin", n)
	}
	for _, dir := range dirs {
		if n := blobs(t, dir); n != 1 {
			t.Errorf("%d blobs in a depot of the chain", n)
		}
	}
	stopLast()
	stopMiddle()
	if err := fetched(t, blobOf(body), 0, near); err != nil {
		t.Error(err)
	}
}

// ring starts a site in each of dirs that asks the next one, and the last one the
// first, and returns their URLs.
func ring(t *testing.T, dirs ...string) []string {
	t.Helper()
	return ringOf(t, dirs, func(i int, next string) string {
		url, _ := start(t, dirs[i], Options{Upstreams: []string{next}}, edges{mirror: mirror.Options{Stall: 5 * time.Second}})
		return url
	})
}

// ringOf is ring with sites that run starts, each with the URL of its next. Each of before is
// called with each connection between them.
func ringOf(t *testing.T, dirs []string, run func(i int, next string) (url string), before ...func()) []string {
	t.Helper()
	addrs, urls := make([]atomic.Value, len(dirs)), make([]string, len(dirs))
	for i, dir := range dirs {
		info, err := Init(dir)
		if err != nil {
			t.Fatal(err)
		}
		link := linkTo(t, func(ctx context.Context) (net.Conn, error) {
			for _, do := range before {
				do()
			}
			return new(net.Dialer).DialContext(ctx, "tcp", addrs[i].Load().(string))
		}, badlink.Faults{})
		urls[i] = info.URL(link.Addr())
	}
	for i := range dirs {
		u, err := fetch.ParseSiteURL(run(i, urls[(i+1)%len(dirs)]))
		if err != nil {
			t.Fatal(err)
		}
		addrs[i].Store(u.Addr.String())
	}
	return urls
}

// Sites that ask one another in a ring find what one of them has, and say soon of
// everything else that nobody has it.
func TestARing(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		dirs := make([]string, n)
		for i := range dirs {
			dirs[i] = t.TempDir()
		}
		urls := ring(t, dirs...)
		body := random(100_000)
		if _, err := store.PutBytes(t.Context(), openDepot(t, dirs[n-1]), body); err != nil {
			t.Fatal(err)
		}
		if err := fetched(t, blobOf(body), 0, urls[0]); err != nil {
			t.Errorf("ring of %d: %v", n, err)
		}
		lost := make(chan error)
		for _, u := range urls { // all at once: each asks the next
			go func() { lost <- fetched(t, blobOf([]byte("absent")), 0, u) }()
		}
		for range urls {
			if err := <-lost; errs.KindOf(err) != errs.NotFound {
				t.Errorf("ring of %d: %v", n, err)
			}
		}
	}
}

// Each site of a ring is asked for the same, and asks the next one, before
// any of these questions arrives.
func TestARingThatIsAskedAtOnce(t *testing.T) {
	const n = 3
	dirs := make([]string, n)
	for i := range dirs {
		dirs[i] = t.TempDir()
	}
	var begun atomic.Int32
	all := make(chan struct{})
	urls := ringOf(t, dirs, func(i int, next string) string {
		url, _ := start(t, dirs[i], Options{Upstreams: []string{next}}, edges{mirror: mirror.Options{Stall: time.Hour}})
		return url
	}, func() {
		if begun.Add(1) == n {
			close(all)
		}
		<-all
	})
	lost := make(chan error)
	for _, u := range urls {
		go func() { lost <- fetched(t, blobOf([]byte("absent")), 0, u) }()
	}
	for range urls {
		if err := <-lost; errs.KindOf(err) != errs.NotFound {
			t.Errorf("got %v", err)
		}
	}
}

// A site that asks for what is being fetched for another one waits for it.
func TestTwoSitesWaitForOneTransfer(t *testing.T) {
	t.Parallel()
	body := random(96 << 10)
	far := originOf(t, body)
	link := linkTo(t, badlink.To(far.Addr()), badlink.Faults{Rate: 24 << 10})
	middle, _ := start(t, t.TempDir(), Options{Upstreams: []string{far.URL(link.Addr())}})
	one, _ := start(t, t.TempDir(), Options{Upstreams: []string{middle}})
	two, _ := start(t, t.TempDir(), Options{Upstreams: []string{middle}})
	first := make(chan error, 1)
	go func() { first <- fetched(t, blobOf(body), 10*time.Second, one) }()
	for tick := time.NewTicker(time.Millisecond); link.Counts().Down < 32<<10; <-tick.C { // more than TLS says first
	}
	if err := fetched(t, blobOf(body), 10*time.Second, two); err != nil {
		t.Error(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, sent := far.Requests(); sent != int64(len(body)) {
		t.Errorf("%d bytes were sent for %d", sent, len(body))
	}
}

// A node waits through several sites for one that is far away.
func TestAChainIsSlow(t *testing.T) {
	t.Parallel()
	body := random(64 << 10)
	far := originOf(t, body)
	link := linkTo(t, badlink.To(far.Addr()), badlink.Faults{Rate: 4096})
	last, _ := start(t, t.TempDir(), Options{Upstreams: []string{far.URL(link.Addr())}}, edges{mirror: mirror.Options{Stall: 10 * time.Second}})
	middle, _ := start(t, t.TempDir(), Options{Upstreams: []string{last}}, edges{mirror: mirror.Options{Stall: 10 * time.Second}})
	near, _ := start(t, t.TempDir(), Options{Upstreams: []string{middle}}, edges{mirror: mirror.Options{Stall: 10 * time.Second}})
	if err := fetched(t, blobOf(body), 10*time.Second, near); err != nil {
		t.Error(err)
	}
	if n, _ := far.Requests(); n != 1 {
		t.Errorf("%d requests upstream: somebody gave up", n)
	}
}

// mirrored is a publisher whose metadata a far site serves, and a near site that hands it on.
type mirrored struct {
	p    *attack.Publisher
	far  *badlink.Origin
	dir  string
	root trust.Fingerprint
}

func newMirrored(t *testing.T) *mirrored {
	t.Helper()
	m := &mirrored{p: attack.New(time.Now().Add(-time.Hour)), far: originOf(t), dir: t.TempDir()}
	m.publish()
	var err error
	if m.root, err = trust.FingerprintOf(m.p.Files()["1.root.json"]); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *mirrored) publish() {
	for name, b := range m.p.Files() {
		m.far.AddTrust(name, b)
	}
}

func (m *mirrored) options() Options {
	return Options{Upstreams: []string{m.far.URL(m.far.Addr())}, Root: m.root}
}

// fresh has a site ask for metadata each time.
func fresh() edges { return edges{mirror: mirror.Options{Fresh: 1}} }

// refreshed returns the version of the timestamp that a new node gets from the site at url.
func (m *mirrored) refreshed(t *testing.T, url string) string {
	t.Helper()
	src := open(t, url)
	c, err := client.Open(t.TempDir(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Pin(t.Context(), src, m.root); err != nil {
		t.Fatal(err)
	}
	if f, err := c.Refresh(t.Context(), src, client.RefreshOptions{}); err != nil || !f.Known {
		t.Fatal(f, err)
	}
	b, err := src.Metadata(t.Context(), "timestamp.json", trust.MaxTimestamp)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Metadata passes a near site once it is verified, and is there when the
// upstream is not, also after a restart.
func TestMetadataPasses(t *testing.T) {
	m := newMirrored(t)
	near, stop := start(t, m.dir, m.options(), fresh())
	first := m.refreshed(t, near)
	m.p.Publish("targets")
	m.publish()
	second := m.refreshed(t, near)
	if second == first {
		t.Error("newer metadata does not pass")
	}
	m.far.AddTrust("timestamp.json", []byte(first)) // the far site was put back to an older state
	if got := m.refreshed(t, near); got != second {
		t.Error("an older timestamp passed")
	}
	m.far.Close()
	if got := m.refreshed(t, near); got != second {
		t.Error("what was verified is not there any more")
	}
	stop()
	o := m.options()
	o.Root = "" // it is pinned
	near, _ = start(t, m.dir, o, fresh())
	if got := m.refreshed(t, near); got != second {
		t.Error("after a restart, what was verified is not there any more")
	}
}

func TestMetadataDoesNotPass(t *testing.T) {
	m := newMirrored(t)
	t.Run("another root", func(t *testing.T) {
		o := m.options()
		o.Root = trust.Fingerprint("sha256:" + digest.Of([]byte("another")).Encoded())
		o.Listen = "127.0.0.1:0"
		if err := Run(t.Context(), newSite(t), o); errs.KindOf(err) != errs.Untrusted || errs.HintOf(err) == "" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no root", func(t *testing.T) {
		o := m.options()
		o.Root = ""
		near, _ := start(t, t.TempDir(), o, fresh())
		if b, err := open(t, near).Metadata(t.Context(), "timestamp.json", 1<<20); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %q, %v", b, err)
		}
	})
	t.Run("signed by another", func(t *testing.T) {
		near, _ := start(t, t.TempDir(), m.options(), fresh())
		want := m.refreshed(t, near)
		m.p.Signers["timestamp"] = []attack.Key{attack.NewKey()}
		m.p.PublishTimestamp()
		m.publish()
		if got := m.refreshed(t, near); got != want {
			t.Error("it passed")
		}
	})
}

// A root that this site does not follow is refused when it is named, also while nobody answers; one
// that cannot be compared yet lets no metadata pass.
func TestAnotherRootWhileUpstreamIsDead(t *testing.T) {
	m := newMirrored(t)
	near, stop := start(t, m.dir, m.options(), fresh())
	want := m.refreshed(t, near)
	stop()
	var up atomic.Bool
	m.far.Close()
	right, wrong := m.options(), m.options()
	wrong.Root = trust.Fingerprint("sha256:" + digest.Of([]byte("another")).Encoded())
	wrong.Listen = "127.0.0.1:0"
	if err := Run(t.Context(), m.dir, wrong); errs.KindOf(err) != errs.Untrusted || !strings.Contains(errs.HintOf(err), "without --root") {
		t.Errorf("got %v", err)
	}
	near, _ = start(t, m.dir, right, fresh())
	if got := m.refreshed(t, near); got != want {
		t.Error("what was verified is not there any more")
	}

	m = newMirrored(t)
	link := linkTo(t, func(ctx context.Context) (net.Conn, error) {
		if !up.Load() {
			return nil, errors.New("dead")
		}
		return badlink.To(m.far.Addr())(ctx)
	}, badlink.Faults{})
	log := &lines{}
	wrong.Upstreams, wrong.Log = []string{m.far.URL(link.Addr())}, slog.New(slog.NewTextHandler(log, nil))
	near, _ = start(t, m.dir, wrong, fresh())
	src, refused := open(t, near), 0
	for range 30 { // each waits a second at most for the look at upstream
		if b, err := src.Metadata(t.Context(), "timestamp.json", 1<<20); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %q, %v", b, err)
		}
		if refused = log.count("level=ERROR", "another root"); refused > 0 {
			break
		}
		up.Store(true)
	}
	if refused != 1 {
		t.Errorf("%d errors in the log:\n%s", refused, log.text())
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// count returns how many lines have all the words.
func (l *lines) count(words ...string) (n int) {
	for line := range strings.Lines(l.text()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

// A site that is offline asks no upstream site, for nodes as little as
// for tools, and says that it is.
func TestOffline(t *testing.T) {
	held, lost := random(1000), []byte("not held")
	m := newMirrored(t)
	m.far.Add(held)
	m.far.Add(lost)
	near, stop := start(t, m.dir, m.options(), fresh())
	if err := fetched(t, blobOf(held), 0, near); err != nil {
		t.Fatal(err)
	}
	old := m.refreshed(t, near)
	m.p.Publish("targets")
	m.publish()
	if err := setOffline(t, m.dir, true); err != nil {
		t.Fatal(err)
	}
	asked, _ := m.far.Requests()
	offline := func(near string) {
		t.Helper()
		if err := fetched(t, blobOf(lost), 0, near); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("a blob that is not here: %v", err)
		}
		if health := healthOf(t, near); health != "{\"status\":\"ok\",\"offline\":true}\n" {
			t.Errorf("health %q", health)
		}
		if n, _ := m.far.Requests(); n != asked {
			t.Errorf("%d requests went upstream", n-asked)
		}
	}
	offline(near)
	if err := fetched(t, blobOf(held), 0, near); err != nil {
		t.Error(err)
	}
	if got := m.refreshed(t, near); got != old {
		t.Error("newer metadata came")
	}
	if err := setOffline(t, m.dir, false); err != nil {
		t.Fatal(err)
	}
	if got := m.refreshed(t, near); got == old {
		t.Error("newer metadata does not come")
	}
	if err := fetched(t, blobOf(lost), 0, near); err != nil {
		t.Error(err)
	}
	if health := healthOf(t, near); health != "{\"status\":\"ok\"}\n" {
		t.Errorf("health %q", health)
	}
	stop()

	asked, _ = m.far.Requests()
	o := m.options()
	o.Cache.Offline = true
	near, _ = start(t, t.TempDir(), o, fresh()) // nor is its root asked for
	offline(near)
}

func healthOf(t *testing.T, url string) string {
	t.Helper()
	b, err := open(t, url).Ask(t.Context(), "/v1/health", 100, func() {})
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// A site that signs its own metadata hands on nobody else's.
func TestOwnMetadataComesFirst(t *testing.T) {
	m := newMirrored(t)
	if _, err := Init(m.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home.Trust.In(m.dir), "timestamp.json"), []byte("own"), 0o600); err != nil {
		t.Fatal(err)
	}
	near, _ := start(t, m.dir, m.options(), fresh())
	if b, err := open(t, near).Metadata(t.Context(), "timestamp.json", 1<<20); err != nil || string(b) != "own" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestUpstreamMistakes(t *testing.T) {
	far := originOf(t)
	for name, urls := range map[string][]string{
		"no pin": {"https://127.0.0.1:1"}, "twice": {far.URL(far.Addr()), far.URL(far.Addr())},
	} {
		err := Run(t.Context(), newSite(t), Options{Listen: "127.0.0.1:0", Upstreams: urls})
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
