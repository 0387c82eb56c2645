package plain_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"overland/internal/ecosystem/plain"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// shop is a protocol that serves tea, and nothing else.
type shop struct {
	plain.Protocol
	at string
}

func (shop) Name() string { return "shop" }

func (s shop) Item(r *http.Request) (record.Item, error) {
	if r.URL.Path != "/tea" || r.Method != http.MethodGet {
		return record.Item{}, errs.Errorf(errs.Invalid, "no tea")
	}
	return record.Item{Protocol: "shop", Key: "tea", Upstream: s.at + "/shop/tea"}, nil
}

func (s shop) Serve(_ record.Item, _ lockfile.Entry, _ io.Reader, base string) (io.Reader, string, error) {
	return strings.NewReader("tea of " + base), "text/plain", nil
}

// A protocol answers for what it serves below an address; the rest stays plain URLs.
func TestOwn(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	defer origin.Close()
	l := newLab(t, origin)
	k := record.NewRecorder(l.store, record.Options{Upstream: l.up})
	defer k.Close()
	ca, err := plain.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	p := plain.NewProxy(k, plain.Protocol{}, ca, http.NotFoundHandler())
	defer p.Close()
	p.Own(origin.URL+"/shop/", shop{at: origin.URL})
	srv := httptest.NewServer(p)
	defer srv.Close()
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(at)}
	defer tr.CloseIdleConnections()
	for path, want := range map[string]string{
		"/shop/tea": "tea of " + origin.URL + "/shop", "/shop/milk": "/shop/milk", "/shop": "/shop", "/shopping/tea": "/shopping/tea", "/tea": "/tea",
	} {
		res, err := (&http.Client{Transport: tr}).Get(origin.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if e := k.Lock().Entries; len(e) != 5 || e[0].Protocol != "shop" || e[1].Protocol != plain.Name {
		t.Errorf("%+v", e)
	}
}
