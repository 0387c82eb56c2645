package session_test

import (
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/session"
)

// repositories makes bare repositories in a new folder with script, and serves them with git's own
// program.
func repositories(t *testing.T, script string) http.Handler {
	t.Helper()
	root := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@a.invalid", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@a.invalid")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	at, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	return &cgi.Handler{Path: strings.TrimSpace(string(at)) + "/git-http-backend", Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}}
}

// git fetches submodules, little of a history and more of it later, and blobs when it needs them, as
// without us, and another git replays it. Proxies and authorities that the project's own repository
// names are overridden.
func TestGitAsItIs(t *testing.T) {
	srv := serve(t, repositories(t, `git init -q -b main milk; (cd milk; echo milk >file; git add file; git commit -q -m milk); git clone -q --bare milk milk.git
		git init -q -b main tea; cd tea; for i in $(seq 5); do echo $i >file; git add file; git commit -q -m $i; done
		git -c protocol.file.allow=always submodule --quiet add ../milk milk; git config -f .gitmodules submodule.milk.url ../milk.git; git commit -q -a -m milk
		cd ..; git clone -q --bare tea tea.git; git -C tea.git config uploadpack.allowFilter true`))
	place := t.TempDir()
	project := filepath.Join(place, "project")
	files(t, project, map[string]string{
		".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", ".git/refs/x": "", ".git/modules/m/config": "[http \"https://git.invalid/\"]\n\tsslCAInfo = /none\n",
		".git/config": "[core]\n\trepositoryformatversion = 0\n[remote \"origin\"]\n\turl = https://git.invalid/tea.git\n\tproxy = http://127.0.0.1:9\n" +
			"[http \"https://git.invalid/\"]\n\tproxy = http://127.0.0.1:9\n\tsslCAInfo = /none\n",
	})
	const at = "https://git.invalid/tea.git"
	o, out := newOptions(t, `set -e; cd `+place+`; rm -rf copy shallow partial; count() { git -C shallow rev-list --count HEAD; }
		git -C project ls-remote -q origin main | cut -f2
		git clone -q --recurse-submodules `+at+` copy; cat copy/milk/file
		git clone -q --depth 1 `+at+` shallow; count; git -C shallow fetch -q --depth 3; count; git -C shallow fetch -q --unshallow; count
		git clone -q --filter=blob:none `+at+` partial; git -C partial show HEAD~3:file`)
	o.WorkDir, o.Write = project, []string{place}
	o.Upstream.Transport = trusting(t, srv)
	const want = "refs/heads/main\nmilk\n1\n3\n6\n3\n"
	res, err := session.Record(t.Context(), o)
	if err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Fatalf("%v\n%s\n%v", err, out, res)
	}
	srv.Close()
	out.Reset()
	o.Lock = res.Lock
	o.Environ = append(os.Environ(), "GIT_USER_AGENT=git/2.99.0.another", "LANG=de_DE.UTF-8")
	res, err = session.Replay(t.Context(), o)
	if err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Errorf("%v\n%s\n%v", err, out, res)
	}
}
