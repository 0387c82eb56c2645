package plain_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"overland/internal/lockfile"
	"overland/internal/record"
)

// varying is an origin whose answers depend on more than the URL. What it is asked with stands in the
// answer, so that each client sees whether it got its own.
func varying(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	field := strings.TrimPrefix(r.URL.Path, "/")
	switch {
	case strings.HasPrefix(field, "vary/"): // it says so
		field = strings.TrimPrefix(field, "vary/")
		h.Set("Vary", field)
	case field == "same": // the same for all
		field = "none"
	case field == "page":
		h.Add("Link", `<http://`+r.Host+`/page?page=2>; rel="next"`)
		h.Set("X-Next-Page", "2")
		h.Set("Content-Disposition", `attachment; filename="t.txt"`)
		h.Set("Content-Language", "de")
		h.Set("Etag", `"e1"`)
		h.Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
	case field == "loop": // wants a cookie of its own
		if c, err := r.Cookie("sid"); err != nil || c.Value != "SECRETSID" {
			h.Set("Set-Cookie", "sid=SECRETSID; Path=/; Max-Age=60")
			http.Redirect(w, r, "/loop", http.StatusFound)
			return
		}
	case field == "gzip": // encodes, whoever asks
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "unpacked")
		_ = z.Close()
		return
	case field == "Accept-Encoding" && strings.Contains(r.Header.Get(field), "gzip"):
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "packed")
		_ = z.Close()
		return
	case field == "part" && r.Header.Get("Range") != "":
		h.Set("Content-Range", "bytes 2-4/9")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "234")
		return
	case strings.HasPrefix(field, "status/"):
		var status int
		_, _ = fmt.Sscanf(field, "status/%d", &status)
		if status == http.StatusNoContent {
			h.Del("Content-Type")
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = fmt.Fprintf(w, "body of %d", status)
		}
		return
	case field == "echo":
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s", r.Method, b)
		return
	}
	_, _ = io.WriteString(w, "answer to "+strings.TrimPrefix(strings.Join(r.Header.Values(field), ","), "identity"))
}

