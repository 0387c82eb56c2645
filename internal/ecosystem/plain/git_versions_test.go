package plain_test

import (
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"overland/internal/ecosystem/plain"
	"overland/internal/record"
)

// One session asks in each protocol of git, and a replay may be another git's: its version is nowhere.
func TestEveryProtocolAndVersionOfGit(t *testing.T) {
	root := t.TempDir()
	setup := exec.CommandContext(t.Context(), "sh", "-ec", `git init -q -b main "$0/r" && cd "$0/r" && for i in $(seq 9); do echo $i > file && git add file &&
		git -c user.name=t -c user.email=t@example.org commit -q -m $i; done; for i in $(seq 40); do git branch "b$i"; done`, root)
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	origin := httptest.NewTLSServer(backend(root))
	defer origin.Close()
	l := newLab(t, origin)
	r := record.NewRecorder(l.store, record.Options{Upstream: l.up})
	defer r.Close()
	at := origin.URL + "/r/.git"
	script := "git ls-remote -q " + at + " main | cut -f2\n"
	for _, version := range []string{"0", "1", "2"} {
		script += "git -c protocol.version=" + version + " clone -q " + at + " copy" + version + " && cat copy" + version + "/file\n" +
			"git -c protocol.version=" + version + " clone -q --depth 2 " + at + " shallow" + version + " && git -C shallow" + version + " rev-list --count HEAD\n"
	}
	want := "refs/heads/main\n" + strings.Repeat("9\n2\n", 3)
	if out, err := l.run(t, r, script); err != nil || out != want {
		t.Fatalf("%v\n%s\n%v", err, out, r.Problems())
	}
	origin.Close()
	lock := r.Lock()
	if list := lock.Variants(plain.Name, at+"/info/refs?service=git-upload-pack"); len(list) != 3 {
		t.Errorf("%v", list)
	}
	for _, as := range []string{"git/2.39.5", "git/2.99.0.another"} {
		replay := record.NewReplayer(l.store, lock)
		out, err := l.run(t, replay, "export GIT_USER_AGENT="+as+" GIT_TRACE2_EVENT= LANG=de_DE.UTF-8\n"+script)
		if err != nil || out != want {
			t.Errorf("%s: %v\n%s\n%v", as, err, out, replay.Misses())
		}
	}
}

func TestPackets(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"0011command=fetch0016agent=git/2.39.5-L0001000dofs-delta0000":     "0011command=fetch0016agent=git/overland0001000dofs-delta0000",
		"0014session-id=17-ab0009done\n":                                   "0009done\n",
		"003bwant 0123 side-band-64k agent=git/2.1 session-id=1 end\n0000": "0033want 0123 side-band-64k agent=git/overland end\n0000",
		"not packets": "not packets", "ffff": "ffff", "0003": "0003", "00": "00", "0009agen": "0009agen",
	} {
		if got := string(plain.FixPackets([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestLFSBatches(t *testing.T) {
	for in, want := range map[string]string{
		`{"transfers":["ssh","basic"],"operation":"download","objects":[{"oid":"b"},{"oid":"a","size":9007199254740993}],"x":null}`: `{"objects":[{"oid":"a","size":9007199254740993},{"oid":"b"}],"operation":"download","transfers":["basic","ssh"],"x":null}`,
		`{"objects":1}`: `{"objects":1}`, "not JSON": "not JSON", "null": "null", "": "",
	} {
		if got := string(plain.FixLFS([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzPackets(f *testing.F) {
	f.Add([]byte("0011command=fetch0016agent=git/2.39.5-L0001000dofs-delta0000"))
	f.Add([]byte("003bwant 0123 side-band-64k agent=git/2.1 session-id=1 end\n0000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		once := plain.FixPackets(b)
		if twice := plain.FixPackets(once); string(twice) != string(once) {
			t.Errorf("%q: %q, then %q", b, once, twice)
		}
	})
}
