package fsx

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"overland/internal/errs"
)

func TestReadFileKeepsToItsLimit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{4, 5} {
		if b, err := ReadFile(path, limit); err != nil || string(b) != "four" {
			t.Errorf("limit %d: %q, %v", limit, b, err)
		}
	}
	if b, err := ReadFile(path, 3); !errors.Is(err, ErrTooLong) || b != nil {
		t.Errorf("limit 3: %q, %v", b, err)
	}
	if _, err := ReadFile(filepath.Join(dir, "none"), 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe} {
		if _, err := ReadFile(path, 4); err == nil {
			t.Errorf("%s was read", path)
		}
	}
}

// What is longer than its limit is an error, however it is read and in whatever steps it comes:
// never a part.
func TestNothingIsCutSilently(t *testing.T) {
	text := strings.Repeat("x", 1000)
	for name, of := range map[string]func(string) io.Reader{
		"at once":          func(s string) io.Reader { return strings.NewReader(s) },
		"byte by byte":     func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
		"with its end":     func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
		"to a small slice": func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) },
	} {
		for _, limit := range []int64{1000, 1001, 1 << 40} {
			if b, err := Read(of(text), "it", limit); err != nil || string(b) != text {
				t.Errorf("%s: limit %d: %d bytes, %v", name, limit, len(b), err)
			}
		}
		for _, limit := range []int64{0, 1, 511, 512, 999} {
			b, err := Read(of(text), "it", limit)
			if !errors.Is(err, ErrTooLong) || errs.KindOf(err) != errs.Invalid || b != nil {
				t.Errorf("%s: limit %d: %d bytes, %v", name, limit, len(b), err)
			}
			r := Limit(of(text), limit)
			if n, err := io.Copy(io.Discard, r); n != limit || !errors.Is(err, ErrTooLong) {
				t.Errorf("%s: limit %d: %d bytes passed, %v", name, limit, n, err)
			}
			if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, ErrTooLong) {
				t.Errorf("%s: limit %d: once more: %d, %v", name, limit, n, err)
			}
			if b, err := Head(of(text), limit); err != nil || int64(len(b)) != limit {
				t.Errorf("%s: the first %d: %d bytes, %v", name, limit, len(b), err)
			}
		}
	}
	// JSON and lines that are cut at the limit could look whole.
	var n int
	if err := json.NewDecoder(Limit(strings.NewReader("12345"), 2)).Decode(&n); !errors.Is(err, ErrTooLong) {
		t.Errorf("JSON: %d, %v", n, err)
	}
	lines := bufio.NewScanner(Limit(strings.NewReader("a=1\nb=23\n"), 6))
	for lines.Scan() {
	}
	if !errors.Is(lines.Err(), ErrTooLong) {
		t.Errorf("lines: %v", lines.Err())
	}
	stop := errors.New("stop")
	if _, err := Read(iotest.ErrReader(stop), "it", 5); !errors.Is(err, stop) {
		t.Errorf("the reader's own error: %v", err)
	}
}

func TestBeginning(t *testing.T) {
	b := &Beginning{Most: 5}
	for _, part := range []string{"ab", "cde", "", "fg"} {
		if n, err := b.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%q: %d, %v", part, n, err)
		}
	}
	if string(b.Bytes()) != "abcde" || b.String() != "abcde" {
		t.Errorf("kept %q", b)
	}
}
