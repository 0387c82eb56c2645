package cell_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/errs"
)

// A command has the limits that were asked for, makes no set-user-ID file, and of a variable that is set
// twice the last value.
func TestWhatACommandMayUse(t *testing.T) {
	most := confine.Limits{Memory: 1, Processes: 2, Disk: 3, Time: 4}
	s, err := cell.Spec(cell.Options{
		Command: []string{"true", "-x"}, Environ: []string{"A=1", "B=x", "A=2"}, Dir: "/usr", Limits: most, Grace: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Limits != most || !s.NoSetID || s.Grace != time.Second || s.Dir != "/usr" || s.Path != "true" || !slices.Equal(s.Args, []string{"true", "-x"}) {
		t.Errorf("%+v", s)
	}
	if want := []string{"A=2", "B=x"}; !slices.Equal(s.Env, want) {
		t.Errorf("environment %q, want %q", s.Env, want)
	}
	if s.Network != confine.NetworkNone || s.Filter != confine.FilterDefault || s.Privileged || s.Bare || len(s.Caps) > 0 || s.Listen != "" {
		t.Errorf("%+v", s)
	}
	if _, err := cell.Spec(cell.Options{}); err == nil {
		t.Error("no command is taken")
	}
}

// What listens does so on loopback, and the folders are the command's before it runs.
func TestACommandWithAListener(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run it as root: it gives files away")
	}
	own := t.TempDir()
	o := cell.Options{
		Command: []string{"true"}, Environ: []string{"A=1", "B=1"}, Own: []string{own},
		Listen: func(net.Listener) ([]string, error) { return []string{"A=2"}, nil },
	}
	s, err := cell.Spec(o)
	if err != nil || s.Listen != "127.0.0.1:0" {
		t.Fatalf("it listens on %q, %v", s.Listen, err)
	}
	env, err := s.Prepare(nil)
	if want := []string{"A=2", "B=1"}; err != nil || !slices.Equal(env, want) {
		t.Errorf("environment %q, %v, want %q", env, err, want)
	}
	if uid := owned(t, own); uid != cell.User {
		t.Errorf("its folder is of user %d", uid)
	}
	gone := errors.New("gone")
	o.ListenAt, o.Listen = "127.0.0.1:1", func(net.Listener) ([]string, error) { return nil, gone }
	if s, err = cell.Spec(o); err != nil || s.Listen != "127.0.0.1:1" {
		t.Fatalf("it listens on %q, %v", s.Listen, err)
	}
	if _, err := s.Prepare(nil); !errors.Is(err, gone) {
		t.Errorf("a listener that is not taken: %v", err)
	}
}

// Folders that cannot be given to the command's user keep it from running.
func TestAFolderThatCannotBeGiven(t *testing.T) {
	if _, err := cell.Spec(cell.Options{Command: []string{"true"}, Own: []string{filepath.Join(t.TempDir(), "none")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// A folder that shows at a second path may be written there, as may its own /tmp; and of /etc a command
// sees what was made for it: no names but its own, no name servers of the machine.
func TestOwnFoldersAndFiles(t *testing.T) {
	own := t.TempDir()
	tmp, second := filepath.Join(own, "tmp"), filepath.Join(own, "second")
	if err := errors.Join(os.Mkdir(tmp, 0o755), os.Mkdir(second, 0o755)); err != nil {
		t.Fatal(err)
	}
	at := mounts(t, cell.Options{Own: []string{own}, Tmp: tmp, At: map[string]string{"/srv/shown": second}})
	for target, source := range map[string]string{"/tmp": tmp, "/srv/shown": second, own: own} {
		if m := at[target]; m.Kind != confine.Bind || m.Source != source || !m.Writable {
			t.Errorf("%s: %+v", target, m)
		}
	}
	for name, want := range map[string]string{"passwd": "build:x:1000:1000:", "group": "build:x:1000:", "hosts": "127.0.0.1 localhost", "resolv.conf": "nameserver 127.0.0.1\n", "nsswitch.conf": "hosts: files"} {
		if m := at["/etc/"+name]; m.Kind != confine.File || !strings.Contains(string(m.Content), want) {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// A command sees what of /etc the programs of /usr cannot do without, and none of what may hold secrets.
func TestWhatOfEtcIsShown(t *testing.T) {
	dir := inTemp(t)
	shown := []string{
		"java-17-openjdk/security/java.security", "java-21-openjdk/net.properties", "maven/m2.conf", "maven/logging/simplelogger.properties", "xml/catalog",
		"ImageMagick-6/policy.xml", "pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "lsb-release", "mke2fs.conf",
	}
	secret := []string{
		"maven/settings.xml", "maven/settings-security.xml", "shadow", "ssh/ssh_host_ed25519_key", "ssl/private/key.pem", "npmrc", "pip.conf", "gitconfig",
		"wgetrc", "environment", "profile.d/proxy.sh", "apt/auth.conf", "overland/sign.key", "pki/tls/private/key.pem", "fstab", "hostname", "machine-id",
	}
	for _, name := range slices.Concat(shown, secret) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	list := cell.EtcMounts(dir)
	sees := func(path string) (yes bool) {
		for _, m := range list { // the last one that holds it counts
			if rel, err := filepath.Rel(m.Target, path); err == nil && filepath.IsLocal(rel) {
				yes = m.Kind != confine.Temp
			}
		}
		return yes
	}
	for _, name := range shown {
		if !sees(filepath.Join(dir, name)) {
			t.Errorf("%s is not shown", name)
		}
	}
	for _, name := range secret {
		if sees(filepath.Join(dir, name)) {
			t.Errorf("%s is shown", name)
		}
	}
	for _, m := range list {
		if m.Writable || m.Kind == confine.Temp && m.Size == 0 {
			t.Errorf("%+v", m)
		}
	}
	at := mounts(t, cell.Options{})
	for _, name := range []string{"shadow", "ssh", "npmrc", "pip.conf", "gitconfig", "ssl", "ssl/private", "maven/settings.xml"} {
		if m, ok := at["/etc/"+name]; ok {
			t.Errorf("/etc/%s: %+v", name, m)
		}
	}
}

// What a machine cannot confine is refused, with what to do about it; other errors are as they were.
func TestAMachineThatCannotConfine(t *testing.T) {
	unable := &confine.UnableError{What: "namespaces", Remedy: "load them", Err: errors.New("no")}
	if err := cell.Explain(unable); errs.KindOf(err) != errs.Denied || !strings.Contains(errs.HintOf(err), "load them; or --isolation none") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
	if err := cell.Explain(os.ErrNotExist); !errors.Is(err, os.ErrNotExist) || errs.HintOf(err) != "" {
		t.Errorf("%v", err)
	}
}
