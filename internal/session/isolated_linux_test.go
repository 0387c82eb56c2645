package session_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/lockfile"
	"overland/internal/session"
)

// goPast is what a command does that goes past its recorder, with programs that heed no proxy: two
// addresses, a packet of UDP, a name; and what it may do: fetch through the recorder, serve itself.
const goPast = `curl -fsS %[1]s/a && echo
curl -sS --noproxy '*' -m 20 http://192.0.2.7:8080/x; echo "direct: $?"
curl -sS --noproxy '*' -m 20 'http://[2001:db8::7]:8443/x'; echo "six: $?"
exec 3<>/dev/udp/192.0.2.8/4000; echo x >&3
curl -sS --noproxy '*' -m 20 https://private.example/x; echo "by name: $?"
coproc python3 -uc 'import socketserver
s = socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler)
print(s.server_address[1])
s.handle_request()'
read -r port <&${COPROC[0]}; (echo >/dev/tcp/127.0.0.1/$port); echo "own: $?"
echo "user $(id -u)"; grep CapEff /proc/self/status
`

var wentPast = []string{
	"192.0.2.7:8080 (process curl)", "[2001:db8::7]:8443 (process curl)", "192.0.2.8:4000 by udp (process bash)", `the name "private.example", `,
}

// Nothing can go past an isolated recorder: it fails at once, and is named, with who tried.
func TestNothingGoesPastAnIsolatedRecorder(t *testing.T) {
	srv := originServer(t)
	o, out := newOptions(t, "")
	o.Reach, o.Lock = session.Nothing, &lockfile.Lock{}
	o.Command = []string{"bash", "-c", fmt.Sprintf(goPast, srv.URL)}
	res, err := session.Record(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"content of /a\n", "direct: 7\n", "six: 7\n", "by name: 6\n", "own: 0\n", fmt.Sprintf("user %d\n", os.Geteuid())} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q:\n%s", want, out)
		}
	}
	if len(res.Problems) != 0 || len(res.Lock.Entries) != 1 || res.Strangers != "" {
		t.Errorf("%+v", res)
	}
	for i, want := range wentPast {
		if i >= len(res.Past) || !strings.HasPrefix(res.Past[i].String(), want) {
			t.Errorf("not %q: %v", want, res.Past)
		}
	}
	if last := res.Past[len(res.Past)-1]; len(res.Past) != len(wentPast) || !strings.HasSuffix(last.String(), ":53 (process curl)") {
		t.Errorf("%v", res.Past)
	}
	// The recorder is the only thing that is not as it was.
	o.Reach, o.Lock = session.Everything, &lockfile.Lock{}
	o.Command = []string{"readlink", "/proc/self/ns/net"}
	out.Reset()
	if res, err := session.Record(t.Context(), o); err != nil || len(res.Past) != 0 {
		t.Errorf("%v, %+v", err, res)
	}
	if here, _ := os.Readlink("/proc/self/ns/net"); strings.TrimSpace(out.String()) != here {
		t.Errorf("in %s, not in %s", out, here)
	}
}

// onlyTools has the machine's other tools not asked where they fetch from.
func onlyTools(t *testing.T, names ...string) {
	t.Helper()
	bin := t.TempDir()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err = errors.Join(err, os.Symlink(path, filepath.Join(bin, name))); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
}

// node's own fetch heeds no proxy before node 24: an isolated recording, which is the default, refuses it, by name;
// later ones come through the recorder.
func TestFetchOfNodeIsLedOrNamed(t *testing.T) {
	srv := originServer(t)
	onlyTools(t, "node")
	for _, reach := range []session.Reach{session.Services, session.Nothing} {
		o, out := newOptions(t, "")
		o.Reach, o.Lock = reach, &lockfile.Lock{}
		o.Command = []string{"node", "-e", `const heeds = process.versions.node.split(".")[0] >= 24
			fetch(heeds ? "` + srv.URL + `/a" : "http://192.0.2.9:8081/a").then(a => a.text().then(t => console.log("led: " + t)), () => console.log("refused"))`}
		res, err := session.Record(t.Context(), o)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		led := out.String() == "led: content of /a\n" && len(res.Lock.Entries) == 1
		named := out.String() == "refused\n" && len(res.Past) == 1 && res.Past[0].String() == "192.0.2.9:8081 (process node)"
		if !led && !named {
			t.Errorf("%s\n%+v", out, res)
		}
	}
}

// By default a recording is isolated, and what listens on the loopback interface of this machine answers as
// always, also when it came after the command, and no longer when it is gone. Each is named: a replay lacks it.
func TestServicesOfThisMachineAnswerAndAreNamed(t *testing.T) {
	answering := func(text string) *httptest.Server {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
		srv.Start()
		t.Cleanup(srv.Close)
		return srv
	}
	before := answering("before\n")
	unused := answering("unused\n")
	free := listen(t, "127.0.0.1:0")
	later := free.Addr().String()
	_ = free.Close()
	onlyTools(t, "bash", "curl", "sleep")
	o, out := newOptions(t, "")
	said, say := io.Pipe()
	o.Reach, o.Lock, o.Stdout, o.Stderr = session.Services, &lockfile.Lock{}, io.MultiWriter(out, say), io.Discard
	o.Command = []string{"bash", "-c", fmt.Sprintf(`curl -sS %s; echo ready
until curl -sf http://%[2]s; do sleep 0.1; done; echo here
while curl -sf -o body http://%[2]s; do sleep 0.1; done; echo gone
curl -sS --noproxy '*' -m 20 http://192.0.2.7:8080/x; true`, before.URL, later)}
	o.WorkDir = t.TempDir()
	met := make(chan error, 1)
	go func() { // a container engine, say, opens a port for the command
		var srv *httptest.Server
		var err error
		for s := bufio.NewScanner(said); s.Scan(); {
			switch s.Text() {
			case "ready":
				srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "later\n") }))
				_ = srv.Listener.Close()
				if srv.Listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", later); err == nil {
					srv.Start()
				}
			case "here":
				srv.Close()
			}
		}
		met <- err
	}()
	res, err := session.Record(t.Context(), o)
	_ = say.Close()
	if other := <-met; err != nil || other != nil || out.String() != "before\nready\nlater\nhere\ngone\n" {
		t.Fatalf("%v, %v\n%s", err, other, out)
	}
	var local []string
	for _, a := range res.Local {
		local = append(local, a.String())
	}
	want := []string{before.Listener.Addr().String() + " (process curl)", later + " (process curl)"}
	if !slices.Equal(local, want) || !res.Isolated || res.Open != nil || len(res.Past) != 1 || len(res.Problems) != 0 {
		t.Errorf("%q, want %q and not %s; %+v", local, want, unused.URL, res)
	}
}

// A person without rights has it too, and the command gets none; files are whose they were.
func TestAPersonWithoutRightsIsolates(t *testing.T) {
	srv := originServer(t)
	cmd := program(t, isolated, "bash -c '"+strings.ReplaceAll(fmt.Sprintf(goPast, srv.URL), "'", `'\''`)+"'; touch mine; stat -c 'owner %u' mine; su; true", false)
	out, err := cmd.CombinedOutput()
	uid := os.Geteuid()
	if uid == 0 {
		uid = nobody
	}
	want := append([]string{
		"su does not work in an isolated recording", "CapEff:\t0000000000000000\n", fmt.Sprintf("user %d\n", uid), fmt.Sprintf("owner %d\n", uid), "own: 0\n", "0 problems\n",
	}, wentPast...)
	for _, want := range want {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("no %q: %v\n%s", want, err, out)
		}
	}
}
