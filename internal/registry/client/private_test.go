package client

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"overland/internal/printer"
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

// A registry that says again what it was sent, and more, ends on the terminal of whoever pushes, or in a log.
func TestWhatARegistrySaysIsForPeople(t *testing.T) {
	p := &push{ctx: t.Context(), host: "10.0.0.1:5000"}
	tag, err := name.NewTag("10.0.0.1:5000/tea:v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusConflict} {
		said := &transport.Error{StatusCode: code, Errors: []transport.Diagnostic{{
			Code: "DENIED\x1b[31m", Message: "you sent Basic YW5uOnNlY3JldA== \x1b]0;x\a\u202e" + strings.Repeat("a", 1<<20), Detail: "Basic YW5uOnNlY3JldA==",
		}}}
		err := p.explain(tag, fmt.Errorf("POST: %w", said))
		if text := printer.Block(err.Error()); strings.Contains(text, "YW5u") || strings.ContainsAny(text, "\x1b\a\u202e") || len(text) > 500 {
			t.Errorf("%.600q", text)
		}
	}
}
