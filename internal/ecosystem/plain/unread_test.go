package plain_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/ecosystem/plain"
	"overland/internal/record"
)

// What cannot be read or recorded is refused, and named: once for each request, without secrets. Long
// addresses and bodies pass up to the limits of a lock.
func TestWhatCannotBeReadIsNamed(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d+%d ", len(r.URL.Path), n)
	})
	safe, open := httptest.NewTLSServer(h), httptest.NewServer(h)
	defer safe.Close()
	defer open.Close()
	l := newLab(t, safe)
	body := filepath.Join(l.dir, "body")
	if err := os.WriteFile(body, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 4000)
	r := record.NewRecorder(l.store, record.Options{Upstream: l.up})
	defer r.Close()
	script := "for O in " + safe.URL + " " + open.URL + "; do curl -fsS $O/" + long + "; curl -fsS --data-binary @" + body + " $O/p; done"
	if out, err := l.run(t, r, script); err != nil || strings.Count(out, "4001+0 2+5242880 ") != 2 || len(r.Problems()) != 0 {
		t.Fatalf("%v\n%s\n%v", err, out, r.Problems())
	}
	script = "for O in " + safe.URL + " " + open.URL + `; do
		curl -s -o /dev/null -w '%{http_code} ' $O/%zz?token=SECRET
		curl -s -o /dev/null -w '%{http_code} ' "$O/100%?x"
		curl -s -o /dev/null -w '%{http_code} ' $O/` + long + long + `
		curl -s -o /dev/null -w '%{http_code} ' -H 'Content-Length: no' $O/n
		done`
	out, err := l.run(t, r, script)
	if err != nil || out != strings.Repeat("400 400 400 400 ", 2) {
		t.Errorf("%v\n%s", err, out)
	}
	var text strings.Builder
	for _, p := range r.Problems() {
		fmt.Fprintln(&text, p)
	}
	for _, base := range []string{safe.URL, open.URL} {
		for _, want := range []string{
			"refused: url GET " + base + `/%zz?token=xxxxx: it cannot be read as a request: invalid URL escape "%zz"`,
			"refused: url GET " + base + `/100%?x: it cannot be read as a request: invalid URL escape "%"`,
			"refused: url GET " + base + "/aaaa", "with an address of 8",
			"refused: url GET " + base + "/n: it cannot be read as a request: 400 Bad Request",
		} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("no %q in\n%s", want, &text)
			}
		}
	}
	if strings.Contains(text.String(), "SECRET") || len(r.Problems()) != 8 {
		t.Errorf("%d:\n%s", len(r.Problems()), &text)
	}
	// A body that is too long, of a client that says so and of one that does not.
	for _, n := range []int64{-1, 65 << 20} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, open.URL, io.LimitReader(zeros{}, 65<<20))
		req.ContentLength = n
		if _, err := (plain.Protocol{}).Item(req); err == nil || !strings.Contains(err.Error(), "POST "+open.URL) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%v", err)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// refusals is a Getter that keeps what was refused.
type refusals struct {
	record.Getter
	list []*record.RefusedError
}

func (r *refusals) Refuse(err *record.RefusedError) { r.list = append(r.list, err) }

// Whatever comes on a connection is named without a secret that it has in the place of one.
func FuzzUnread(f *testing.F) {
	f.Add("GET http://u:p@h.invalid/%zz HTTP/1.1\r\n")
	f.Add("\x16\x03\x01")
	f.Add("GET /%?token=S3CRETVALUE HTTP/1.1")
	f.Fuzz(func(t *testing.T, head string) {
		got := &refusals{}
		plain.Tell(got, "h.invalid:443", head)
		plain.Tell(got, "", "GET http://u:S3CRETVALUE@h.invalid/%?a="+strings.NewReplacer("?", "", "&", "", "#", "", ";", "").Replace(head)+"&token=S3CRETVALUE x")
		plain.Tell(got, "", head)
		for i, err := range got.list {
			if text := err.Error(); len(text) > 2000 || i == 1 && strings.Contains(text, "S3CRETVALUE") && !strings.Contains(head, "S3CRET") {
				t.Errorf("%q", text)
			}
		}
	})
}
