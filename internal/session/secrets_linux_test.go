package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/session"
)

// holding returns the files below dir that hold word.
func holding(t *testing.T, dir, word string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(word)) {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Secrets in queries, in the user's part of an address and in headers are used, and kept nowhere: not in the
// lock, the depot, the journal or what is printed, whether the request succeeds or fails. A replay
// needs none, or another one.
func TestS20SecretsAreKeptNowhere(t *testing.T) {
	const secret = "QUERYSECRET"
	used := map[string]bool{}
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		used[r.URL.Path] = strings.Contains(r.URL.RawQuery+fmt.Sprint(r.Header), secret)
		if name, _, ok := r.BasicAuth(); ok && name == secret {
			used[r.URL.Path] = true
		}
		switch r.URL.Path {
		case "/signed":
			http.Redirect(w, r, "/elsewhere?X-Amz-Signature="+secret+"&X-Amz-Credential=AKIA"+secret, http.StatusFound)
		case "/broken":
			http.Redirect(w, r, "https://"+r.Host+"/loop?sig="+secret, http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "http://"+r.Host+"/loop?sig="+secret, http.StatusFound) // https to http
		case "/gone", "/500":
			http.Error(w, "no", map[string]int{"/gone": 404, "/500": 500}[r.URL.Path])
		default:
			fmt.Fprint(w, "content of "+r.URL.Path)
		}
	}))
	var script strings.Builder
	script.WriteString("get() { curl -sSL \"$@\" || :; }\n")
	for i, name := range []string{"access_token", "token", "sig", "X-Amz-Signature", "X-Amz-Credential", "private_token", "job_token", "api_key", "key", "auth", "password"} {
		fmt.Fprintf(&script, "get '%s/q%d?a=1&%s='$SECRET'&b=2'\n", srv.URL, i, name)
	}
	for _, path := range []string{"/gone?token=", "/500?token=", "/signed?x=", "/broken?token="} {
		fmt.Fprintf(&script, "get '%s%s'$SECRET >/dev/null\n", srv.URL, path)
	}
	fmt.Fprintf(&script, "get -u $SECRET:$SECRET %s/user\nget -H \"Authorization: Bearer $SECRET\" %[1]s/header\nget -H \"PRIVATE-TOKEN: $SECRET\" -H \"Cookie: $SECRET\" %[1]s/cookie\n", srv.URL)
	fmt.Fprintf(&script, "get -d body '%s/post?token='$SECRET\n", srv.URL)
	o, out := newOptions(t, strings.ReplaceAll(script.String(), "/signed?x='$SECRET", "/signed'"))
	o.Upstream.Transport = trusting(t, srv)
	o.Environ = append(o.Environ, "SECRET="+secret)
	res, err := session.Record(t.Context(), o)
	if err != nil || res == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := res.Lock.Save(o.LockFile); err != nil {
		t.Fatal(err)
	}
	first := out.String()
	for _, path := range []string{"/q0", "/q10", "/gone", "/500", "/elsewhere", "/loop", "/user", "/header", "/post"} {
		if !used[path] {
			t.Errorf("%s was asked without the secret", path)
		}
	}
	for _, p := range res.Problems {
		first += p.Error() + errs.HintOf(p) + "\n"
	}
	failed := map[string]int{}
	for _, e := range res.Lock.Entries {
		if e.Failed() {
			failed[e.Key[strings.LastIndex(e.Key, "/"):]] = e.Status
		}
	}
	if len(res.Problems) != 0 || failed["/500?token=xxxxx"] != 500 || failed["/gone?token=xxxxx"] != 404 {
		t.Errorf("problems %v, failures %v", res.Problems, failed)
	}
	if strings.Contains(first, secret) {
		t.Errorf("printed:\n%s", first)
	}
	if list := holding(t, filepath.Dir(o.LockFile), secret); len(list) > 0 {
		t.Errorf("kept in %q", list)
	}
	out.Reset()
	o.Lock, o.Environ = res.Lock, append(o.Environ, "SECRET=another")
	if res, err = session.Replay(t.Context(), o); err != nil || len(res.Problems) != 0 {
		t.Errorf("%v, %v", err, res)
	}
	for i := range 11 {
		if !strings.Contains(out.String(), fmt.Sprintf("content of /q%d", i)) {
			t.Errorf("q%d is not replayed:\n%s", i, out)
		}
	}
}

// Two requests that the lock could not tell apart must have one answer.
func TestS20MaskedRequestsAreNotMixedUp(t *testing.T) {
	for query, want := range map[string]error{"key=%s": errs.E(errs.Conflict, errors.New("")), "X-Amz-Signature=%s": nil} {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "content of "+r.URL.Query().Get("key")) }))
		at := srv.URL + "/x?" + query
		o, out := newOptions(t, fmt.Sprintf("curl -sS '%s'; echo; curl -sS '%s'", fmt.Sprintf(at, "a"), fmt.Sprintf(at, "b")))
		o.Upstream.Transport = trusting(t, srv)
		res, err := session.Record(t.Context(), o)
		err = res.RecordErr(err)
		if (err == nil) != (want == nil) || errs.KindOf(err) != errs.KindOf(want) {
			t.Errorf("%s: %v\n%s", query, err, out)
		}
		if _, after, _ := strings.Cut(out.String(), "\n"); want != nil && strings.Contains(after, "content of a") {
			t.Errorf("%s: b is answered with a:\n%s", query, out)
		}
	}
}

// A replayed command, which may be somebody else's script, sees no settings of the user's curl: they
// hold logins.
func TestAReplayHasNoSettingsOfCurls(t *testing.T) {
	home := t.TempDir()
	files(t, home, map[string]string{".curlrc": "user = anna:geheim\n"})
	o, out := newOptions(t, `cat "$CURL_HOME/.curlrc" 2>/dev/null; echo "end"`)
	o.Environ, o.Lock = append(os.Environ(), "CURL_HOME="+home), &lockfile.Lock{}
	if _, err := session.Replay(t.Context(), o); err != nil || out.String() != "end\n" {
		t.Errorf("%q, %v", out, err)
	}
}
