package maintscript

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"

	"overland/internal/errs"
)

// What the interpreter itself asks for, redirections and tests: the same root that commands see.

func (r *run) open(ctx context.Context, p string, flag int, _ os.FileMode) (io.ReadWriteCloser, error) {
	hc := interp.HandlerCtx(ctx)
	p = absolute(hc.Dir, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch p {
	case "/dev/null":
		return &opened{}, nil
	case "/dev/stdout":
		return &opened{w: hc.Stdout}, nil
	case "/dev/stderr":
		return &opened{w: hc.Stderr}, nil
	case "/dev/stdin":
		return &opened{r: hc.Stdin}, nil
	case confmodule:
		return &opened{r: strings.NewReader(confmoduleText)}, nil
	}
	if strings.HasPrefix(p, "/dev/") || strings.HasPrefix(p, "/proc/") || strings.HasPrefix(p, "/sys/") {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	if flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		b, err := r.root.read("/", p)
		if err != nil {
			return nil, plain(err)
		}
		if text, ok := r.sourced[p]; ok {
			delete(r.sourced, p)
			b = []byte(text)
		}
		if r.taken += int64(len(b)); r.taken > takenLimit {
			return nil, errs.Errorf(errs.Invalid, "it reads more than %d bytes", takenLimit)
		}
		return &opened{r: bytes.NewReader(b)}, nil
	}
	var held []byte
	if flag&os.O_TRUNC == 0 {
		b, err := r.root.read("/", p)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, plain(err)
		}
		held = b
	}
	if err := r.root.make("/", p, held, mask(hc)); err != nil { // it is there as soon as it is opened
		return nil, plain(err)
	}
	return &opened{name: p, of: r, held: held}, nil
}

// absolute returns the whole name of what is called p in the folder dir.
func absolute(dir, p string) string {
	if !path.IsAbs(p) {
		p = path.Join(dir, p)
	}
	return p
}

// mask returns the bits that a new file does not get.
func mask(hc interp.HandlerContext) fs.FileMode {
	const usual = 0o022
	n, err := strconv.ParseUint(hc.Env.Get(umask).String(), 8, 9)
	if err != nil {
		return usual
	}
	return fs.FileMode(n)
}

// plain is err as the interpreter takes it for one that ends a command and not the script.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p
	}
	return err
}

// opened is a file that a script has opened.
type opened struct {
	r    io.Reader // nil = nothing to read
	w    io.Writer // nil, of = nil: what is written is dropped
	of   *run
	name string
	held []byte
}

func (o *opened) Read(b []byte) (int, error) {
	if o.r == nil {
		return 0, io.EOF
	}
	return o.r.Read(b)
}

func (o *opened) Write(b []byte) (int, error) {
	switch {
	case o.w != nil:
		return o.w.Write(b)
	case o.of == nil:
		return len(b), nil
	}
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	if o.of.written += int64(len(b)); o.of.written > outputLimit {
		return 0, o.of.lose(errs.Errorf(errs.Invalid, "it writes more than %d bytes", outputLimit))
	}
	o.held = append(o.held, b...)
	return len(b), nil
}

func (o *opened) Close() error {
	if o.of == nil {
		return nil
	}
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	return o.of.lose(o.of.root.write("/", o.name, o.held))
}

func (r *run) stat(ctx context.Context, p string, follow bool) (fs.FileInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p == "/dev/null" {
		return info{p, File{Mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}}, nil
	}
	name, f, err := r.root.find(interp.HandlerCtx(ctx).Dir, p, follow)
	return info{name, f}, err
}

func (r *run) access(ctx context.Context, p string, mode interp.AccessMode) error {
	i, err := r.stat(ctx, p, true)
	if err == nil && mode == interp.AccessExec && !i.IsDir() && i.Mode()&0o111 == 0 {
		err = fs.ErrPermission
	}
	return err // root may read and write all
}

func (r *run) list(ctx context.Context, p string) ([]fs.DirEntry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, f, err := r.root.find(interp.HandlerCtx(ctx).Dir, p, true)
	if err != nil {
		return nil, err
	}
	if !f.Mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: p, Err: errors.New("not a directory")}
	}
	var all []fs.DirEntry
	for _, one := range r.root.List(name) {
		if f, ok := r.root.Get(path.Join(name, one)); ok {
			all = append(all, info{one, f})
		}
	}
	return all, nil
}
