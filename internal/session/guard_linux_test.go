package session_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overland/internal/session"
)

// outsider runs curl as user uid, which is not below the command, and returns what it got.
func outsider(t *testing.T, uid uint32, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "-m", "20"}, args...)...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH")}
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, _ := cmd.CombinedOutput() // a refused connection is as good as a refusal
	return string(out)
}

// A registry that answers only with the operator's login, a recorder that has it, and others on the
// machine: another user, and a process of the operator's own that the command did not start.
func TestS7TheRecorderServesItsOwnCommand(t *testing.T) {
	const token, secret = "operators-token", "private package"
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/@corp") && r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"name":"@corp/secret","versions":{},"description":%q}`, secret)
	}))
	rc := filepath.Join(t.TempDir(), "npmrc")
	host := strings.TrimPrefix(srv.URL, "https:")
	if err := os.WriteFile(rc, []byte("registry="+srv.URL+"/\n"+host+"/:_authToken="+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("npm_config_userconfig", rc)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "go"), filepath.Join(dir, "address")
	for _, fifo := range []string{in, out} {
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lower := ""
	if os.Geteuid() == 0 {
		lower = "setpriv --reuid=1234 --regid=1234 --clear-groups " // as apt fetches
	}
	o, said := newOptions(t, `echo "$HTTP_PROXY" >`+out+`; read go <`+in+`; `+lower+`curl -fsS "$HTTP_PROXY/npm/@corp%2fsecret"; curl -fsS `+originServer(t).URL+`/mine`)
	o.Upstream.Transport = trustingAlso(t, srv)
	type end struct {
		res *session.Result
		err error
	}
	ended := make(chan end)
	go func() {
		res, err := session.Record(t.Context(), o)
		ended <- end{res, err}
	}()
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(string(b))
	evil := originServer(t).URL + "/evil.tar.gz"
	users := []uint32{0}
	if os.Geteuid() == 0 {
		users = append(users, 1234)
	}
	for _, uid := range users {
		if got := outsider(t, uid, address+"/npm/@corp%2fsecret"); strings.Contains(got, secret) || !strings.Contains(got, "only processes") {
			t.Errorf("user %d reads a private package: %s", uid, got)
		}
		if got := outsider(t, uid, "-x", address, evil); strings.Contains(got, "content of") {
			t.Errorf("user %d adds to the lock: %s", uid, got)
		}
	}
	if err := os.WriteFile(in, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	e := <-ended
	if e.err != nil || !strings.Contains(said.String(), secret) || !strings.HasSuffix(said.String(), "content of /mine") {
		t.Errorf("the command itself: %v\n%s", e.err, said)
	}
	if len(e.res.Lock.Entries) != 2 || !strings.HasPrefix(e.res.Strangers, fmt.Sprint(2*len(users))+" refused") {
		t.Errorf("lock %+v, strangers %q", e.res.Lock, e.res.Strangers)
	}
}

// trustingAlso returns a transport that believes srv's certificate at its own address, and finds
// plain servers at theirs.
func trustingAlso(t *testing.T, srv *httptest.Server) http.RoundTripper {
	secure, plain := trusting(t, srv), &http.Transport{}
	t.Cleanup(plain.CloseIdleConnections)
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme == "https" {
			return secure.RoundTrip(r)
		}
		return plain.RoundTrip(r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A page whose name was made to mean this machine reaches nothing, even in a browser of the command's.
func TestS7ARecorderAnswersToItsOwnName(t *testing.T) {
	o, out := newOptions(t, `curl -sS -o /dev/null -w '%{http_code} ' -H 'Host: evil.example' "$HTTP_PROXY/go/x"
curl -sS -o /dev/null -w '%{http_code} ' "$HTTP_PROXY/none/x"
curl -sS -o /dev/null -w '%{http_code}' "http://localhost:${HTTP_PROXY##*:}/none/x"`)
	if _, err := session.Record(t.Context(), o); err != nil || out.String() != "421 404 404" {
		t.Errorf("%v\n%s", err, out)
	}
}
