package runtime_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"overland/internal/runtime"
)

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if got, err := runtime.Tail(path, 5); got != nil || err != nil {
		t.Errorf("no log: %q, %v", got, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`[a-z]{0,90}`)).Draw(t, "lines")
		cut := rapid.IntRange(0, len(lines)).Draw(t, "cut")
		n := rapid.IntRange(1, 40).Draw(t, "n")
		text := func(l []string) []byte {
			var b bytes.Buffer
			for _, s := range l {
				b.WriteString(s + "\n")
			}
			return b.Bytes()
		}
		if err := os.WriteFile(path+".1", text(lines[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text(lines[cut:]), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := runtime.Tail(path, n)
		if want := lines[max(0, len(lines)-n):]; err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	})
}

func TestTailOfAHugeLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const huge = 8 << 30 // a hole: it takes no room
	if _, err := f.WriteAt([]byte("\nlast but one\nlast"), huge); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := runtime.Tail(path, 2)
	if want := []string{"last but one", "last"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	// More lines than there are in what is looked at: a bounded read all the same.
	if got, err = runtime.Tail(path, 1000); err != nil || len(strings.Join(got, "")) > runtime.TailLimit || got[len(got)-1] != "last" {
		t.Errorf("got %d lines, %v", len(got), err)
	}
}

func TestRotateKeepsAsManyAsItShould(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	r := runtime.Rotation{Size: 4, Keep: 2}
	for _, text := range []string{"one--\n", "two--\n", "three--\n", "4\n"} {
		appendTo(t, path, text)
		if done, err := runtime.Rotate(path, r); err != nil || done != (len(text) > 4) {
			t.Fatalf("%q: %v, %v", text, done, err)
		}
	}
	for name, want := range map[string]string{"": "4\n", ".1": "three--\n", ".2": "two--\n"} {
		if got, err := os.ReadFile(path + name); err != nil || string(got) != want {
			t.Errorf("log%s: %q, %v, want %q", name, got, err, want)
		}
	}
	if list, _ := filepath.Glob(path + "*"); len(list) != 3 {
		t.Errorf("files %q", list)
	}
	if done, err := runtime.Rotate(filepath.Join(t.TempDir(), "none"), r); done || err != nil {
		t.Errorf("no log: %v, %v", done, err)
	}
}

func TestRotateOfAFloodKeepsItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, strings.Repeat("old\n", 1000)+"new\n")
	if done, err := runtime.Rotate(path, runtime.Rotation{Size: 8}); !done || err != nil {
		t.Fatal(done, err)
	}
	if got, _ := os.ReadFile(path + ".1"); string(got) != "old\nnew\n" {
		t.Errorf("kept %q", got)
	}
}

// A service holds its log open and writes on and on while it is rotated: no
// holes, no mixed lines, in order.
func TestRotateWhileTheServiceWrites(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r := runtime.Rotation{Size: 64 << 10, Keep: 1000}
	const total = 200_000
	var writer sync.WaitGroup
	ended := make(chan struct{})
	writer.Go(func() {
		defer close(ended)
		for k := range total {
			if _, err := fmt.Fprintf(f, "line %d %d\n", k, k); err != nil {
				t.Error(err)
				return
			}
		}
	})
	rotations := 0
	for going := true; going; {
		select {
		case <-ended:
			going = false
		default:
		}
		done, err := runtime.Rotate(path, r)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			rotations++
		}
	}
	writer.Wait()
	// What is written while a rotation cuts the file may be lost, in the middle of a line too;
	// what is written after it may not.
	if _, err := fmt.Fprintf(f, "\nline %d %d\n", total, total); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if rotations < 3 {
		t.Fatalf("only %d rotations", rotations)
	}
	var all bytes.Buffer
	for k := rotations; k >= 0; k-- {
		name := runtime.Numbered(path, k)
		if k == 0 {
			name = path
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	if bytes.IndexByte(all.Bytes(), 0) >= 0 {
		t.Error("a rotated log has a hole")
	}
	last, count := -1, 0
	for line := range bytes.Lines(all.Bytes()) {
		var k, again int
		if _, err := fmt.Sscanf(string(line), "line %d %d\n", &k, &again); err != nil || k != again {
			continue // cut where a rotation lost something
		}
		if k <= last {
			t.Fatalf("line %d after line %d", k, last)
		}
		last = k
		count++
	}
	if last != total {
		t.Errorf("the last line is %d", last)
	}
	t.Logf("%d rotations, %d of %d lines kept", rotations, count, total)
}

func TestFollowThroughRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error)
	go func() { ended <- runtime.Follow(ctx, path, 0, w) }()
	read := func(want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
			t.Fatalf("got %q, %v, want %q", b, err, want)
		}
	}
	appendTo(t, path, "first line\n") // the log comes after its follower
	read("first line\n")
	for _, text := range []string{"two..\n", "three\n", "four.\n"} {
		appendTo(t, path, text)
		if done, err := runtime.Rotate(path, runtime.Rotation{Size: 12}); !done || err != nil {
			t.Fatal(done, err)
		}
		appendTo(t, path, "after "+text)
		read(text + "after " + text)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestS17AServiceLocksItsLog: a service has its log open, and whatever locks it takes on that, its agent reads and
// rotates the log, and so can end the service.
func TestS17AServiceLocksItsLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "a line that is long enough\n")
	service, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	if err := unix.Flock(int(service.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := runtime.Tail(path, 1)
		if err == nil {
			_, err = runtime.Rotate(path, runtime.Rotation{Size: 10})
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the agent waits for the service's lock")
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("not rotated: %v, %v", info, err)
	}
}

func TestFollowFromTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "old\n")
	read := runtime.ReadLog(path, -1)
	appendTo(t, path, "new\n")
	b := make([]byte, 100)
	if n, err := read(b); err != nil || string(b[:n]) != "new\n" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	if err := os.Truncate(path, 0); err != nil { // somebody else's idea of a rotation
		t.Fatal(err)
	}
	appendTo(t, path, "x\n")
	if n, err := read(b); err != nil || string(b[:n]) != "x\n" {
		t.Errorf("got %q, %v", b[:n], err)
	}
}
