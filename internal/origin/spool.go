package origin

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"overland/internal/digest"
	"overland/internal/fsx"
)

const (
	unfinished = "unfinished-"      // begins the names of what may be resumed by a later process
	worthy     = 1 << 20            // bytes from which a transfer gets such a name
	keptFor    = 7 * 24 * time.Hour // of what nobody resumed
	spoolMode  = 0o600

	reserve  = 16 << 20 // bytes that an answer leaves free on the disk
	unlooked = 4 << 20  // bytes that come between two looks at what is free
)

// spool is a temporary file as a Sink. What comes again after a Restart is compared with what is
// there, so that whoever reads the flow meanwhile notices nothing, unless it is something else.
type spool struct {
	file *os.File
	flow *Flow
	path string // where the file is kept when it is left unfinished; "" = nowhere
	name bool   // it is there

	at     int64 // where the next byte belongs
	n      int64 // bytes in the file
	hash   digest.Hasher
	hashed int64
	buf    []byte // to compare with

	dir    string
	looked int64 // bytes in the file when the disk was last looked at
}

// openSpool returns a spool in c.Dir: what an earlier process left of r, if r may be resumed.
func (c *Client) openSpool(r Request) (*spool, error) {
	s := &spool{hash: digest.New(), dir: cmp.Or(c.Dir, os.TempDir())}
	if r.Fixed && c.Dir != "" && r.Method == "" && len(r.Body) == 0 {
		const id = 32
		s.path = filepath.Join(c.Dir, unfinished+digest.Of([]byte(r.URL)).Encoded()[:id])
		s.resume()
	}
	if s.file == nil {
		file, err := (fsx.FS{}).Nameless(c.Dir, spoolMode)
		if err != nil {
			return nil, fsx.Full(err)
		}
		s.file = file
	}
	s.flow = newFlow(s.file)
	s.flow.n = s.n
	return s, nil
}

// resume opens the file at s.path, if it is nobody else's.
func (s *spool) resume() {
	f, err := os.OpenFile(s.path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	info, err := f.Stat()
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		s.path = "" // another process is at it
		_ = f.Close()
		return
	}
	// A second name: it became a blob, which nobody changes.
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Nlink != 1 || !info.Mode().IsRegular() {
		_ = os.Remove(s.path)
		_ = f.Close()
		return
	}
	s.file, s.name, s.n, s.at = f, true, info.Size(), info.Size()
}

// Write implements Sink.
func (s *spool) Write(p []byte) (int, error) {
	done := 0
	for s.at < s.n && done < len(p) {
		same, err := s.compare(p[done:])
		done += same
		if err != nil {
			return done, err
		}
	}
	if p = p[done:]; len(p) == 0 {
		return done, nil
	}
	n, err := s.file.WriteAt(p, s.at)
	if s.hashed == s.at {
		s.hash.Write(p[:n])
		s.hashed += int64(n)
	}
	s.at += int64(n)
	s.n = s.at
	if err == nil && s.n-s.looked >= unlooked { // an answer may have no length, and no end
		s.looked = s.n
		err = fsx.Room(s.dir, 0, reserve)
	}
	if err == nil && s.path != "" && !s.name && s.n >= worthy {
		s.keep()
	}
	s.flow.grow(s.n)
	return done + n, fsx.Full(err)
}

// compare steps over the beginning of p that is in the file already, and drops the rest of the file
// where they differ.
func (s *spool) compare(p []byte) (same int, err error) {
	if s.buf == nil {
		s.buf = make([]byte, 64<<10)
	}
	there := s.buf[:min(int64(len(p)), int64(len(s.buf)), s.n-s.at)]
	if _, err := s.file.ReadAt(there, s.at); err != nil {
		return 0, err
	}
	if bytes.Equal(there, p[:len(there)]) {
		s.at += int64(len(there))
		return len(there), nil
	}
	for there[same] == p[same] {
		same++
	}
	s.at += int64(same)
	return same, s.cut()
}

// cut drops what is behind s.at.
func (s *spool) cut() error {
	if s.n == s.at {
		return nil
	}
	s.flow.shrink(s.at)
	s.n = s.at
	if s.hashed > s.at {
		s.hash.Reset()
		s.hashed = 0
	}
	return s.file.Truncate(s.at)
}

// Restart implements Sink.
func (s *spool) Restart() error {
	s.at = 0
	return nil
}

// Expect implements Sink.
func (s *spool) Expect(n int64) error {
	s.flow.expect(s.at + n)
	if n < unlooked {
		return nil
	}
	return fsx.Room(s.dir, n-(s.n-s.at), reserve)
}

// keep gives the file its name, so that it outlives the process.
func (s *spool) keep() {
	path := s.path
	s.path = "" // also when it fails: once is enough
	tidy(filepath.Dir(path))
	if syscall.Flock(int(s.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return
	}
	if (fsx.FS{}).Name(s.file, path) == nil {
		s.path, s.name = path, true
	}
}

// tidy removes what nobody resumed for a long time.
func tidy(dir string) {
	list, _ := os.ReadDir(dir) // none when it cannot be read
	for _, e := range list {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), unfinished) && time.Since(info.ModTime()) > keptFor {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// finish ends a transfer whose bytes have all come, and rewinds the file.
func (s *spool) finish() error {
	if err := s.cut(); err != nil {
		return err
	}
	if s.hashed < s.n {
		if _, err := io.Copy(s.hash, io.NewSectionReader(s.file, s.hashed, s.n-s.hashed)); err != nil {
			return err
		}
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return err
}

// leave ends a transfer that failed: what came is kept if the rest may be asked for later.
func (s *spool) leave(lasting bool) {
	const little = 64 << 10
	switch {
	case !lasting:
		s.remove()
	case s.path != "" && !s.name && s.n >= little:
		s.keep()
	}
	s.flow.close()
	_ = s.file.Close()
}

// remove takes the name away.
func (s *spool) remove() {
	if s.name {
		_ = os.Remove(s.path)
	}
}
