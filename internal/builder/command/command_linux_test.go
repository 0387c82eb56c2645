package command

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/confine"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/platform/sysinfo"
	"overland/internal/session"
	"overland/internal/source"
	storedir "overland/internal/store/dir"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main()
	}
	if len(os.Args) > 1 && os.Args[1] == session.Verb { // a replay starts its own program
		fmt.Fprintln(os.Stderr, session.Inside(context.Background(), os.Args[3:]))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

var committed = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bench is a checkout and what a builder needs.
type bench struct {
	*testing.T
	src, scratch string
	o            Options
	depot        *storedir.Store
	lock         string // of the commit; "" = none
	tree         string
	limits       Limits
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, src: filepath.Join(dir, "src"), lock: lockfile.Name + " 1\n", tree: "abc", depot: depot}
	b.o = Options{
		Store: depot, Sessions: filepath.Join(dir, "sessions"), Caches: filepath.Join(dir, "caches"),
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere", "MINE=1", "GOOS=plan9"},
	}
	if err := os.MkdirAll(filepath.Join(b.src, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.src, "word"), []byte("tea\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../word", filepath.Join(b.src, "folder", "link")); err != nil {
		t.Fatal(err)
	}
	return b
}

// job is the artifact that the shell script makes.
func (b *bench) job(script string) builder.Job {
	return builder.Job{
		Name: "app", Platform: "linux/arm/v6", Commit: source.Commit{Tree: b.tree, Time: committed, Version: "r1.abc"},
		Artifact: appfile.Artifact{Builder: Key, Settings: &Command{Run: []string{"sh", "-euc", script}, Output: "out/app", Limits: b.limits}},
		ReadFile: func(_ context.Context, name string) ([]byte, error) {
			if name != lockfile.Name || b.lock == "" {
				return nil, fs.ErrNotExist
			}
			return []byte(b.lock), nil
		},
		Progress: func(builder.Step, string) {},
	}
}

// run builds with the shell script and returns the result's content.
func (b *bench) run(script string) (string, builder.Output, error) {
	b.Helper()
	b.scratch = b.TempDir()
	command, j := New(b.o), b.job(script)
	recipe, err := command.Recipe(b.Context(), j)
	if err != nil {
		return "", builder.Output{}, err
	}
	out, err := command.Build(b.Context(), j, recipe, b.src, b.scratch)
	if err != nil {
		return "", out, err
	}
	content, err := os.ReadFile(out.File)
	if err != nil {
		b.Fatal(err)
	}
	return string(content), out, nil
}

// go run makes a generator for the target, which does not run here.
func TestAGeneratorForTheTarget(t *testing.T) {
	_, _, err := newBench(t).run("echo 'fork/exec /tmp/go-build1/gen: exec format error' >&2; exit 1")
	if !strings.Contains(errs.HintOf(err), "env -u GOOS") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}

func TestACommandHasAPlaceAndAnEnvironmentOfItsOwn(t *testing.T) {
	const script = `mkdir out; rm folder/link
		echo "$OVERLAND_PLATFORM $OVERLAND_GOOS-$OVERLAND_GOARCH-$OVERLAND_GOARM $GOOS $GOARCH $GOARM $SOURCE_DATE_EPOCH $OVERLAND_VERSION $TZ $LC_ALL $(umask) ${MINE-none} $OVERLAND_SESSION" > out/app
		test -w word; test "$PWD" = "$(pwd)"; test -d "$HOME"; test -d "$TMPDIR"; cp "$HOME/.config/go/telemetry/mode" "$TMPDIR"
		stat -c '%n %a %Y' . word >> out/app; chmod +x out/app; echo changed > word`
	want := "linux/arm/v6 linux-arm-6 linux arm 6 1772366400 r1.abc UTC C 0022 none %s\n. 755 1772366400\nword 644 1772366400\n"
	for _, kind := range []string{session.Recording, session.Replaying} {
		t.Run(kind, func(t *testing.T) {
			b := newBench(t)
			if kind == session.Recording {
				b.o.Env = append(b.o.Env, "OVERLAND_SESSION=record", "OVERLAND_SESSION_SET=OVERLAND_SESSION")
				b.lock = ""
			}
			got, out, err := b.run(strings.Replace(script, "stat", "touch -d @1772366400 .; stat", 1))
			if err != nil || got != fmt.Sprintf(want, kind) || out.Data {
				t.Errorf("%v %+v\n%s", err, out, got)
			}
			if word, err := os.ReadFile(filepath.Join(b.src, "word")); err != nil || string(word) != "tea\n" {
				t.Errorf("the checkout was changed: %q %v", word, err)
			}
		})
	}
}

func TestAFileThatIsNoProgram(t *testing.T) {
	if got, out, err := newBench(t).run("mkdir out; cat folder/link > out/app"); err != nil || got != "tea\n" || !out.Data {
		t.Errorf("%q %+v %v", got, out, err)
	}
}

func TestOutputsThatAreNone(t *testing.T) {
	for name, c := range map[string]struct{ script, says string }{
		"missing":      {"echo compiled nothing", "the command made no out/app"},
		"Windows":      {"mkdir out; printf 'MZ..' > out/app; chmod +x out/app", "out/app is a program for Windows, not for linux/arm/v6"},
		"a folder":     {"mkdir -p out/app", "out/app is not a regular file but d"},
		"a link":       {"mkdir out; ln -s ../word out/app", "out/app is not a regular file but L"},
		"a pipe":       {"mkdir out; mkfifo out/app", "out/app is not a regular file but p"},
		"outside":      {"ln -s /usr/bin out; ln -s /etc out/x || true", "out/app: "},
		"above":        {"ln -s .. out", "out/app: "},
		"empty":        {"mkdir out; : > out/app", "out/app is empty"},
		"too long":     {"mkdir out; head -c 2000 /dev/zero > out/app", "out/app has 2000 bytes, more than 1000"},
		"no folder":    {"rm -rf ../src", "the command removed its own folder"},
		"exit code":    {"seq 100; exit 7", "ended with exit code 7\n…\n81\n"},
		"no program":   {"exec /no-such-program", "exit code 127\nsh: "},
		"long line":    {"head -c 100000 /dev/zero | tr '\\0' a; exit 1", "exit code 1\n…\naaa"},
		"half a line":  {"seq -s ' ' 4000; seq 3; exit 1", "exit code 1\n…\n1\n2\n3"},
		"other folder": {"mkdir ../out; echo x > ../out/app", "made no out/app"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.o.MaxOutput = 1000
			_, _, err := b.run(c.script)
			if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.says) || errs.HintOf(err) == "" {
				t.Errorf("%v (%v, hint %q), want %q", err, errs.KindOf(err), errs.HintOf(err), c.says)
			}
		})
	}
}

