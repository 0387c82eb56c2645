package runtime_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/runtime"
)

var vars = map[string]string{"Release.Version": "r412.abc", "Volumes.data": "/d/{{.Release.Version}}"}

func TestExpand(t *testing.T) {
	tests := []struct{ in, want, err string }{
		{"", "", ""},
		{"plain } {", "plain } {", ""},
		{"{{.Release.Version}}", "r412.abc", ""},
		{"a {{ .Release.Version }}b{{.Release.Version}}", "a r412.abcbr412.abc", ""},
		{"{{.Volumes.data}}", "/d/{{.Release.Version}}", ""}, // not again
		{"{{.Volumes.dat}}", "", "known: {{.Release.Version}} {{.Volumes.data}}"},
		{"{{Release.Version}}", "", "unknown"},
		{"{{}}", "", "unknown"},
		{`{{"{{"}}.Names}}`, "{{.Names}}", ""},
		{`{{ "{{" }}{{.Release.Version}}`, "{{r412.abc", ""},
		{`{{"{"}}`, "", `{{"{{"}} for the braces`},
		{"{{.Release.Version}", "", "without"},
		{"{{.Release.Version | printf}}", "", "unknown"},
	}
	for _, test := range tests {
		got, err := runtime.Expand(test.in, vars)
		if got != test.want || (err == nil) != (test.err == "") {
			t.Errorf("%q: got %q, %v", test.in, got, err)
		}
		if err != nil && (errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q: error %v, want %s", test.in, err, test.err)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		got, err := runtime.Expand(s, vars)
		if err == nil && !strings.Contains(s, "{{") && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestArgumentsAndEnviron(t *testing.T) {
	s := appfile.Service{Args: []string{"--v", "{{.Release.Version}}"}, Env: map[string]string{"B": "{{.Release.Version}}", "A": "1"}}
	args, err := runtime.Arguments(s, vars)
	if err != nil || !slices.Equal(args, []string{"--v", "r412.abc"}) {
		t.Errorf("args %q, %v", args, err)
	}
	env, err := runtime.Environ(s, vars)
	if err != nil || !slices.Equal(env, []string{"A=1", "B=r412.abc"}) {
		t.Errorf("env %q, %v", env, err)
	}
	s = appfile.Service{Args: []string{"{{.X}}"}, Env: map[string]string{"A": "{{.X}}"}}
	if _, err := runtime.Arguments(s, vars); err == nil || !strings.HasPrefix(err.Error(), "args[0]: ") {
		t.Errorf("got %v", err)
	}
	if _, err := runtime.Environ(s, vars); err == nil || !strings.HasPrefix(err.Error(), "env A: ") {
		t.Errorf("got %v", err)
	}
}

func TestLookupUser(t *testing.T) {
	for text, want := range map[string][2]uint32{
		"": {uint32(os.Geteuid()), uint32(os.Getegid())}, "root": {0, 0}, "nobody": {65534, 65534},
		"4242": {4242, 4242}, "4242:7": {4242, 7}, "nobody:7": {65534, 7},
	} {
		if u, err := runtime.LookupUser(text); err != nil || u.UID != want[0] || u.GID != want[1] {
			t.Errorf("%q: got %+v, %v", text, u, err)
		}
	}
	for text, want := range map[string]errs.Kind{"nosuchuser": errs.NotFound, "-1": errs.NotFound, "4294967296": errs.NotFound, "1:x": errs.Invalid, "1:": errs.Invalid} {
		if u, err := runtime.LookupUser(text); errs.KindOf(err) != want || err == nil {
			t.Errorf("%q: got %+v, %v", text, u, err)
		}
	}
}

// A hand-over that broke off is made up for, also when the release is rolled back.
func TestDataThatWasHandedOverInPart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	i := runtime.Instance{User: "1234", Data: map[string]string{"data": data}}
	owned := func(user uint32) {
		t.Helper()
		for _, path := range []string{data, filepath.Join(data, "a"), filepath.Join(data, "z")} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if st := info.Sys().(*syscall.Stat_t); st.Uid != user || st.Gid != user {
				t.Errorf("%s is %d:%d's, want %d", path, st.Uid, st.Gid, user)
			}
		}
	}
	if err := runtime.MakeData(fsx.FS{}, i); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "m", "z"} {
		appendTo(t, filepath.Join(data, name), "kept")
		if err := os.Chown(filepath.Join(data, name), 1234, 1234); err != nil {
			t.Fatal(err)
		}
	}
	// In the middle of it the disk refuses: a file that is mounted read-only.
	stuck := filepath.Join(data, "m")
	for _, flags := range []uintptr{syscall.MS_BIND, syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY} {
		if err := syscall.Mount(stuck, stuck, "", flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	other := i
	other.User = "4321"
	err := runtime.MakeData(fsx.FS{}, other)
	if uerr := syscall.Unmount(stuck, 0); uerr != nil {
		t.Fatal(uerr)
	}
	if err == nil {
		t.Fatal("nothing was in the way")
	}
	if err := runtime.MakeData(fsx.FS{}, i); err != nil { // the release before runs again
		t.Fatal(err)
	}
	owned(1234)
	if err := runtime.MakeData(fsx.FS{}, other); err != nil {
		t.Fatal(err)
	}
	owned(4321)
}

func TestMakeData(t *testing.T) {
	root := filepath.Join(t.TempDir(), "volumes", "wallet")
	s := runtime.Instance{User: "1234:77", Data: map[string]string{"data": filepath.Join(root, "data"), "wallet": filepath.Join(root, "wallet")}}
	for range 2 { // the second time changes nothing
		if err := runtime.MakeData(fsx.FS{}, s); err != nil {
			t.Fatal(err)
		}
	}
	inside := filepath.Join(root, "data", "file")
	appendTo(t, inside, "kept")
	if err := os.Chmod(filepath.Join(root, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.User = "99"
	if err := runtime.MakeData(fsx.FS{}, s); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		mode     os.FileMode
		uid, gid uint32
	}{"data": {0o700, 99, 99}, "wallet": {0o750, 99, 99}} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm() != want.mode || st.Uid != want.uid || st.Gid != want.gid {
			t.Errorf("%s: %v %d:%d", name, info.Mode(), st.Uid, st.Gid)
		}
	}
	if b, err := os.ReadFile(inside); err != nil || string(b) != "kept" {
		t.Errorf("content: %q, %v", b, err)
	}
}

// An upgrade from a release that ran as root, whose folder holds what could lead outside.
func TestS17DataOfARootServiceIsHandedOver(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	if err := os.MkdirAll(filepath.Join(outside, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	appendTo(t, filepath.Join(outside, "precious"), "x")
	data := filepath.Join(dir, "volumes", "wallet", "data")
	if err := os.MkdirAll(filepath.Join(data, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	appendTo(t, filepath.Join(data, "a", "b", "file"), "kept")
	for link, to := range map[string]string{"folder": outside, "file": filepath.Join(outside, "precious"), "a/up": "../.."} {
		if err := os.Symlink(to, filepath.Join(data, link)); err != nil {
			t.Fatal(err)
		}
	}
	// The service before was user 77, who linked a file of root's.
	if err := os.Link(filepath.Join(outside, "precious"), filepath.Join(data, "hard")); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(data, 77, 77); err != nil {
		t.Fatal(err)
	}
	if err := runtime.MakeData(fsx.FS{}, runtime.Instance{User: "99", Data: map[string]string{"data": data}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]uint32{
		data: 99, data + "/a": 99, data + "/a/b": 99, data + "/a/b/file": 99, data + "/folder": 99, data + "/file": 99,
		outside: 0, outside + "/sub": 0, outside + "/precious": 0, data + "/hard": 0, filepath.Dir(data): 0,
	} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != want {
			t.Errorf("%s belongs to %d, want %d", path, st.Uid, want)
		}
	}
}

// A service that nests folders without end does not keep its node at handing them over for hours: it would look for each
// through all above it.
func TestDataThatIsNestedWithoutEnd(t *testing.T) {
	for levels, want := range map[int]errs.Kind{250: errs.Internal, 300: errs.Invalid} {
		data := filepath.Join(t.TempDir(), "data")
		deep := filepath.Join(data, strings.Repeat("a/", levels))
		if err := os.MkdirAll(deep, 0o755); err != nil {
			t.Fatal(err)
		}
		err := runtime.MakeData(fsx.FS{}, runtime.Instance{User: "99", Data: map[string]string{"data": data}})
		if want == errs.Internal && err == nil {
			info, serr := os.Stat(deep)
			if serr != nil {
				t.Fatal(serr)
			}
			if st := info.Sys().(*syscall.Stat_t); st.Uid != 99 {
				t.Errorf("%d levels: the last is %d's", levels, st.Uid)
			}
			continue
		}
		if errs.KindOf(err) != want {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
}

func TestMakeDataRefuses(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink("/etc", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "a/b", "../x", "link"} {
		if err := runtime.MakeData(fsx.FS{}, runtime.Instance{Data: map[string]string{name: filepath.Join(root, name)}}); err == nil {
			t.Errorf("data folder %q was made", name)
		}
	}
	link := filepath.Join(root, "link")
	if err := runtime.MakeData(fsx.FS{}, runtime.Instance{Data: map[string]string{"link": link}}); errs.HintOf(err) != "for data elsewhere: mount --bind DIR "+link {
		t.Errorf("%v · %s", err, errs.HintOf(err))
	}
	if err := runtime.MakeData(fsx.FS{}, runtime.Instance{User: "nosuchuser"}); err != nil {
		t.Errorf("no data: %v", err)
	}
}

func TestInstanceDigest(t *testing.T) {
	a := runtime.Instance{Name: "x", Program: "/gen/1/bin", Blob: "sha256:aa", Args: []string{"a", "b"}, Log: "l"}
	same := a
	same.Program, same.Log, same.Name = "/gen/2/bin", "m", "y"
	if a.Digest() != same.Digest() {
		t.Error("a move is no change")
	}
	other := a
	other.Args = []string{"a b"}
	moved := runtime.Instance{Program: "/gen/2/bin"}
	if a.Digest() == other.Digest() || moved.Digest() == (runtime.Instance{Program: "/gen/1/bin"}).Digest() {
		t.Error("a change goes unseen")
	}
}

// Nodes compare it with what an earlier agent wrote: a change restarts every service of every node.
func TestInstanceDigestStaysAsItWas(t *testing.T) {
	i := runtime.Instance{Blob: "sha256:aa", Args: []string{"--data", "/d"}, Env: []string{"A=1"}, Dir: "/d", User: "nobody"}
	const want = "sha256:2afeb2403cf19a064e0a438e253beffd89b3dd8baad41e51ce078549e31f3b7c"
	if got := i.Digest(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	i.Spec.Runtime = "process"
	if got := i.Digest(); got != want {
		t.Errorf("with the runtime's name: got %s, want %s", got, want)
	}
	i.Spec.Runtime = "container"
	if i.Digest() == want {
		t.Error("another runtime goes unseen")
	}
}

// A file of the release is one and the same in every generation, until its content changes.
func TestFilesOfAService(t *testing.T) {
	set := runtime.Set{"process": &fakeRuntime{}}
	instance := func(gen, blob string, args ...string) (runtime.Instance, error) {
		s := runtime.Service{
			App: "wallet", Name: "node", Home: "/n/volumes/wallet",
			Artifacts: map[string]runtime.Artifact{
				"node": {"/n/gen/" + gen + "/bin/wallet/node", "sha256:aa"}, "conf": {"/n/gen/" + gen + "/bin/wallet/app.ini", digest.Digest(blob)},
			},
			Spec: appfile.Service{Artifact: "node", Args: args, Env: map[string]string{"C": "{{.Files.conf}}"}, Files: map[string]string{"conf": "deploy/app.ini"}},
		}
		rt, err := set.For(s.Spec)
		if err != nil {
			t.Fatal(err)
		}
		return s.Instance(rt)
	}
	a, err := instance("1", "sha256:bb", "--config={{.Files.conf}}")
	if err != nil || a.Args[0] != "--config=/n/gen/1/bin/wallet/app.ini" || a.Env[0] != "C=/n/gen/1/bin/wallet/app.ini" {
		t.Errorf("%q %q, %v", a.Args, a.Env, err)
	}
	if got, err := a.Expand("{{.Files.conf}}"); err != nil || got != "/n/gen/1/bin/wallet/app.ini" {
		t.Errorf("a check names %q, %v", got, err)
	}
	if b, _ := instance("2", "sha256:bb", "--config={{.Files.conf}}"); a.Digest() != b.Digest() {
		t.Error("a move is no change")
	}
	if b, _ := instance("1", "sha256:cc", "--config={{.Files.conf}}"); a.Digest() == b.Digest() {
		t.Error("a change of the file goes unseen")
	}
	if b, _ := instance("1", "sha256:bb", "{{.Files.conf}}"); a.Digest() == b.Digest() {
		t.Error("a change of an argument goes unseen")
	}
	if _, err := instance("1", "sha256:bb", "{{.Files.other}}"); err == nil {
		t.Error("a file that the service does not have was expanded")
	}
}

func TestServiceInstance(t *testing.T) {
	set := runtime.Set{"process": &fakeRuntime{}, "boxed": boxed{}}
	s := runtime.Service{
		App: "wallet", Version: "r1.a", Commit: "abc", Name: "node", Home: "/n/volumes/wallet",
		Artifacts: map[string]runtime.Artifact{"node": {"/n/gen/1/bin/wallet/node", "sha256:aa"}, "tool": {"/n/gen/1/bin/wallet/tool", "sha256:bb"}},
		Spec: appfile.Service{
			Artifact: "node", Args: []string{"{{.Volumes.data}}"}, Env: map[string]string{"V": "{{.Release.Version}}"},
			Data: map[string]string{"data": "/data"},
		},
	}
	for word, where := range map[string]string{"": "/n/volumes/wallet/data", "process": "/n/volumes/wallet/data", "boxed": "/data"} {
		s.Spec.Runtime = word
		rt, err := set.For(s.Spec)
		if err != nil {
			t.Fatal(err)
		}
		i, err := s.Instance(rt)
		if err != nil {
			t.Fatal(err)
		}
		if i.Name != "wallet.node" || i.Program != "/n/gen/1/bin/wallet/node" || i.Blob != "sha256:aa" || i.Programs["tool"] == "" ||
			!slices.Equal(i.Args, []string{where}) || !slices.Equal(i.Env, []string{"V=r1.a"}) || i.Data["data"] != "/n/volumes/wallet/data" {
			t.Errorf("%q: %+v", word, i)
		}
	}
	s.Spec.Runtime = "unikernel"
	_, err := set.For(s.Spec)
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(err.Error(), `no runtime "unikernel"; it has: boxed, process`) || errs.HintOf(err) == "" {
		t.Errorf("an unknown runtime: %v", err)
	}
	s.Spec.Args = []string{"{{.Volumes.wallet}}"}
	if _, err := s.Instance(boxed{}); err == nil {
		t.Error("a data folder that the service does not have was expanded")
	}
}

// boxed is a runtime whose services see their data elsewhere.
type boxed struct{ runtime.Runtime }

func (boxed) DataPath(i runtime.Instance, name string) string { return i.Spec.Data[name] }
