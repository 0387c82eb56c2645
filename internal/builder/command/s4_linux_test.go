package command

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/builder"
	"overland/internal/confine/cell"
	"overland/internal/errs"
	"overland/internal/procfs"
)

// victim is what lies beside a build: keys and metadata of the site, a home with logins, a socket.
func victim(t *testing.T) (b *bench, dir string) {
	t.Helper()
	b = newBench(t)
	dir = filepath.Dir(b.src)
	for name, text := range map[string]string{
		"keys/root.key": "PRIVATE", "trust/1.root.json": "{}", "home/.npmrc": "PRIVATE", "home/.cargo/credentials.toml": "PRIVATE", "home/.wgetrc": "password = PRIVATE",
		"home/.cargo/config.toml": "[env]\nA = 'PRIVATE'\n[registries.x]\ntoken = 'PRIVATE'\nindex = 'sparse+https://x.invalid/'\n",
		"home/.cargo/bin/tool":    "#!/bin/sh\necho tool runs\n", "home/bin-less/.env": "PRIVATE", "home/bin-less/other": "#!/bin/sh\necho other runs\n",
	} {
		path := filepath.Join(dir, name)
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(dir, "home")
	t.Setenv("HOME", home)
	t.Setenv("CARGO_HOME", filepath.Join(home, ".cargo"))
	t.Setenv("MY_TOKEN", "PRIVATE")
	b.o.Env = []string{"PATH=" + filepath.Join(home, ".cargo", "bin") + ":" + filepath.Join(home, "bin-less") + ":" + home + ":" + os.Getenv("PATH"), "HOME=" + home}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return b, dir
}

// attacks prints what it reached. The programs beside the logins must work all the same.
const attacks = `mkdir out; exec 2>/dev/null
{
for f in DIR/keys/root.key ../../../keys/root.key ../../../../keys/root.key DIR/home/.npmrc DIR/home/.cargo/credentials.toml DIR/home/bin-less/.env; do
	cat $f && echo "READ $f"
done
cat $CARGO_HOME/credentials.toml $WGETRC; cat $CARGO_HOME/config.toml | grep PRIVATE
for f in DIR/trust/x DIR/depot/x /usr/bin/x /etc/x; do echo x > $f && echo "WROTE $f"; done
echo x > DIR/x; echo x > ../../x; echo x > ../../../x # may be a folder of its own
cat /etc/shadow && echo READ shadow
for p in /proc/[0-9]*; do tr '\0' '\n' < $p/environ | grep ^MY_TOKEN; done
cp /usr/bin/id set && chmod 755 set && mkdir -m 755 new || echo NO CHMOD
chmod 4755 set && echo SETUID; chmod g+s set && echo SETGID
perl -e 'use Fcntl; exit !sysopen(F, "made", O_CREAT|O_WRONLY, 04755)' && test -u made && echo SETUID by open
kill -0 PID && echo REACHED PID
test -e /proc/PID && echo SEES PID
nsenter --net=/proc/PID/ns/net true && echo ENTERED
curl -s -m 2 --unix-socket DIR/socket http://x/ ; test $? = 28 && echo REACHED the socket
ls /run/* /var/run/docker.sock && echo SEES /run
unshare --user true && echo NAMESPACE
grep -E 'CapEff:.*[1-9a-f]|NoNewPrivs:.*0|Seccomp:.*0' /proc/self/status
tail -n +3 /proc/net/dev | grep -v lo:
id -u; tool; other
} > out/app || true
setsid sleep 987654 < /dev/null > /dev/null 2>&1 &`

// withoutWget drops the lines that a cell's own settings of wget have.
func withoutWget(s string) string {
	return regexp.MustCompile(`(?m)^(use_proxy|https?_proxy|no_proxy|ca_certificate) = .*\n`).ReplaceAllString(s, "")
}

func TestS4ABuildSeesItsInputsAndNothingElse(t *testing.T) {
	b, dir := victim(t)
	script := strings.NewReplacer("DIR", dir, "PID", fmt.Sprint(os.Getpid())).Replace(attacks)
	const want = "1000\ntool runs\nother runs\n"
	got, _, err := b.run(script)
	if err != nil || strings.TrimLeft(withoutWget(got), "\n") != want {
		t.Errorf("%v\n%s", err, got)
	}
	for _, name := range []string{"x", "trust/x", "depot/x"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	_ = procfs.Each(func(p procfs.Process) {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID)); string(line) == "sleep\x00987654\x00" && !p.Dead() {
			t.Errorf("process %d outlived its build", p.PID)
			p.Signal(syscall.SIGKILL)
		}
	})
	// The attempts succeed where nothing confines: the test can fail.
	b.o.Isolation = cell.None
	script = strings.NewReplacer("DIR", dir, "PID", fmt.Sprint(os.Getpid())).Replace(attacks[:strings.Index(attacks, "setsid")])
	got, _, err = b.run(script)
	for _, said := range []string{"READ " + dir + "/keys/root.key", "WROTE " + dir + "/trust/x", "READ " + dir + "/home/.npmrc", "SEES ", "SETUID", "SETGID", "SETUID by open", "REACHED the socket"} {
		if err != nil || !strings.Contains(got, said) {
			t.Errorf("without isolation no %q: %v\n%s", said, err, got)
		}
	}
}

