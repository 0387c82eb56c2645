package flat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/errs"
)

func TestUsersOfAnImage(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "root")
	for name, text := range map[string]string{
		"secret":         "out:x:5:5::/:/bin/sh\n",
		"root/etc/real":  "root:x:0:0:root:/root:/bin/sh\n# old:x:9:9::/:\nwallet:x:1001:1002:W:/data:/bin/sh\nwallet:x:0:0::/:/bin/sh\nbad:x:no:0::/:\nnobody:x:4294967295:0::/:\nbare:x:7:8:::\n",
		"root/etc/group": "root:x:0:\nwallet:x:1002:\naudio:x:29:pulse,wallet\nvideo:x:44:wallet\nhigh:x:4294967295:wallet\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	passwd := filepath.Join(at, "etc/passwd")
	link := func(to string) {
		t.Helper()
		_ = os.Remove(passwd)
		if err := os.Symlink(to, passwd); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	link("/etc/real") // of the image, not of the machine
	for text, want := range map[string]User{
		"":            {Home: "/root"},
		"root":        {Home: "/root"},
		"wallet":      {1001, 1002, []int{29, 44}, "/data"},
		"1001":        {1001, 1002, []int{29, 44}, "/data"},
		"wallet:44":   {1001, 44, nil, "/data"},
		"1001:audio":  {1001, 29, nil, "/data"},
		"65532":       {ID: 65532, Home: "/"},
		"65532:65532": {ID: 65532, Group: 65532, Home: "/"},
		"bare":        {ID: 7, Group: 8, Home: "/"},
	} {
		if got, err := LookupUser(root, text); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%q: %v, %s", text, err, cmp.Diff(want, got))
		}
	}
	for _, text := range []string{"old", "bad", "nobody", "out", "-1", "4294967295", "wallet:", "wallet:none", "wallet:4294967295", "wallet:high"} {
		if got, err := LookupUser(root, text); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for to, kind := range map[string]errs.Kind{"../../secret": errs.NotFound, "passwd": errs.Untrusted, "/": errs.Untrusted} {
		link(to)
		if got, err := LookupUser(root, "out"); errs.KindOf(err) != kind {
			t.Errorf("passwd -> %s: %+v, %v", to, got, err)
		}
	}
	link("real")
	if err := os.WriteFile(filepath.Join(at, "etc/real"), []byte(strings.Repeat("#", usersMost+1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LookupUser(root, "0"); errs.KindOf(err) != errs.Untrusted {
		t.Error(err)
	}
}
