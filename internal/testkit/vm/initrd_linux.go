package vm

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// writeInitrd writes an initramfs (a cpio archive in the form that the kernel calls newc) with
// busybox (a file of this machine), the two parts of the init script, and files.
func writeInitrd(name, busybox string, files map[string]string, script string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	a := &archive{w: w, dirs: map[string]bool{}}
	first, second, _ := strings.Cut(script, "\x00")
	a.file("/init", 0o755, strings.NewReader(first), int64(len(first)))
	a.file("/init2", 0o755, strings.NewReader(second), int64(len(second)))
	all := map[string]string{"/bin/busybox": busybox}
	maps.Copy(all, files)
	for _, to := range slices.Sorted(maps.Keys(all)) {
		if err := a.copy(to, all[to]); err != nil {
			return err
		}
	}
	a.entry("TRAILER!!!", 0, strings.NewReader(""), 0)
	if a.err != nil {
		return a.err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

type archive struct {
	w    io.Writer
	dirs map[string]bool
	ino  int
	at   int64
	err  error
}

func (a *archive) copy(to, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	a.file(to, 0o755, f, info.Size())
	return a.err
}

const (
	regular = 0o100000
	folder  = 0o040000
)

func (a *archive) file(name string, mode int, r io.Reader, size int64) {
	a.folder(path.Dir(name))
	a.entry(strings.TrimPrefix(name, "/"), regular|mode, r, size)
}

func (a *archive) folder(name string) {
	if name == "/" || a.dirs[name] {
		return
	}
	a.folder(path.Dir(name))
	a.dirs[name] = true
	a.entry(strings.TrimPrefix(name, "/"), folder|0o755, strings.NewReader(""), 0)
}

func (a *archive) entry(name string, mode int, r io.Reader, size int64) {
	a.ino++
	a.print("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.ino, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
	a.align()
	if a.err == nil {
		var n int64
		n, a.err = io.CopyN(a.w, r, size)
		a.at += n
	}
	a.align()
}

func (a *archive) print(format string, args ...any) {
	if a.err == nil {
		var n int
		n, a.err = fmt.Fprintf(a.w, format, args...)
		a.at += int64(n)
	}
}

func (a *archive) align() {
	const word = 4
	for a.at%word != 0 {
		a.print("\x00")
	}
}
