package session_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/session"
)

// Bytes that are not UTF-8 reach the command as they are, in the environment and as arguments.
func TestAnEnvironmentOfAnyBytes(t *testing.T) {
	o, out := newOptions(t, "")
	o.Lock = &lockfile.Lock{}
	o.Environ = append(o.Environ, "RAW=a\xff\xfeb")
	for i := range 15 { // Linux takes 128 KiB in a variable, and 2 MiB in all
		o.Environ = append(o.Environ, fmt.Sprintf("BIG%d=%s", i, strings.Repeat("x", 100_000)))
	}
	o.Command = []string{"sh", "-c", `printf '%s %s %s' "$RAW" "$1" "${#BIG14}"`, "sh", "\xe4"}
	if _, err := session.Replay(t.Context(), o); err != nil || out.String() != "a\xff\xfeb \xe4 100000" {
		t.Errorf("%v, %q", err, out)
	}
}

// What cannot be recorded is named and fails the session, though the command goes on; a replay too.
func TestWhatIsRefusedIsNamed(t *testing.T) {
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "fine") }))
	o, out := newOptions(t, fmt.Sprintf(`curl -sS %[1]s/x; curl -sS "%[1]s/$(head -c 5000 /dev/zero | tr '\0' a)" || :; curl -sS -X m-search %[1]s/x || :`, srv.URL))
	o.Upstream.Transport = trusting(t, srv)
	res, err := session.Record(t.Context(), o)
	if err != nil || len(res.Problems) != 2 || res.RecordErr(nil) == nil || strings.Contains(out.String(), "%!") {
		t.Fatalf("%v, %v\n%s", err, res, out)
	}
	for _, p := range res.Problems {
		if !strings.Contains(p.Error(), "refused: url") {
			t.Error(p)
		}
	}
	o.Lock = res.Lock
	res, err = session.Replay(t.Context(), o)
	if got := res.ReplayErr(err, session.Holder{Name: "x", Missing: "m", Damaged: "d"}); errs.KindOf(got) != errs.Unavailable || len(res.Problems) != 2 {
		t.Errorf("replay: %v, %v", got, res.Problems)
	}
}
