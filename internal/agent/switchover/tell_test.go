package switchover

import (
	"strings"
	"testing"
)

// An honest service that ran as root until now must learn which key gives back what it lacks.
func TestAFailedServiceIsToldWhatItLacks(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"listen tcp 0.0.0.0:80: bind: permission denied", "net_bind_service"},
		{"mkdir /var/lib/tea: read-only file system", "writable"},
		{"mkdir: can't create directory '/srv/x': Read-only file system", "Volumes"},
		{"open /dev/ttyUSB0: permission denied", "devices"},
		{"chown /data: operation not permitted", "user"},
	} {
		if got := remedy([]string{"started", c.line}); !strings.Contains(got, c.want) || !strings.Contains(got, "history") {
			t.Errorf("%s: got %q, want a hint with %s and history", c.line, got, c.want)
		}
	}
	old := []string{"mkdir /x: read-only file system", "up", "a", "panic"}
	for _, log := range [][]string{nil, {"panic: nil map"}, old} {
		if got := remedy(log); strings.Contains(got, "overland.yaml") {
			t.Errorf("%q: got %q, which guesses", log, got)
		}
	}
}
