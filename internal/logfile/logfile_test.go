package logfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/logfile"
)

// What is printed arrives whole and in order, in the newest parts, and no part is longer than it may be.
func TestALogNeverHoldsMoreThanItMay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w, err := logfile.Open(path, logfile.Limits{Size: 1000, Keep: 2})
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for k := range 300 {
		part := bytes.Repeat([]byte{byte('a' + k%26)}, k*7%2600)
		all.Write(part)
		w.Write(part)
		for _, name := range []string{path, path + ".1", path + ".2"} {
			if info, err := os.Stat(name); err == nil && info.Size() > 1000 {
				t.Fatalf("%s holds %d bytes", name, info.Size())
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, name := range []string{path + ".2", path + ".1", path} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b...)
	}
	if !bytes.HasSuffix(all.Bytes(), got) || len(got) < 1500 {
		t.Errorf("%d bytes are kept, and are not the last", len(got))
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("more parts are kept than asked for")
	}
}

// On a disk without room, or without inodes, older parts go first, then what the log holds; the writer goes on.
func TestALogOnADiskThatIsFull(t *testing.T) {
	for name, options := range map[string]string{"blocks": "size=64k", "inodes": "size=1m,nr_inodes=4"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
			path := filepath.Join(dir, "log")
			w, err := logfile.Open(path, logfile.Limits{Size: 40 << 10, Keep: 3})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			line := []byte(strings.Repeat("x", 4095) + "\n")
			for range 105 {
				w.Write(line)
			}
			w.Write([]byte("the end\n"))
			if b, err := os.ReadFile(path); err != nil || !strings.HasSuffix(string(b), "\nthe end\n") || len(b) > 40<<10 {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
}

// A reader that holds the lock, stopped for example, does not hold up the writer.
func TestAReaderHoldsNobodyUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	lock, err := os.Create(filepath.Join(filepath.Dir(path), logfile.LockName("log")))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	w, err := logfile.Open(path, logfile.Limits{Size: 10, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Write([]byte("0123456789abc"))
	if b, err := os.ReadFile(path); string(b) != "abc" {
		t.Errorf("log %q, %v", b, err)
	}
}

// What lies in the log's place and is not a file is neither written nor waited for.
func TestAPipeInTheLogsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := logfile.Open(path, logfile.Limits{Size: 10, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if n, err := w.Write([]byte("abc")); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