// originServer is a server at an address that is not the command's own.
func originServer(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "content of "+r.URL.Path)
	}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestOnlyWhatTheLockHolds(t *testing.T) {
	b, url := newBench(t), originServer(t)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	res, err := session.Record(t.Context(), session.Options{
		Store: b.depot, LockFile: "/lock", Dir: b.o.Sessions, Environ: os.Environ(), Stdout: io.Discard, Stderr: io.Discard,
		Command: []string{"curl", "-fsS", url + "/a"}, Upstream: &origin.Client{Transport: tr, Tries: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := res.Lock.Write(&text); err != nil {
		t.Fatal(err)
	}
	b.lock = text.String()
	if got, _, err := b.run("mkdir out; curl -fsS " + url + "/a > out/app"); err != nil || got != "content of /a" {
		t.Errorf("%q %v", got, err)
	}
	// The origin goes on.
	_, _, err = b.run("mkdir out; curl -sS " + url + "/b > out/app || true")
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "never recorded: url "+url+"/b") ||
		!strings.Contains(errs.HintOf(err), "overland record") {
		t.Errorf("something else: %v, hint %q", err, errs.HintOf(err))
	}
	if _, _, err := b.run("mkdir out; curl -sS --noproxy '*' -m 5 " + url + "/a > out/app"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("past the recorder: %v", err)
	}
}

func TestLocksThatAreNone(t *testing.T) {
	b := newBench(t)
	b.lock = ""
	if _, _, err := b.run("true"); errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "overland record -- overland build") {
		t.Errorf("no lock: %v, hint %q", err, errs.HintOf(err))
	}
	b.lock = lockfile.Name + " 1\n{\n"
	if _, _, err := b.run("true"); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "overland.lock: line 2") {
		t.Errorf("a damaged lock: %v", err)
	}
}

