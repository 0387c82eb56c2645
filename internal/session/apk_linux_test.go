package session_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/ecosystem/apk"
	"overland/internal/session"
)

// standIn stands in for apk, which no Debian package has: it asks for what apk add tea asks for, by
// the proxy of its environment, and looks whether its cache is its own.
const standIn = `#!/bin/sh
set -e
[ "$1" = --cache-dir ] && [ -z "$(ls -A "$2")" ]
cd "$2"
while read url; do
	curl -fsS -o index "$url/x86_64/APKINDEX.tar.gz"
	curl -fsS -o package "$url/x86_64/tea-1.0-r0.apk"
done < "$REPOSITORIES"
sha256sum index package
`

// What apk fetches by a proxy goes through its own protocol, over http and https,
// with its proofs, and is replayed.
func TestApk(t *testing.T) {
	const seeds = "../alpine/testdata/"
	files := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeFile(w, r, seeds+filepath.Base(r.URL.Path))
	})
	for _, tls := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(files)
		srv.Listener.Close()
		srv.Listener = listen(t, "127.0.0.2:0")
		if tls {
			srv.StartTLS()
		} else {
			srv.Start()
		}
		t.Cleanup(srv.Close)

		root, bin := t.TempDir(), t.TempDir()
		etc := filepath.Join(root, "apk")
		repositories := filepath.Join(etc, "repositories")
		if err := os.Mkdir(etc, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(repositories, []byte(srv.URL+"/calm/main\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(etc, "keys"), os.DirFS(seeds+"keys")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, "apk"), []byte(standIn), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
		t.Setenv("REPOSITORIES", repositories)

		o, out := newOptions(t, "apk add tea")
		o = o.WithEtc(root)
		o.Read = []string{root}
		o.Upstream.Transport = trusting(t, srv)
		res, err := session.Record(t.Context(), o)
		if err != nil || len(res.Problems) != 0 || len(res.Lock.Entries) != 2 {
			t.Fatalf("%v\n%s\n%+v", err, out, res)
		}
		index, tea := res.Lock.Entries[0], res.Lock.Entries[1]
		if index.Protocol != apk.Name || index.Key != "calm-main/x86_64/APKINDEX.tar.gz" || index.Proof.Kind != apk.ProofKey ||
			tea.Key != "calm-main/x86_64/tea-1.0-r0.apk" || tea.Proof.Kind != apk.ProofIndex {
			t.Errorf("%+v\n%+v", index, tea)
		}
		if bad, err := session.Verify(t.Context(), session.Options{Store: o.Store, Lock: res.Lock}.WithEtc(root)); err != nil || len(bad) != 0 {
			t.Errorf("verify: %v, %v", bad, err)
		}

		srv.Close()
		recorded := out.String()
		out.Reset()
		o.Lock = res.Lock
		if res, err = session.Replay(t.Context(), o); err != nil || len(res.Problems) != 0 || out.String() != recorded || !strings.Contains(recorded, "package") {
			t.Errorf("%v\n%s\n%+v", err, out, res)
		}
	}
}
