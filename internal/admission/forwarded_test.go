package admission_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"overland/internal/admission"
)

// Only a trusted proxy says who the client is, and only the last that it did not trust itself.
func TestForwarded(t *testing.T) {
	for _, c := range []struct {
		remote, header, want string
	}{
		{"10.0.0.5:1", "203.0.113.7", "203.0.113.7"},
		{"10.0.0.5:1", "198.51.100.1, 203.0.113.7, 10.0.0.5", "203.0.113.7"},
		{"10.0.0.5:1", "", ""},
		{"10.0.0.5:1", "198.51.100.1, unknown", ""},
		{"10.0.0.6:1", "203.0.113.7", ""},
		{"[::ffff:10.0.0.5]:1", "2001:db8::1", "2001:db8::1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-For", c.header)
		var got admission.Client
		remote := ""
		admission.Forwarded(admission.Prefixes("10.0.0.5/32"), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, remote = admission.For(r.Context()), r.RemoteAddr
		})).ServeHTTP(httptest.NewRecorder(), r)
		want, address := admission.Client{}, c.remote
		if c.want != "" {
			ip := netip.MustParseAddr(c.want)
			want, address = admission.ClientAt(ip), netip.AddrPortFrom(ip, 0).String()
		}
		if got != want || remote != address {
			t.Errorf("%s, %q: %v at %s", c.remote, c.header, got, remote)
		}
	}
}
