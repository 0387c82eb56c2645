package record_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"overland/internal/lockfile"
	"overland/internal/record"
)

// A client gets each refusal in the form that it prints: text, or
// JSON for npm. Nothing may keep it.
func TestRefusals(t *testing.T) {
	lock := lockfile.New([]lockfile.Entry{
		{Protocol: "files", Key: "gone", Status: http.StatusGone, Mutable: true},
		{Protocol: "files", Key: "denied", Status: http.StatusForbidden, Mutable: true},
	})
	h := record.Handler(record.NewReplayer(newStore(t), lock), files{"http://127.0.0.1:1"})
	for _, c := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/files/gone", http.StatusGone, "gone: gone"},
		{"GET", "/files/denied", http.StatusForbidden, "forbidden: denied"},
		{"GET", "/other/x", http.StatusNotFound, "no protocol is served here: /other/x"},
		{"PUT", "/files/x", http.StatusMethodNotAllowed, "only GET, HEAD and POST are served"},
	} {
		for accept, want := range map[string]string{
			"*/*":              "overland: " + c.text + "\n",
			"application/json": `{"error":"overland: ` + c.text + `"}` + "\n",
		} {
			r := httptest.NewRequest(c.method, c.path, nil)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			body, _ := io.ReadAll(w.Body)
			if w.Code != c.status || string(body) != want || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d %q, %v; want %d %q", c.method, c.path, w.Code, body, w.Header(), c.status, want)
			}
		}
	}
}
