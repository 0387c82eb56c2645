package client

import (
	"net/http"
	"strings"
	"testing"
)

// A login is not told over plain HTTP, whoever made TLS fail.
func TestNoPlainHTTPButWithThisMachine(t *testing.T) {
	for _, host := range []string{"10.0.0.1:5000", "192.168.1.1", "registry.example", "127.0.0.1.example"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := private{&http.Transport{}}.RoundTrip(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
			t.Errorf("%s: %v", host, err)
		}
	}
}
