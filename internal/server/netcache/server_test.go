package netcache_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/netcache/server"
	"overland/internal/store"
)

func TestBlobs(t *testing.T) {
	base, _ := serve(t, lab)
	data := bytes.Repeat([]byte("0123456789"), 1000)
	name := nameOf(data)
	cache := base + "/shacache"
	if a := do(t, nil, "GET", cache+"/"+name, nil); a.status != 404 {
		t.Errorf("a blob that is not there: %d", a.status)
	}
	for _, path := range []string{"/shacache", "/shacache/", "/shacache"} { // the last one: twice is fine
		a := do(t, nil, "POST", base+path, bytes.NewReader(data), "Content-Type", "application/octet-stream")
		if a.status != 201 || a.body != name {
			t.Errorf("POST %s: %d %q", path, a.status, a.body)
		}
	}
	a := do(t, nil, "GET", cache+"/"+name, nil, "Accept-Encoding", "identity")
	want := map[string]string{
		"Content-Type": "application/octet-stream", "Content-Length": "10000", "Accept-Ranges": "bytes",
		"Cache-Control": "public,max-age=31556926", "Connection": "close",
	}
	for k, v := range want {
		if got := a.header.Get(k); k != "Connection" && got != v {
			t.Errorf("%s: %q, want %q", k, got, v)
		}
	}
	if a.status != 200 || a.body != string(data) {
		t.Errorf("GET: %d, %d bytes", a.status, len(a.body))
	}
	a = do(t, nil, "GET", cache+"/"+name, nil, "Range", "bytes=9990-")
	if a.status != 206 || a.body != "0123456789" || a.header.Get("Content-Range") != "bytes 9990-9999/10000" {
		t.Errorf("range: %d %q %q", a.status, a.body, a.header.Get("Content-Range"))
	}
	if a = do(t, nil, "PUT", cache+"/"+name, bytes.NewReader(data)); a.status != 201 || a.body != name {
		t.Errorf("PUT: %d %q", a.status, a.body)
	}
	other := nameOf([]byte("other"))
	if a = do(t, nil, "PUT", cache+"/"+other, bytes.NewReader(data)); a.status != 400 {
		t.Errorf("PUT under another name: %d", a.status)
	}
	for _, path := range []string{"/" + other, "/" + strings.ToUpper(name), "", "/", "/../../etc/passwd", "/" + name + "/x"} {
		if a = do(t, nil, "GET", cache+path, nil); a.status != 404 {
			t.Errorf("GET %q: %d", path, a.status)
		}
	}
	for _, method := range []string{"DELETE", "POST"} {
		if a = do(t, nil, method, cache+"/"+name, nil); a.status != 405 {
			t.Errorf("%s: %d", method, a.status)
		}
	}
	if a = do(t, nil, "POST", cache, strings.NewReader("")); a.status != 201 || a.body != nameOf(nil) {
		t.Errorf("an empty blob: %d %q", a.status, a.body)
	}
	if a = do(t, nil, "GET", base+"/elsewhere", nil); a.status != 404 {
		t.Errorf("elsewhere: %d", a.status)
	}
}

