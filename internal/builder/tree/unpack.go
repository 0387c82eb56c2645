package tree

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"overland/internal/archive"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Limits bound what an archive may hold; zero values take the defaults.
type Limits struct {
	Entries int64 // files, folders and links; 0 = 1,000,000
	Size    int64 // bytes of all files; 0 = 32 GiB
	Names   int64 // bytes of all names, which are held in memory; 0 = 256 MiB
	Ratio   int64 // bytes of the tar for one byte of the archive, beyond the first 64 MiB; 0 = 200
}

const (
	defaultEntries = 1_000_000
	defaultSize    = 32 << 30
	defaultNames   = 256 << 20
	defaultRatio   = 200
	freeRatio      = 64 << 20 // bytes before Ratio applies
	nameLimit      = 4096     // bytes of a name
)

func (l Limits) orDefaults() Limits {
	or := func(n *int64, d int64) {
		if *n <= 0 {
			*n = d
		}
	}
	or(&l.Entries, defaultEntries)
	or(&l.Size, defaultSize)
	or(&l.Names, defaultNames)
	or(&l.Ratio, defaultRatio)
	return l
}

// Unpack makes the stage's destination from the archive r, whose one top folder is called top
// ("" = anything). It appears whole and durable, or not at all. What reaches outside of the top
// folder, comes twice, is a device, setuid, or more than the limits is an error
// (errs.Untrusted). It may be called once.
func (s *Stage) Unpack(ctx context.Context, r io.Reader, top string, l Limits) error {
	u := &unpacker{root: s.root, top: top, limits: l.orDefaults(), seen: map[string]byte{}}
	err := u.all(ctx, r)
	if err == nil {
		err = s.publish(u.top)
	}
	return unpackErr(s.dest, err)
}

func unpackErr(dest string, err error) error {
	if err != nil {
		err = fmt.Errorf("unpack to %s: %w", dest, fsx.Full(err))
	}
	return err
}

// unpacker is one call of Unpack.
type unpacker struct {
	root     *os.Root
	top      string
	limits   Limits
	seen     map[string]byte // kind of each name that is there: a tar type
	links    []string
	entries  int64
	names    int64 // bytes in seen
	size     int64
	archived *counter
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func untrusted(format string, args ...any) error { return errs.Errorf(errs.Untrusted, format, args...) }

func (u *unpacker) all(ctx context.Context, r io.Reader) error {
	u.archived = &counter{r: r}
	z, err := gzip.NewReader(u.archived)
	if err != nil {
		return untrusted("not a gzip file: %w", err)
	}
	t := archive.NewTar(z, archive.Bounds{
		Members: u.limits.Entries, Ratio: u.limits.Ratio, Free: freeRatio, Packed: func() int64 { return u.archived.n },
	})
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next() // at the end it has read the checksum of the whole
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = u.entry(ctx, h, t)
		}
		if broken := t.Failed(); broken != nil {
			return untrusted("a broken archive: %w", broken)
		}
		if err != nil {
			return err
		}
	}
	if u.seen[u.top] != tar.TypeDir {
		return untrusted("an archive without its top folder")
	}
	return u.stays()
}

// name returns the clean name of an entry, or an error for one that is not below the
// top folder or is there already.
func (u *unpacker) name(h *tar.Header) (string, error) {
	name := strings.TrimSuffix(h.Name, "/")
	if len(name) > nameLimit || strings.ContainsAny(name, "\x00\\") || !filepath.IsLocal(name) || path.Clean(name) != strings.TrimPrefix(name, "./") {
		return "", untrusted("%.200q is not a name of a file", h.Name)
	}
	name = path.Clean(name)
	first, _, _ := strings.Cut(name, "/")
	u.top = cmp.Or(u.top, first)
	if first != u.top {
		return "", untrusted("%.200q is not in the folder %s", h.Name, u.top)
	}
	if u.seen[name] != 0 {
		return "", untrusted("%.200q is there twice", h.Name)
	}
	return name, nil
}

func (u *unpacker) entry(ctx context.Context, h *tar.Header, body io.Reader) error {
	if err := u.count(); err != nil || h.Typeflag == tar.TypeXGlobalHeader {
		return err
	}
	name, err := u.name(h)
	if err != nil {
		return err
	}
	if h.FileInfo().Mode()&special != 0 && h.Typeflag != tar.TypeDir {
		return untrusted("%.200q is setuid, setgid or sticky", h.Name)
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	if err := u.see(name, h.Typeflag); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.mkdir(name)
	case tar.TypeReg:
		return u.file(ctx, name, h, body)
	case tar.TypeSymlink:
		if !linkStays(strings.TrimPrefix(name, u.top+"/"), h.Linkname) || name == u.top {
			return untrusted("%.200q links to %.200q, which is outside", h.Name, h.Linkname)
		}
		u.links = append(u.links, name)
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		if to := path.Clean(h.Linkname); u.seen[to] == tar.TypeReg {
			u.seen[name] = tar.TypeReg
			return u.root.Link(to, name)
		}
		return untrusted("%.200q is a link to %.200q, which is not a file of the archive", h.Name, h.Linkname)
	}
	return untrusted("%.200q is neither a file, a folder nor a link", h.Name)
}

// folder makes the folder name when no entry did. What is there must be a folder:
// nothing is written through a link.
func (u *unpacker) folder(name string) error {
	switch kind := u.seen[name]; {
	case name == "." || kind == tar.TypeDir:
		return nil
	case kind != 0:
		return untrusted("%.200q is used as a folder", name)
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	if err := u.count(); err != nil {
		return err
	}
	if err := u.see(name, tar.TypeDir); err != nil {
		return err
	}
	return u.mkdir(name)
}

func (u *unpacker) count() error {
	if u.entries++; u.entries > u.limits.Entries {
		return untrusted("more than %d files", u.limits.Entries)
	}
	return nil
}

// see remembers name.
func (u *unpacker) see(name string, kind byte) error {
	if u.names += int64(len(name)); u.names > u.limits.Names {
		return untrusted("more than %d bytes of names", u.limits.Names)
	}
	u.seen[name] = kind
	return nil
}

func (u *unpacker) mkdir(name string) error {
	if err := u.root.Mkdir(name, folderMode); err != nil {
		return err
	}
	return u.root.Chmod(name, folderMode) // whatever the umask
}

func (u *unpacker) file(ctx context.Context, name string, h *tar.Header, body io.Reader) error {
	if u.size += h.Size; h.Size < 0 || u.size > u.limits.Size {
		return untrusted("more than %d bytes of files", u.limits.Size)
	}
	mode := fs.FileMode(fileMode)
	if h.Mode&anyRun != 0 {
		mode = programMode
	}
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	for left := h.Size; left > 0; {
		n, err := io.CopyN(f, body, min(left, 8<<20))
		left -= n
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return f.Chmod(mode)
}

// stays follows every link: a chain may lead outside though none of its links
// does. A link to nothing is allowed.
func (u *unpacker) stays() error {
	top, err := u.root.OpenRoot(u.top)
	if err != nil {
		return err
	}
	defer top.Close()
	for _, name := range u.links {
		if _, err := top.Stat(strings.TrimPrefix(name, u.top+"/")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return untrusted("the link %.200q leads outside: %w", name, err)
		}
	}
	return nil
}