func TestACommandThatIsStopped(t *testing.T) {
	for _, kind := range []string{"", session.Recording} {
		b := newBench(t)
		b.o.Env = append(b.o.Env, "OVERLAND_SESSION="+kind)
		ctx, cancel := context.WithCancel(t.Context())
		command := New(b.o)
		task := Task{
			Name: "app", Run: []string{"sh", "-c", "echo ready; exec tail -f /dev/null"}, Src: b.src, Time: committed, Scratch: t.TempDir(),
			Lock: func(context.Context) (*lockfile.Lock, error) { return &lockfile.Lock{}, nil },
		}
		w, err := newPlace(task)
		if err != nil {
			t.Fatal(err)
		}
		run := command.replay
		if kind != "" {
			run = command.inSession
		}
		err = run(ctx, task, w, stopper(cancel))
		if err == nil {
			t.Errorf("%q: it went on", kind)
		}
	}
}

// stopper is a writer that stops somebody.
type stopper func()

func (s stopper) Write(p []byte) (int, error) {
	s()
	return len(p), nil
}

func TestWhatDecidesTheBytes(t *testing.T) {
	base := builder.Job{
		Name: "app", Commit: source.Commit{Tree: "t", Time: committed, Version: "r1.a"},
		Artifact: appfile.Artifact{Builder: Key, Settings: &Command{Run: []string{"make"}, Output: "app"}},
		ReadFile: func(context.Context, string) ([]byte, error) { return []byte("one"), nil },
	}
	recipe := func(env []string, change func(*builder.Job)) string {
		j := base
		change(&j)
		r, err := New(Options{Env: append([]string{"PATH=/bin"}, env...)}).Recipe(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(r)
	}
	same := recipe(nil, func(*builder.Job) {})
	if here, err := sysinfo.Read(""); err != nil || !strings.Contains(same, here.String()) {
		t.Errorf("the kind of this machine, %s, is not in it: %s, %v", here, same, err)
	}
	if got := recipe([]string{"A=1"}, func(j *builder.Job) { j.Commit.Subject = "x" }); got != same {
		t.Errorf("%s\n%s", got, same)
	}
	for name, other := range map[string]string{
		"run":     recipe(nil, func(j *builder.Job) { j.Artifact.Settings = &Command{Run: []string{"make", "x"}, Output: "app"} }),
		"output":  recipe(nil, func(j *builder.Job) { j.Artifact.Settings = &Command{Run: []string{"make"}, Output: "b"} }),
		"version": recipe(nil, func(j *builder.Job) { j.Commit.Version = "r2.b" }),
		"time":    recipe(nil, func(j *builder.Job) { j.Commit.Time = committed.Add(time.Hour) }),
		"session": recipe([]string{"OVERLAND_SESSION=replay"}, func(*builder.Job) {}),
		"lock": recipe(nil, func(j *builder.Job) {
			j.ReadFile = func(context.Context, string) ([]byte, error) { return []byte("two"), nil }
		}),
	} {
		if other == same {
			t.Errorf("another %s is the same recipe", name)
		}
	}
}
