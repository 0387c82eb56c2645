package confine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
)

func init() {
	verbs["hear"] = hear
	verbs["start"] = startWhatIsSaid
	verbs["threads"] = func(args []string) { // holds many threads, or says that it cannot
		n, _ := strconv.Atoi(args[0])
		for range n {
			go func() {
				runtime.LockOSThread()
				select {}
			}()
		}
		time.Sleep(time.Hour)
	}
	verbs["try"] = func(args []string) { // starts too many, and does not mind
		n, _ := strconv.Atoi(args[0])
		for range n {
			if exec.Command("/bin/sleep", "1000").Start() != nil {
				break
			}
		}
	}
}

// signals are those that the keeper passes on.
var signals = []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT}

// hear prints what it is told, as does a child in its group, until it is told so all.
func hear(args []string) {
	heard := make(chan os.Signal, 16)
	for _, s := range signals {
		signal.Notify(heard, s)
	}
	var child *exec.Cmd
	if len(args) == 0 {
		child = exec.Command("/proc/self/exe", "hear", "child")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
	}
	fmt.Println("ready")
	for range signals {
		fmt.Println(<-heard)
	}
	if child != nil {
		_ = child.Wait()
	}
}

// startWhatIsSaid starts the Spec that it is given as JSON and says how it ended.
func startWhatIsSaid(args []string) {
	var s confine.Spec
	if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
		panic(err)
	}
	s.Stdout, s.Stderr = os.Stdout, os.Stderr
	p, err := confine.Start(context.Background(), s)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	exit, err := p.Wait()
	_ = json.NewEncoder(os.Stderr).Encode(ended{exit, p.Applied, fmt.Sprint(err)})
}

// ended is what the verb start says at last.
type ended struct {
	Exit    confine.Exit
	Applied confine.Applied
	Err     string
}

// A signal for the keeper is one for the group of the command.
func TestSignalsArePassedOn(t *testing.T) {
	out, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s := spec(t, "hear")
	s.Stdout = theirs
	p, err := confine.Start(soon(t), s)
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func() (said []string) {
		for range 2 {
			lines.Scan()
			said = append(said, lines.Text())
		}
		return said
	}
	if got := next(); !slices.Equal(got, []string{"ready", "ready"}) {
		t.Fatalf("%q", got)
	}
	for _, n := range signals {
		if err := unix.Kill(p.PID(), n); err != nil {
			t.Fatal(err)
		}
		if got := next(); !slices.Equal(got, []string{n.String(), n.String()}) {
			t.Fatalf("of %v: %q", n, got)
		}
	}
	if exit, err := p.Wait(); exit.Code != 0 || err != nil {
		t.Errorf("%+v, %v", exit, err)
	}
}

// How a command ended is how it ended itself, and none that it left.
func TestHowACommandEnded(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		limits confine.Limits
		want   confine.Exit
		err    string
	}{
		"a code at the edge": {script: "exit 128", want: confine.Exit{Code: 128}},
		"after an orphan": {
			script: `(sh -c "exit 9" & echo $! >/tmp/pid); while [ -e /proc/$(cat /tmp/pid) ]; do :; done; exit 3`, want: confine.Exit{Code: 3},
		},
		"a file of too many bytes": {
			script: "exec head -c 2000 /dev/zero >/tmp/x", limits: confine.Limits{FileSize: 1000}, want: confine.Exit{Code: 153, Signal: 25}, err: "the limit of 1000 bytes for disk was reached",
		},
		"a limit that it minded not": {script: "exec /attempt try 40", limits: confine.Limits{Processes: 30}},
		"what was there before":      {script: "exit 3", limits: confine.Limits{Disk: 1 << 20}, want: confine.Exit{Code: 3}},
		"its disk is full":           {script: "head -c 2000000 /dev/zero >$FOLDER/x", limits: confine.Limits{Disk: 1 << 20}, want: confine.Exit{Code: 153, Signal: 25}, err: "the limit of 1 MiB for disk was reached"},
		"its disk is not full":       {script: "head -c 500000 /dev/zero >$FOLDER/x; exit 3", limits: confine.Limits{Disk: 1 << 20}, want: confine.Exit{Code: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Chmod(dir, 0o777), os.WriteFile(filepath.Join(dir, "before"), make([]byte, 2<<20), 0o600)); err != nil {
				t.Fatal(err)
			}
			s := spec(t)
			s.Path, s.Args, s.Limits, s.Env = "/bin/sh", []string{"sh", "-c", test.script}, test.limits, append(s.Env, "FOLDER="+dir)
			s.Mounts = append(s.Mounts, confine.Mount{Kind: confine.Bind, Source: dir, Target: dir, Writable: true})
			text := ""
			out, exit, err := run(t, s)
			if err != nil {
				text = err.Error()
			}
			if exit != test.want || text != test.err {
				t.Errorf("%+v, %v; want %+v, %q; %s", exit, err, test.want, test.err, out)
			}
		})
	}
	// A limit is not a wish: it leaves no time of grace.
	s := spec(t)
	s.Path, s.Args, s.Grace, s.Limits.Time = "/bin/sh", []string{"sh", "-c", "trap 'exit 4' TERM; while :; do sleep 0.01; done"}, time.Minute, 100*time.Millisecond
	if _, exit, err := run(t, s); exit.Signal != 9 || err == nil {
		t.Errorf("%+v, %v", exit, err)
	}
}

// With the program that started it a command ends too, whatever ended that.
func TestEverythingEndsWithTheParent(t *testing.T) {
	s := spec(t)
	s.Path, s.Args, s.Limits = "/bin/sh", []string{"sh", "-c", "echo ready; exec sleep 1000"}, confine.Limits{}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	parent := exec.CommandContext(soon(t), program(t), "start", string(text))
	parent.Stdout = theirs
	err = parent.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	if err := out.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(out); err != nil {
		t.Errorf("the command is still there: %v", err)
	}
}
