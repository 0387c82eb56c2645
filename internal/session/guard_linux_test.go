package session_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"overland/internal/procfs"
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

// Hundreds of strangers at once cost no more looks at the machine than one, so that the command does
// not wait behind them; and most are closed without an answer, for each would be a file of ours.
func TestS7AFloodOfStrangersIsOneLook(t *testing.T) {
	const strangers, looks, answers = 300, 30, 64
	var lc net.ListenConfig
	plain, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "cat") // nothing is below it
	if _, err := command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = command.Process.Kill(), command.Wait() }()
	var looked atomic.Int64
	all := make(chan struct{})
	l := session.Guard(plain, command.Process.Pid, func(at net.Addr) (*procfs.Peers, error) {
		looked.Add(1)
		<-all
		return procfs.PeersOf(at)
	})
	defer l.Close()
	var reading, ended sync.WaitGroup
	reading.Add(strangers)
	ended.Go(func() {
		for range strangers {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			ended.Go(func() {
				defer c.Close()
				reading.Done()
				if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
	})
	answered := make(chan bool, strangers)
	var d net.Dialer
	for range strangers {
		c, err := d.DialContext(t.Context(), "tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer c.Close()
			b, _ := io.ReadAll(c) // a reset is an answer too
			answered <- strings.Contains(string(b), "only processes")
		}()
	}
	reading.Wait()
	close(all)
	told := 0
	for range strangers {
		if <-answered {
			told++
		}
	}
	ended.Wait()
	if n := looked.Load(); n > looks {
		t.Errorf("%d looks for %d strangers", n, strangers)
	}
	if told == 0 || told > answers {
		t.Errorf("%d strangers were told why", told)
	}
}
