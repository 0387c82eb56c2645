package session_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/session"
)

// A clone with files in LFS is replayed with them: what git-lfs posts to be told where they are, and the
// files.
func TestLFS(t *testing.T) {
	const milk = "milk that is too long for git\n"
	oid := digest.Of([]byte(milk)).Encoded()
	git := repositories(t, fmt.Sprintf(`git init -q -b main tea; cd tea; echo '*.bin filter=lfs diff=lfs merge=lfs -text' >.gitattributes
		printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n' >milk.bin; git add .; git commit -q -m milk; cd ..; git clone -q --bare tea tea.git`, oid, len(milk)))
	const base = "https://git.invalid"
	mux := http.NewServeMux()
	mux.Handle("/", git)
	mux.HandleFunc("POST /tea.git/info/lfs/objects/batch", func(w http.ResponseWriter, r *http.Request) {
		var ask struct{ Objects []map[string]any }
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for _, o := range ask.Objects {
			o["actions"] = map[string]any{"download": map[string]string{"href": fmt.Sprintf("%s/objects/%s", base, o["oid"])}}
		}
		w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
		_ = json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": ask.Objects})
	})
	mux.HandleFunc("GET /objects/"+oid, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(milk)) })
	srv := serve(t, mux)
	program, err := exec.LookPath("git-lfs")
	if err != nil {
		t.Fatal(err)
	}
	place := t.TempDir()
	o, out := newOptions(t, `cd `+place+` && rm -rf copy && git -c filter.lfs.process="git-lfs filter-process" -c filter.lfs.smudge="git-lfs smudge -- %f" \
		-c filter.lfs.required=true clone -q `+base+`/tea.git copy && cat copy/milk.bin`)
	o.WorkDir, o.Write, o.Read = place, []string{place}, []string{filepath.Dir(program)}
	o.Environ = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
	o.Upstream.Transport = trusting(t, srv)
	res, err := session.Record(t.Context(), o)
	if err != nil || !strings.HasSuffix(out.String(), milk) || len(res.Problems) != 0 {
		t.Fatalf("%v\n%s\n%v", err, out, res)
	}
	srv.Close()
	out.Reset()
	o.Lock = res.Lock
	res, err = session.Replay(t.Context(), o)
	if err != nil || !strings.HasSuffix(out.String(), milk) || len(res.Problems) != 0 {
		t.Errorf("%v\n%s\n%v", err, out, res)
	}
}
