package httpx_test

import (
	"context"
	"net"
	"slices"
	"syscall"
	"testing"

	"overland/internal/httpx"
)

// A machine without /etc/hosts and with a dead name server still knows itself.
func TestLocalhostIsThisMachine(t *testing.T) {
	var asked []string
	dial := httpx.Localhost(func(_ context.Context, _, address string) (net.Conn, error) {
		asked = append(asked, address)
		if address == "[::1]:80" {
			conn, _ := net.Pipe()
			return conn, nil
		}
		return nil, syscall.ECONNREFUSED
	})
	for address, want := range map[string][]string{
		"localhost:80":        {"127.0.0.1:80", "[::1]:80"},
		"LocalHost.:80":       {"127.0.0.1:80", "[::1]:80"},
		"tea.localhost:80":    {"127.0.0.1:80", "[::1]:80"},
		"localhost:81":        {"127.0.0.1:81", "[::1]:81"},
		"localhost.example:1": {"localhost.example:1"},
		"notlocalhost:1":      {"notlocalhost:1"},
		"localhost":           {"localhost"},
	} {
		asked = nil
		conn, err := dial(t.Context(), "tcp", address)
		if (err == nil) != (want[len(want)-1] == "[::1]:80") || !slices.Equal(asked, want) {
			t.Errorf("%s: dialled %q, want %q: %v", address, asked, want, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
}