func TestEntries(t *testing.T) {
	base, s := serve(t, lab)
	dir := base + "/shadir"
	if a := do(t, nil, "GET", dir+"/k", nil); a.status != 404 {
		t.Errorf("a key that is not there: %d", a.status)
	}
	put := func(key, note string) {
		t.Helper()
		a := do(t, nil, "PUT", dir+"/"+key, bytes.NewReader(body(metadata(note), "")), "Content-Type", "application/json")
		if a.status != 201 || a.body != "" {
			t.Errorf("PUT %s: %d %q", key, a.status, a.body)
		}
	}
	get := func(key string) (notes []string) {
		t.Helper()
		a := do(t, nil, "GET", dir+"/"+key, nil)
		if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("GET %s: %d", key, a.status)
		}
		var list [][]string
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			var m map[string]string
			if err := json.Unmarshal([]byte(e[0]), &m); err != nil || len(e) != 2 || e[0] != metadata(m["note"]) {
				t.Errorf("element %q, %v", e, err)
			}
			notes = append(notes, m["note"])
		}
		return notes
	}
	for _, note := range []string{"1", "2", "2", "3", "1"} {
		put("k", note)
	}
	if diff := cmp.Diff([]string{"1", "3", "2"}, get("k")); diff != "" {
		t.Errorf("newest first, each once: %s", diff)
	}
	odd := []string{"pypi:a=1", "a/../k", "../../../../etc/passwd", "..", ".", "a+b~c,d@e", "%2e%2e/x", "a//b", "/", "k/", strings.Repeat("x", 1024), "%C3%A9"}
	for _, key := range odd {
		put(key, key)
	}
	for _, key := range odd {
		if diff := cmp.Diff([]string{key}, get(key)); diff != "" {
			t.Errorf("key %q: %s", key, diff)
		}
	}
	for _, key := range []string{strings.Repeat("x", 1025), "%00", "a%0Ab", "%ff"} {
		if a := do(t, nil, "PUT", dir+"/"+key, bytes.NewReader(body(metadata("x"), ""))); a.status != 400 {
			t.Errorf("PUT %.20q: %d", key, a.status)
		}
	}
	for _, path := range []string{"", "/"} {
		if a := do(t, nil, "GET", dir+path, nil); a.status != 404 {
			t.Errorf("GET %q: %d", path, a.status)
		}
	}
	err := filepath.WalkDir(s.Dir(), func(path string, d os.DirEntry, err error) error {
		if strings.Contains(path, "passwd") || strings.Contains(path, "pypi") {
			t.Errorf("a key became a path: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Metadata is returned code point by code point, whatever escapes the body used.
func TestMetadataIsKept(t *testing.T) {
	base, _ := serve(t, lab)
	meta := `{ "sha512":"` + nameOf(nil) + `",  "u":"é\u00e9\ud83d\ude00 </a>&\u2028` + "\u2028" + `", "n":1.50, "z":null}`
	sent := strings.Replace(string(body(meta, "AAAA")), "é", `\u00e9`, 1)
	if a := do(t, nil, "PUT", base+"/shadir/k", strings.NewReader(sent)); a.status != 201 {
		t.Fatal(a.status, a.body)
	}
	a := do(t, nil, "GET", base+"/shadir/k", nil)
	var list [][2]string
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][2]string{{meta, "AAAA"}}, list); diff != "" {
		t.Error(diff)
	}
}

func TestPoisonIsRefused(t *testing.T) {
	base, _ := serve(t, lab)
	good := metadata("x")
	quoted, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	q := string(quoted)
	bodies := map[string]string{
		"nothing":         "",
		"object":          `{"a":1}`,
		"three elements":  `[` + q + `,"","x"]`,
		"one element":     `[` + q + `]`,
		"null":            `[` + q + `,null]`,
		"object metadata": `[` + good + `,""]`,
		"trailing":        `[` + q + `,""] x`,
		"bad padding":     `[` + q + `,"AAA"]`,
		"spare bits":      `[` + q + `,"AAB="]`,
		"two lines":       `[` + q + `,"AAAA\nAAAA"]`,
		"url base64":      `[` + q + `,"-_-_"]`,
		"not json inside": `["x",""]`,
		"list inside":     `["[]",""]`,
		"no sha512":       `["{}",""]`,
		"short sha512":    `["{\"sha512\":\"ab\"}",""]`,
		"upper sha512":    `["{\"sha512\":\"` + strings.Repeat("AB", 64) + `\"}",""]`,
		"sha512 twice":    `["{\"sha512\":\"` + nameOf(nil) + `\",\"sha512\":\"` + nameOf(nil) + `\"}",""]`,
		"deep":            string(body(`{"sha512":"`+nameOf(nil)+`","x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`}`, "")),
		"long number":     string(body(`{"sha512":"`+nameOf(nil)+`","x":`+strings.Repeat("9", 5000)+`}`, "")),
		"lone surrogate":  strings.Replace(string(body(`{"sha512":"`+nameOf(nil)+`","x":"!"}`, "")), "!", `\ud800`, 1),
		"inner surrogate": strings.Replace(string(body(`{"sha512":"`+nameOf(nil)+`","x":"!"}`, "")), "!", `\\udc00`, 1),
		"not utf-8":       strings.Replace(string(body(metadata("!"), "")), "!", "\xff", 1),
		"too long":        string(body(metadata(strings.Repeat("x", netcache.EntryLimit)), "")),
	}
	for name, b := range bodies {
		if a := do(t, nil, "PUT", base+"/shadir/k", strings.NewReader(b)); a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := do(t, nil, "GET", base+"/shadir/k", nil); a.status != 404 {
		t.Errorf("something was stored: %d %s", a.status, a.body)
	}
}

// The server keeps entries from keys that are not theirs.
func TestBindingOnPut(t *testing.T) {
	url := "http://example.org/a.tar.gz"
	entry := func(name, value string) string {
		b, err := json.Marshal(map[string]string{"sha512": nameOf(nil), name: value})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	tests := []struct {
		key, meta       string
		strict, lenient int
	}{
		{netcache.URLKey(url), entry("url", url), 201, 201},
		{netcache.URLKey(url), entry("url", url+"x"), 400, 201},
		{"slapos-buildout-" + netcache.MD5(url), entry("urlmd5", netcache.MD5(url)), 201, 201},
		{"slapos-buildout-" + netcache.MD5(url), entry("urlmd5", netcache.MD5("x")), 400, 201},
		{netcache.MD5(url), entry("software_url", url), 201, 201},
		{netcache.MD5(url), entry("software_url", "x"), 400, 201},
		{"pypi:a.b=1.2", entry("basename", "A_b-1.2.tar.gz"), 201, 201},
		{"pypi:a.b=1.2", entry("basename", "a_b-1.25.tar.gz"), 400, 201},
		{"packer-images", entry("x", "y"), 201, 201},
		{"packer-images", `{"sha512":"` + nameOf(nil) + `","x-overland":{"key":"packer-images"}}`, 201, 201},
		// Old clients read the URL only.
		{netcache.URLKey(url), `{"sha512":"` + nameOf(nil) + `","url":"x","x-overland":{"key":"` + netcache.URLKey(url) + `"}}`, 400, 400},
		{"packer-images", `{"sha512":"` + nameOf(nil) + `","x-overland":{"key":"other"}}`, 400, 400}, // nobody is lenient about that
	}
	for _, lenient := range []bool{false, true} {
		base, _ := serve(t, options{Policy: server.Policy{Open: true, Lenient: lenient}})
		for _, test := range tests {
			want := test.strict
			if lenient {
				want = test.lenient
			}
			if a := do(t, nil, "PUT", base+"/shadir/"+test.key, bytes.NewReader(body(test.meta, ""))); a.status != want {
				t.Errorf("lenient %v: %s %s: %d, want %d", lenient, test.key, test.meta, a.status, want)
			}
		}
	}
}

func TestMountsAnywhere(t *testing.T) {
	for _, m := range []struct{ cache, dir, blobs, keys string }{
		{"/", "", "/", ""},
		{"", "/", "", "/"},
		{"/shacache/cache", "/shacache/dir", "/shacache/cache/", "/shacache/dir/"},
		{"/a/", "/b/", "/a", "/b/"},
		{"/", "/dir", "/", "/dir/"},
		{"/cache", "/", "/cache", "/"},
	} {
		srv := httptest.NewServer(start(shelf(t), lab).Mount(m.cache, m.dir, nil))
		if m.blobs != "" {
			if a := do(t, nil, "POST", srv.URL+m.blobs, strings.NewReader("x")); a.status != 201 || a.body != nameOf([]byte("x")) {
				t.Errorf("%v: POST: %d %s", m, a.status, a.body)
			}
		}
		if m.keys != "" {
			if a := do(t, nil, "PUT", srv.URL+m.keys+"k", bytes.NewReader(body(metadata("x"), ""))); a.status != 201 {
				t.Errorf("%v: PUT: %d %s", m, a.status, a.body)
			}
		}
		srv.Close()
	}
}

// Writes need a known client certificate; each account has its keys; the audit log has it all.
func TestAccounts(t *testing.T) {
	alice, bob, eve := certificate(t, "alice"), certificate(t, "bob"), certificate(t, "eve")
	s := shelf(t)
	srv := httptest.NewUnstartedServer(start(s, options{Policy: server.Policy{Accounts: []server.Account{
		{Name: "alice", Identity: server.Identity(alice.Leaf)},
		{Name: "bob", Identity: server.Identity(bob.Leaf), Prefixes: []string{"pypi:", "file-"}},
	}}}).Mount("/shacache", "/shadir", nil))
	srv.TLS = server.ClientAuth(&tls.Config{})
	srv.StartTLS()
	defer srv.Close()
	client := func(c ...tls.Certificate) *http.Client {
		tr := srv.Client().Transport.(*http.Transport).Clone()
		tr.TLSClientConfig.Certificates = c
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr}
	}
	large := strings.Repeat("x", 4<<20)
	for _, test := range []struct {
		who    *http.Client
		method string
		path   string
		body   string
		want   int
	}{
		{client(), "GET", "/shadir/k", "", 404},
		{client(), "POST", "/shacache", large, 403},
		{client(), "PUT", "/shadir/k", string(body(metadata("x"), "")), 403},
		{client(eve), "POST", "/shacache", large, 403},
		{client(alice), "POST", "/shacache", large, 201},
		{client(alice), "PUT", "/shadir/k", string(body(metadata("x"), "")), 201},
		{client(bob), "PUT", "/shadir/k", string(body(metadata("y"), "")), 403},
		{client(bob), "PUT", "/shadir/pypi:a=1", string(body(metadata("y"), "")), 201},
		{client(bob), "PUT", "/shadir/pypi:a=1", "{}", 400},
		{client(), "GET", "/shadir/k", "", 200},
		{client(bob), "POST", "/shadir/update", "", 200}, // drops what has no blob, of his own keys
		{client(), "GET", "/shadir/k", "", 200},
		{client(), "GET", "/shadir/pypi:a=1", "", 404},
	} {
		if a := do(t, test.who, test.method, srv.URL+test.path, strings.NewReader(test.body)); a.status != test.want {
			t.Errorf("%s %s: %d, want %d: %s", test.method, test.path, a.status, test.want, a.body)
		}
	}
	log, err := os.ReadFile(filepath.Join(s.Dir(), "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(log)) {
		var e struct{ Account, Action, Key, Result string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Account+" "+e.Action+" "+e.Key+" "+e.Result)
	}
	want := []string{
		"alice blob  stored", "alice entry k stored", `bob entry k account bob may not put key "k"`,
		"bob entry pypi:a=1 stored", "bob entry pypi:a=1 the entry is not a list of two strings",
		"bob update  stored",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSignersAndRevocation(t *testing.T) {
	good, goodKey := rsaKey(t)
	bad, badKey := rsaKey(t)
	signed := func(note string, old bool) []byte {
		key := good
		if old {
			key = bad
		}
		sig, err := netcache.Sign(key, metadata(note))
		if err != nil {
			t.Fatal(err)
		}
		return body(metadata(note), sig)
	}
	s := shelf(t)
	open := func(p server.Policy) (put func([]byte) int, get func() int) {
		p.Open = true
		srv := httptest.NewServer(start(s, options{Policy: p}).Mount("", "/d", nil))
		t.Cleanup(srv.Close)
		return func(b []byte) int { return do(t, nil, "PUT", srv.URL+"/d/k", bytes.NewReader(b)).status }, func() int {
			return strings.Count(do(t, nil, "GET", srv.URL+"/d/k", nil).body, "sha512")
		}
	}
	put, get := open(server.Policy{Signers: []netcache.Key{goodKey, badKey}, RequireKnownSigner: true})
	if a, b, c := put(signed("1", false)), put(signed("2", true)), put(body(metadata("3"), "")); a != 201 || b != 201 || c != 403 {
		t.Errorf("known signers only: %d %d %d", a, b, c)
	}
	if n := get(); n != 2 {
		t.Errorf("%d entries", n)
	}
	for name, p := range map[string]server.Policy{"key": {Revoked: []netcache.Key{badKey}}, "id": {Signers: []netcache.Key{goodKey, badKey}, RevokedIDs: []string{badKey.ID}}} {
		put, get = open(p)
		if n := get(); n != 1 {
			t.Errorf("%s: %d entries after the revocation", name, n)
		}
		if a, b := put(signed("4", true)), put(signed("1", false)); a != 403 || b != 201 {
			t.Errorf("%s: after the revocation: %d %d", name, a, b)
		}
	}
}

// A key that made statements can be revoked too, also when only its id is known.
func TestARevokedStatement(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := netcache.NewKey(public, "")
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{"sha512": nameOf(nil)}
	st := netcache.Statement{Key: "k", SHA256: digest.Of(nil), Created: time.Now(), Expires: time.Now().Add(time.Hour), Seq: 1}
	if err := netcache.AddStatement(fields, st, private); err != nil {
		t.Fatal(err)
	}
	s := shelf(t)
	if err := s.Add(t.Context(), server.Record{Key: "k", Metadata: netcache.EncodeMetadata(fields)}); err != nil { // nobody knew the key then
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		p    server.Policy
		put  int
		list string
	}{
		"nobody is":   {server.Policy{}, 201, netcache.EncodeMetadata(fields)},
		"by its key":  {server.Policy{Revoked: []netcache.Key{key}}, 403, ""},
		"by its id":   {server.Policy{RevokedIDs: []string{key.ID}}, 403, ""},
		"another one": {server.Policy{RevokedIDs: []string{strings.Repeat("0", 64)}}, 201, netcache.EncodeMetadata(fields)},
	} {
		test.p.Open = true
		srv := httptest.NewServer(start(s, options{Policy: test.p}).Mount("", "/d", nil))
		if a := do(t, nil, "PUT", srv.URL+"/d/k", bytes.NewReader(body(netcache.EncodeMetadata(fields), ""))); a.status != test.put {
			t.Errorf("%s: put: %d %s", name, a.status, a.body)
		}
		list, _, err := netcache.ParseList(strings.NewReader(do(t, nil, "GET", srv.URL+"/d/k", nil).body))
		if err != nil || (len(list) == 1) != (test.list != "") {
			t.Errorf("%s: %v, %v", name, list, err)
		}
		srv.Close()
	}
}

// What is acknowledged is on the disk: the entry, and the audit log's line about it.
func TestAcknowledgedIsDurable(t *testing.T) {
	var mu sync.Mutex
	dirty := map[string]bool{}
	s, err := openIn(t.TempDir(), fsx.FS{Before: func(op fsx.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch op.Name {
		case "write":
			dirty[op.Path] = true
		case "sync":
			delete(dirty, op.Path)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(start(s, lab).Mount("/shacache", "/shadir", nil))
	defer srv.Close()
	for _, note := range []string{"first", "appended"} {
		if a := do(t, nil, "PUT", srv.URL+"/shadir/k", bytes.NewReader(body(metadata(note), ""))); a.status != 201 {
			t.Fatal(a.status)
		}
		mu.Lock()
		for path := range dirty {
			t.Errorf("%s: %s is not on the disk", note, path)
		}
		mu.Unlock()
	}
}

// An acknowledged blob stays, though an eviction began to look for who needs it before.
func TestAnUploadIsNotEvicted(t *testing.T) {
	base, s := serve(t, lab)
	d, err := store.PutBytes(t.Context(), depotOf(t, s), []byte("egg")) // a node fetched it
	if err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	if a := do(t, nil, "POST", base+"/shacache", strings.NewReader("egg")); a.status != 201 {
		t.Fatal(a.status, a.body)
	}
	if gone, err := depotOf(t, s).Retire(d, asked); gone || err != nil {
		t.Errorf("it is lost: %v", err)
	}
}

// Who sends nothing is not waited for, whether he may write or not.
func TestSilentBodies(t *testing.T) {
	const short = 100 * time.Millisecond
	for what, o := range map[string]options{"writer": {Policy: lab.Policy, Stall: short}, "stranger": {Stall: short}} {
		base, s := serve(t, o)
		for _, request := range []string{"POST /shacache", "PUT /shadir/k", "PUT /shacache/" + nameOf([]byte("x"))} {
			got := raw(t, base, request+head+"Content-Length: 10\r\n\r\nhalf")
			if !strings.HasPrefix(got, "HTTP/1.1 4") {
				t.Errorf("%s: %s: %.60q", what, request, got)
			}
		}
		clean(t, s)
	}
}

// Sixteen clients put entries under one key at the same time while others read: nothing is lost,
// and no reader sees a list that is not whole.
func TestParallelPuts(t *testing.T) {
	base, _ := serve(t, lab)
	const clients, each = 16, 5
	url := base + "/shadir/k"
	if a := do(t, nil, "PUT", url, bytes.NewReader(body(metadata("first"), ""))); a.status != 201 {
		t.Fatal(a.status)
	}
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for last := 0; ; {
				list, bad, err := netcache.ParseList(strings.NewReader(do(t, nil, "GET", url, nil).body))
				if err != nil || bad != 0 || len(list) < last {
					t.Errorf("%d entries after %d, %d bad, %v", len(list), last, bad, err)
				}
				last = len(list)
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for c := range clients {
		writers.Go(func() {
			for i := range each {
				if a := do(t, nil, "PUT", url, bytes.NewReader(body(metadata(strconv.Itoa(c*each+i)), ""))); a.status != 201 {
					t.Errorf("PUT: %d %s", a.status, a.body)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if list, _, err := netcache.ParseList(strings.NewReader(do(t, nil, "GET", url, nil).body)); err != nil || len(list) != clients*each+1 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}
