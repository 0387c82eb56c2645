package fsx_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// strangers makes, in a new folder, one of everything that a name can be and that is not a file.
func strangers(t *testing.T) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	at := func(name string) string {
		names = append(names, name)
		return filepath.Join(dir, name)
	}
	if err := unix.Mkfifo(at("pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Mkdir(at("folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"to a pipe": filepath.Join(dir, "pipe"), "to a device": "/dev/zero", "to a terminal": "/dev/ptmx"} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, names
}

// soon fails the test when f has not returned after a while.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: still waiting", what)
	}
}

// A name that somebody else made never stops who opens it, and what is not a file is not opened at
// all: the kernel reports no open of it.
func TestS13NothingButAFileIsOpened(t *testing.T) {
	dir, names := strangers(t)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	for _, path := range []string{filepath.Join(dir, "pipe"), filepath.Join(dir, "folder"), "/dev/ptmx"} {
		if _, err := unix.InotifyAddWatch(watch, path, unix.IN_OPEN); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		for how, open := range map[string]func(string) (*os.File, error){
			"open":     func(name string) (*os.File, error) { return fsx.Open(filepath.Join(dir, name)) },
			"unlinked": func(name string) (*os.File, error) { return fsx.OpenUnlinked(filepath.Join(dir, name)) },
			"in":       func(name string) (*os.File, error) { return fsx.OpenIn(root, name) },
		} {
			soon(t, how+" "+name, func() {
				f, err := open(name)
				if err == nil {
					f.Close()
				}
				escapes := how == "in" && (name == "to a device" || name == "to a terminal" || name == "to a pipe")
				if err == nil || !escapes && (!errors.Is(err, fsx.ErrNotRegular) && !errors.Is(err, unix.ELOOP) || errs.KindOf(err) != errs.Invalid) {
					t.Errorf("%s %s: %v", how, name, err)
				}
			})
		}
		soon(t, "read names of "+name, func() {
			err := fsx.ReadNames(filepath.Join(dir, name), func([]string) error { return nil })
			if (err == nil) != (name == "folder") {
				t.Errorf("read names of %s: %v", name, err)
			}
		})
	}
	buf := make([]byte, 4096)
	// Reading the names of the folder opened that one, and nothing else was.
	n, err := unix.Read(watch, buf)
	for ; err == nil && n > 0; n, err = unix.Read(watch, buf) {
		for at := 0; at < n; at += unix.SizeofInotifyEvent + int(buf[at+12]) {
			if id := int(buf[at]); id != 2 {
				t.Errorf("what is watched as %d was opened", id)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		f, err := fsx.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := fsx.Read(f, path, 10); err != nil || string(b) != "text" || f.Name() != path {
			t.Errorf("%s: %q, %v", f.Name(), b, err)
		}
		f.Close()
	}
	if f, err := fsx.OpenUnlinked(file); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	if _, err := fsx.OpenUnlinked(link); !errors.Is(err, fsx.ErrNotRegular) {
		t.Errorf("a link: %v", err)
	}
	for _, open := range []func(string) (*os.File, error){fsx.Open, fsx.OpenUnlinked} {
		if _, err := open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what is not there: %v", err)
		}
	}
}

func TestReadNames(t *testing.T) {
	dir := t.TempDir()
	const many = 1500
	for i := range many {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	if err := fsx.ReadNames(dir, func(names []string) error {
		if len(names) > 512 {
			t.Errorf("%d names at once", len(names))
		}
		all = append(all, names...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != many {
		t.Errorf("%d names", n)
	}
	stop := errors.New("stop")
	if err := fsx.ReadNames(dir, func([]string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
}

// A file that a pipe takes the place of, again and again, is opened or refused; nothing waits.
func TestS13AFileThatIsReplacedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, file, unix.AT_FDCWD, pipe, unix.RENAME_EXCHANGE)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	soon(t, "open", func() {
		for range 5000 {
			for how, open := range map[string]func() (*os.File, error){
				"in": func() (*os.File, error) { return fsx.OpenIn(root, "file") }, "open": func() (*os.File, error) { return fsx.Open(file) },
			} {
				f, err := open()
				if err != nil {
					continue
				}
				if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
					t.Errorf("%s: %v, %v", how, info.Mode(), err)
				}
				f.Close()
			}
		}
	})
}

// What is opened here is nobody else's: no program that is started meanwhile gets it.
func TestOpenFilesAreNotInherited(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, open := range []func(string) (*os.File, error){fsx.Open, fsx.OpenUnlinked} {
		f, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
		f.Close()
	}
}

func TestDirFSStaysInside(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "in"), 0o755), os.WriteFile(filepath.Join(dir, "secret"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../secret", "..", filepath.Join(dir, "secret")} {
		if f, err := fsx.DirFS(filepath.Join(dir, "in")).Open(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}
