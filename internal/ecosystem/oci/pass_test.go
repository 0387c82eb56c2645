package oci

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/origin"
)

// A registry that is hostile, or broken, gives passes that fill the memory, or whose text is more than one header, or says that
// they are given where no TLS is spoken.
func TestHostilePasses(t *testing.T) {
	var s *httptest.Server
	answer, realm := "", ""
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			w.Header().Set("Www-Authenticate", `Bearer realm="`+realm+`",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	client := &origin.Client{Dir: t.TempDir(), Roots: map[string]*x509.CertPool{strings.TrimPrefix(s.URL, "https://"): roots}, Tries: 1}
	t.Cleanup(client.CloseIdleConnections)
	for _, c := range []struct {
		realm, answer, want string
		kind                errs.Kind
	}{
		{s.URL + "/token", `{"token":"abc"}`, "abc", errs.Internal},
		{s.URL + "/token", `{"token":"` + strings.Repeat("a", longestPass) + `"}`, strings.Repeat("a", longestPass), errs.Internal},
		{s.URL + "/token", `{"token":"` + strings.Repeat("a", longestPass+1) + `"}`, "", errs.Unavailable},
		{s.URL + "/token", `{"token":"a\r\nX-B: c"}`, "", errs.Unavailable},
		{s.URL + "/token", `{}`, "", errs.Unavailable},
		{s.URL + "/token", strings.Repeat("[", 1<<20), "", errs.Unavailable},
		{"http://127.0.0.1:1/token", "", "", errs.Untrusted},
		{"file:///etc/passwd", "", "", errs.Untrusted},
		{"//127.0.0.1:1/token", "", "", errs.Untrusted},
		{"token", "", "", errs.Untrusted},
	} {
		p := passes{client: client}
		answer, realm = c.answer, c.realm
		got, err := p.get(t.Context(), "hub.example", s.URL, "app")
		if c.want != "" {
			c.want = "Bearer " + c.want
		}
		if got != c.want || (err == nil) != (c.kind == errs.Internal) || err != nil && errs.KindOf(err) != c.kind {
			t.Errorf("%s, %.40s: a pass of %d bytes, %v", c.realm, c.answer, len(got), err)
		}
	}
}
