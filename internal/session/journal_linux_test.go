package session_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"overland/internal/digest"
	"overland/internal/ecosystem/plain"
	"overland/internal/lockfile"
	"overland/internal/session"
)

// A command that fails, or a session that is killed, does not have to fetch again what was proved.
func TestARecordingGoesOn(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	srv := originServer(t)
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.Path]++
		_, _ = io.WriteString(w, "content of "+r.URL.Path)
	})
	fetch := "curl -fsS " + srv.URL + "/pinned " + srv.URL + "/other"
	o, out := newOptions(t, fetch+" && exit 7")
	o.Pins = plain.Pins{srv.URL + "/pinned": digest.Of([]byte("content of /pinned"))}
	o.Lock, o.Resume = &lockfile.Lock{}, true
	exit := (*session.ExitError)(nil)
	if _, err := session.Record(t.Context(), o); !errors.As(err, &exit) || exit.Code != 7 {
		t.Fatalf("%v\n%s", err, out)
	}
	// As if the power had gone while a line was written, and something had spoilt another.
	journal := filepath.Join(o.Dir, digest.Of([]byte(o.LockFile)).Encoded()[:16]+".journal")
	f, err := os.OpenFile(journal, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("{}\n{\"protocol\":\"url\",\"ke"); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
	o.Command[2] = fetch
	res, err := session.Record(t.Context(), o)
	if err != nil || len(res.Lock.Entries) != 2 || !strings.HasSuffix(out.String(), "content of /pinnedcontent of /other") {
		t.Fatalf("%v\n%s\n%+v", err, out, res)
	}
	if asked["/pinned"] != 1 || asked["/other"] != 2 {
		t.Errorf("asked %v", asked)
	}
	if e := res.Lock.Entries[1]; e.Proof.Kind != plain.ProofPin || e.MediaType == "" {
		t.Errorf("%+v", e)
	}
	// Another pin is not passed by.
	o.Pins = plain.Pins{srv.URL + "/pinned": digest.Of(nil)}
	o.Command[2] = fetch
	if res, _ := session.Record(t.Context(), o); len(res.Problems) != 1 || asked["/pinned"] != 2 {
		t.Errorf("%v, asked %v", res.Problems, asked)
	}
	// What is locked needs no journal.
	o.Lock, o.Command[2] = res.Lock, "true"
	o.Pins = nil
	if _, err := session.Record(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(journal); err != nil || string(b) != "overland.lock 1\n" {
		t.Errorf("%s%v", b, err)
	}
}
