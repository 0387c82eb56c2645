package logfile

import (
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Numbered returns the name of the k-th older part of the log name; 1 is the newest of them.
func Numbered(name string, k int) string { return name + "." + strconv.Itoa(k) }

// LockName returns the name of the file beside the log name that readers lock (flock, shared)
// against rotation. It is not the log itself, which a service may hold a lock on.
func LockName(name string) string { return "." + name + ".lock" }

// Limits are how much a log may hold.
type Limits struct {
	Size int64 `json:"size"` // bytes of the log, and of each older part
	Keep int   `json:"keep"` // older parts
}

// Writer appends to a log. It is used by one goroutine at a time.
type Writer struct {
	root   *os.Root
	name   string
	limits Limits
	file   *os.File // nil = it could not be opened; what is written is lost
	size   int64
	tried  time.Time
}

// Open returns a Writer of the log at path. Its folder must exist; a log that cannot be written now
// is tried again at most once a second, so that neither a full disk nor one that turned read-only
// holds up whoever writes.
func Open(path string, l Limits) (*Writer, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	w := &Writer{root: root, name: filepath.Base(path), limits: l}
	w.open()
	return w, nil
}

const mode = 0o640 // of a new log

func (w *Writer) open() {
	w.tried = time.Now()
	f, err := w.root.OpenFile(w.name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, mode)
	if err != nil {
		return
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return
	}
	w.file, w.size = f, info.Size()
}

// Write appends b. It never fails: what the disk does not take is lost, older parts first.
func (w *Writer) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		part := b[:min(int64(len(b)), w.limits.Size)]
		b = b[len(part):]
		if w.file == nil && time.Since(w.tried) >= time.Second {
			w.open()
		}
		if w.file != nil && w.size+int64(len(part)) > w.limits.Size {
			w.rotate()
		}
		w.append(part)
	}
	return n, nil
}

// append writes part, and makes room for it where there is none.
func (w *Writer) append(part []byte) {
	for w.file != nil {
		n, err := w.file.Write(part)
		w.size += int64(n)
		if part = part[n:]; err == nil {
			return
		}
		if !w.drop() && (w.size == 0 || w.empty() != nil) {
			return
		}
	}
}

// rotate makes what there is the newest older part. Where no new file can be made the log is emptied.
func (w *Writer) rotate() {
	next := "." + w.name + ".new"
	fresh := func() (*os.File, error) {
		_ = w.root.Remove(next) // of a rotation that was cut, or a link, which an os.Root follows whatever the flags say
		return w.root.OpenFile(next, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, mode)
	}
	f, err := fresh()
	for err != nil && w.drop() {
		f, err = fresh()
	}
	if err != nil {
		_ = w.empty()
		return
	}
	defer w.lock()()
	for k := w.limits.Keep; k > 1; k-- {
		_ = w.root.Rename(Numbered(w.name, k-1), Numbered(w.name, k)) // not there, as a rule
	}
	if err = w.root.Rename(w.name, Numbered(w.name, 1)); err == nil {
		err = w.root.Rename(next, w.name)
	}
	if err != nil {
		f.Close()
		_ = w.empty()
		return
	}
	w.file.Close()
	w.file, w.size = f, 0
}

// empty takes out what the log holds.
func (w *Writer) empty() error {
	if err := w.file.Truncate(0); err != nil {
		return err
	}
	w.size = 0
	return nil
}

// drop removes the oldest part of the log, and reports whether there was one.
func (w *Writer) drop() bool {
	for k := w.limits.Keep; k > 0; k-- {
		if w.root.Remove(Numbered(w.name, k)) == nil {
			return true
		}
	}
	return false
}

// lock keeps readers out, but never waits for one that holds them long: it would hold up the service.
func (w *Writer) lock() (unlock func()) {
	const tries, wait = 50, time.Millisecond
	f, err := w.root.OpenFile(LockName(w.name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return func() {}
	}
	for range tries {
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			break
		}
		time.Sleep(wait)
	}
	return func() { f.Close() }
}

// Close closes the log.
func (w *Writer) Close() error {
	if w.file != nil {
		w.file.Close()
	}
	return w.root.Close()
}