// What confines a build is what the kernel says: a Makefile around it can set variables, and a release
// would record a cell that there was not.
func TestS4AnEnvironmentIsNoCell(t *testing.T) {
	b, dir := victim(t)
	b.o.Env = append(b.o.Env, "OVERLAND_SESSION=replay", "OVERLAND_SESSION_ISOLATION=full", "OVERLAND_SESSION_SET=OVERLAND_SESSION")
	got, _, err := b.run(`mkdir out; { id -u; cat ` + dir + `/keys/root.key; } >out/app 2>/dev/null || true`)
	if err != nil || got != "1000\n" {
		t.Errorf("%v\n%s", err, got)
	}
	b.o.Isolation = cell.None
	if r, err := New(b.o).Recipe(t.Context(), b.job("true")); err != nil || r.Isolation != cell.None {
		t.Errorf("recorded as %q, %v", r.Isolation, err)
	}
}

// In a recording, the tools around a confined command run programs from the session's folder: the Go
// toolchain, apk. The command must neither change them nor read the logins beside them.
func TestS4ARecordingsFolderIsNotTheCommands(t *testing.T) {
	b, dir := victim(t)
	folder := filepath.Join(dir, "session")
	for name, text := range map[string]string{"ca.pem": "CA", "wgetrc": "PRIVATE", "cargo/credentials.toml": "PRIVATE", "go/pkg/mod/tool/bin/go": "genuine", "bin/apk": "genuine"} {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	b.o.Env = append(b.o.Env, "OVERLAND_SESSION=record", "OVERLAND_SESSION_DIR="+folder, "CARGO_HOME="+folder+"/cargo", "WGETRC="+folder+"/wgetrc",
		"OVERLAND_SESSION_SET=OVERLAND_SESSION OVERLAND_SESSION_DIR CARGO_HOME WGETRC")
	got, _, err := b.run(`mkdir -p out $OVERLAND_SESSION_DIR/go/pkg/mod/tool/bin
		{ cat $OVERLAND_SESSION_DIR/ca.pem; cat $CARGO_HOME/credentials.toml $WGETRC $OVERLAND_SESSION_DIR/bin/apk 2>/dev/null || true; } > out/app
		for f in bin/apk bin/git go/pkg/mod/tool/bin/go; do echo evil > $OVERLAND_SESSION_DIR/$f; done`)
	if err != nil || withoutWget(got) != "CA\ngenuine" || !strings.Contains(got, "ca_certificate = "+folder+"/ca.pem\n") {
		t.Errorf("%v %q", err, got)
	}
	for name, want := range map[string]string{"bin/apk": "genuine", "go/pkg/mod/tool/bin/go": "genuine", "bin/git": ""} {
		if got, _ := os.ReadFile(filepath.Join(folder, name)); string(got) != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// The same, for a person without rights.
func TestS4AsAnOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run it as root: it becomes another user")
	}
	dir := t.TempDir()
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^(TestS4ABuild.*|TestLimits)$/^(time|a_log|a_full_disk)?$", "-test.v")
	cmd.Env, cmd.Dir = append(os.Environ(), "TMPDIR="+dir), dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestS4ABuild") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits       Limits
		script, says string
	}{
		"an endless fork": {Limits{Processes: 60}, "while :; do sleep 1000 & done", "the limit of 60 for processes was reached"},
		"a full disk":     {Limits{Disk: 32 << 20}, "dd if=/dev/zero of=big bs=1M count=4000", "the limit of 32 MiB for disk was reached"},
		"in every folder": {Limits{Disk: 32 << 20}, "for dir in . $HOME $TMPDIR /tmp $GOCACHE; do head -c 9M /dev/zero >$dir/big; done; sleep 1000", "the limit of 32 MiB for disk was reached"},
		"memory":          {Limits{Memory: 64 << 20}, "head -c 300M /dev/zero | tail -c 250M | wc -c; exit 1", "the limit of 64 MiB for memory was reached"},
		"time":            {Limits{Time: 300_000_000}, "sleep 1000", "the limit of 300ms for time was reached"},
		"a log":           {Limits{}, "yes", "the limit of 1 MiB for output was reached"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.o.MaxLog, b.limits = 1<<20, c.limits
			start := time.Now()
			_, _, err := b.run(c.script)
			if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.says) || errs.HintOf(err) == "" || time.Since(start) > time.Minute {
				t.Errorf("%v, hint %q, after %v", err, errs.HintOf(err), time.Since(start))
			}
		})
	}
}

// A result that was made without isolation is not taken for one that was.
func TestIsolationIsPartOfTheRecipe(t *testing.T) {
	recipe := func(i cell.Isolation) builder.Recipe {
		b := newBench(t)
		b.o.Isolation = i
		r, err := New(b.o).Recipe(t.Context(), b.job("true"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if full, none := recipe(""), recipe(cell.None); full.Isolation != cell.Full || none.Isolation != cell.None {
		t.Errorf("%q and %q", full.Isolation, none.Isolation)
	}
}
