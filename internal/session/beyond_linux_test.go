package session_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"overland/internal/session"
)

// A build's command in a cell of a recording has the recorder fetch nothing of this machine: by plain requests, through
// tunnels, or with a body. What the recorded command itself has fetched is there.
func TestACellInARecordingReachesNothingOfTheMachine(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		mu.Unlock()
		_, _ = io.WriteString(w, "content of "+r.URL.Path+"\n")
	})
	srv, tls := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer srv.Close()
	defer tls.Close()
	inner := `c="curl -sk -m 20 --noproxy none. -x $http_proxy"; $c ` + srv.URL + `/given; $c ` + srv.URL + `/plain; $c -d x ` + srv.URL + `/posted
		$c ` + strings.Replace(srv.URL, "127.0.0.1", "localhost", 1) + `/named; $c ` + tls.URL + `/tunnel; $c -p ` + tls.URL + `/two`
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o, out := newOptions(t, `curl -s --noproxy none. `+srv.URL+`/given >/dev/null; OVERLAND_SESSION_TEST=`+t.TempDir()+` `+self+` `+nested+` '`+inner+`'`)
	res, err := session.Record(t.Context(), o)
	if err != nil || !strings.HasPrefix(out.String(), "content of /given\n") || strings.Count(out.String(), "content of") != 1 {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Count(out.String(), "a command in a cell reaches nothing of it") != 5 || len(res.Problems) != 5 {
		t.Errorf("%q\n%s", res.Problems, out)
	}
	if len(asked) != 1 || asked["/given"] != 1 {
		t.Errorf("asked for %v", asked)
	}
}
