package session_test

import (
	"fmt"
	"os"
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
	o.Isolated, o.Lock = true, &lockfile.Lock{}
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
	o.Isolated, o.Lock = false, &lockfile.Lock{}
	o.Command = []string{"readlink", "/proc/self/ns/net"}
	out.Reset()
	if res, err := session.Record(t.Context(), o); err != nil || len(res.Past) != 0 {
		t.Errorf("%v, %+v", err, res)
	}
	if here, _ := os.Readlink("/proc/self/ns/net"); strings.TrimSpace(out.String()) != here {
		t.Errorf("in %s, not in %s", out, here)
	}
}

// A person without rights has it too, and the command gets none; files are whose they were.
func TestAPersonWithoutRightsIsolates(t *testing.T) {
	srv := originServer(t)
	cmd := program(t, isolated, "bash -c '"+strings.ReplaceAll(fmt.Sprintf(goPast, srv.URL), "'", `'\''`)+"'; touch mine; stat -c 'owner %u' mine", false)
	out, err := cmd.CombinedOutput()
	uid := os.Geteuid()
	if uid == 0 {
		uid = nobody
	}
	want := append([]string{
		"CapEff:\t0000000000000000\n", fmt.Sprintf("user %d\n", uid), fmt.Sprintf("owner %d\n", uid), "own: 0\n", "0 problems\n",
	}, wentPast...)
	for _, want := range want {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("no %q: %v\n%s", want, err, out)
		}
	}
}