// What a command gets through the recorder is what it gets without, and a replay is the same.
func TestAnswersAreKeyedByWhatWasAsked(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(varying))
	defer origin.Close()
	l := newLab(t, origin)
	const get = "get() { curl -sS -w ' %{http_code}\\n' \"$@\"; }; "
	var scripts []string
	for name, script := range map[string]string{
		"Accept":            `get O/Accept; get -H 'Accept: application/octet-stream' O/Accept; get -H 'Accept: a/b' O/Accept`,
		"one Accept":        `get -H 'Accept: a/b' O/Accept?one`,
		"Accept, said":      `get O/vary/Accept; get -H 'Accept: x/y' O/vary/Accept`,
		"User-Agent, said":  `get -A one O/vary/User-Agent; get -A two O/vary/User-Agent; get -A one O/vary/User-Agent`,
		"any field, said":   `get -H 'X-Any: 1' O/vary/X-Any; get O/vary/X-Any`,
		"two logins":        `get -u a:SECRETA O/Authorization; get -u b:SECRETB O/Authorization; get O/Authorization`,
		"two tokens":        `get -H 'PRIVATE-TOKEN: SECRETA' O/Private-Token; get -H 'PRIVATE-TOKEN: SECRETB' O/Private-Token`,
		"a cookie":          `get O/Cookie; get -b licence=SECRETYES O/Cookie`,
		"a cookie jar":      `get -L -c jar -b jar O/loop`,
		"Git-Protocol":      `get -H 'Git-Protocol: version=2' O/Git-Protocol; get O/Git-Protocol`,
		"Accept-Language":   `get -H 'Accept-Language: de' O/Accept-Language; get -H 'Accept-Language: fr' O/Accept-Language`,
		"Referer":           `get -e http://h.example/r O/Referer`,
		"Accept-Encoding":   `get O/Accept-Encoding; curl -sS -H 'Accept-Encoding: gzip' O/Accept-Encoding | gzip -dc; get --compressed O/Accept-Encoding`,
		"always encoded":    `curl -sS -D - -o f O/gzip | grep -i ^content- | sort; gzip -dc <f; curl -sS --compressed O/gzip`,
		"a part":            `get -r 2-4 O/part; get O/part`,
		"no ranges":         `get -r 2-4 O/same?r; get O/same?r`,
		"header":            `curl -sS -D - O/page | tr -d '\r' | grep -v ^Date: | sort`,
		"a redirect":        `curl -sS -D - -o /dev/null O/loop | tr -d '\r' | grep -e ^HTTP -e ^Location`,
		"a name":            `curl -sSOJ O/page; cat t.txt; wget -qN O/page; TZ=UTC ls -l --time-style=+%F page`,
		"methods":           `get -X PUT -d one O/echo; get -X PUT -d two O/echo; get -X OPTIONS O/echo; get -d three O/echo; get -X DELETE O/echo`,
		"a cookie unneeded": `get -b a=SECRET1 O/same?c; get -b a=SECRET2 O/same?c`,
	} {
		scripts = append(scripts, "echo "+name+"; "+script)
	}
	for _, status := range []int{201, 203, 204, 206, 400, 403, 404, 410, 451} {
		scripts = append(scripts, fmt.Sprintf("get O/status/%d", status))
	}
	slices.Sort(scripts)
	script := get + strings.ReplaceAll(strings.Join(scripts, "\n"), "O/", origin.URL+"/")
	direct := exec.CommandContext(t.Context(), "sh", "-c", script)
	direct.Dir = t.TempDir()
	want, err := direct.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, want)
	}
	r := record.NewRecorder(l.store, record.Options{Upstream: l.up})
	defer r.Close()
	if out, err := l.run(t, r, script); err != nil || out != string(want) {
		t.Fatalf("recorded: %v\n%s\ndirectly:\n%s\n%v", err, out, want, r.Problems())
	}
	origin.Close()
	var text bytes.Buffer
	if err := errors.Join(r.Settle(), r.Lock().Write(&text)); err != nil {
		t.Fatal(err)
	}
	if s := text.String(); strings.Contains(s, "SECRET") || strings.Contains(s, `"asked":["user-agent: curl`) {
		t.Errorf("locked:\n%s", s)
	}
	lock, err := lockfile.Parse(&text, 0)
	if err != nil {
		t.Fatal(err)
	}
	for key, n := range map[string]int{"/same?c": 1, "/same?r": 1, "/Accept": 3, "/vary/User-Agent": 2, "/loop": 2, "/Referer": 1} {
		if got := lock.Variants("url", origin.URL+key); len(got) != n {
			t.Errorf("%s: %v", key, got)
		}
	}
	replay := record.NewReplayer(l.store, lock)
	if out, err := l.run(t, replay, script); err != nil || out != string(want) {
		t.Errorf("replayed: %v\n%s\nwant:\n%s\n%v", err, out, want, replay.Misses())
	}
	// What was never asked so gets no other answer.
	for _, other := range []string{
		"-H 'Accept: c/d' O/Accept", "O/Accept?one", "-A three O/vary/User-Agent", "-u c:d O/Authorization", "-b licence=no O/Cookie", "-H 'X-Any: 2' O/vary/X-Any",
		"-H 'Git-Protocol: version=1' O/Git-Protocol", "-r 3-4 O/part?x",
	} {
		replay := record.NewReplayer(l.store, lock)
		out, err := l.run(t, replay, "curl -sSf "+strings.ReplaceAll(other, "O/", origin.URL+"/"))
		if err == nil || len(replay.Misses()) != 1 {
			t.Errorf("%s: %s, %v", other, out, replay.Misses())
		}
	}
	if out, err := l.run(t, replay, "curl -sS -u z:z "+origin.URL+"/same?c"); err != nil || out != "answer to " {
		t.Errorf("a login where none matters: %v, %s", err, out)
	}
}
