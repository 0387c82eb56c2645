package session_test

import (
	"strings"
	"testing"

	"overland/internal/lockfile"
	"overland/internal/session"
)

// flood opens more tunnels than a recorder serves a cell at once, reads the answers of those that have a place, and makes
// some free. Then it sends a header of 100 KB, offers HTTP/2, and floods with it unasked.
const flood = `python3 -c '
import os, resource, select, socket, ssl
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
host, port = os.environ["HTTP_PROXY"].split("://")[1].rsplit(":", 1)
def tunnel():
    s = socket.create_connection((host, int(port)))
    s.sendall(b"CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\r\n")
    return s
first = [tunnel() for _ in range(512)]
for s in first: assert b" 200 " in s.recv(4096)
more = [tunnel() for _ in range(8)]
print("beyond:", len(select.select(more, [], [], 1)[0]))
for s in first[:8]: s.close()
for s in more: assert b" 200 " in s.recv(4096)
print("then: 8")
for s in first + more: s.close()
s = socket.create_connection((host, int(port)))
s.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100000)
print(s.recv(4096).split(b"\r\n")[0].decode()[:12])
s = tunnel()
s.recv(4096)
any = ssl._create_unverified_context()
any.set_alpn_protocols(["h2", "http/1.1"])
s = any.wrap_socket(s, server_hostname="far.example")
print("speaks", s.selected_alpn_protocol())
s = socket.create_connection((host, int(port)))
s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" * 1000)
print(s.recv(4096).split(b"\r\n")[0].decode())
'`

// A command in a cell is not believed: what it opens, and sends before it is answered, is memory and files of the process that
// serves it, outside of the cell's limits.
func TestACellsConnectionsAreBounded(t *testing.T) {
	o, out := newOptions(t, flood)
	o.Lock = &lockfile.Lock{}
	const want = "beyond: 0\nthen: 8\nHTTP/1.1 431\nspeaks http/1.1\nHTTP/1.1 421 "
	if _, err := session.Replay(t.Context(), o); err != nil || !strings.HasPrefix(out.String(), want) {
		t.Errorf("%v\n%s", err, out)
	}
}
