package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"overland/internal/deflate"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// The modes of files and folders in an archive and after unpacking, whatever the
// umask was where they were made.
const (
	fileMode    = 0o644
	programMode = 0o755
	folderMode  = 0o755
	anyRun      = 0o111
	special     = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
)

// packTime is when every file of an archive was changed. Not 1970: zip archives cannot say that.
var packTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// PackOptions say how to pack.
type PackOptions struct {
	Top      string   // name of the top folder in the archive; "" = the folder's own
	Prefixes []string // other absolute paths that the software was built for, such as --prefix before DESTDIR
}

// Packed is what an archive holds.
type Packed struct {
	Entries   int64
	Size      int64    // bytes of all files
	Rewritten []string // what was changed so that it runs elsewhere: "bin/tool: RUNPATH"
}

// Pack writes the folder dir to w, as a tar in gzip (deflate.NewGzip): the same folder as the same bytes, with any Go. Files that hold its path, or one of o.Prefixes, and cannot be
// changed safely are an error (errs.Invalid) that names them all; so are links that lead outside,
// devices and setuid programs. The bytes written to w are useless then.
func Pack(ctx context.Context, w io.Writer, dir string, o PackOptions) (Packed, error) {
	p, err := newPacker(dir, o)
	if err != nil {
		return Packed{}, err
	}
	z, err := deflate.NewGzip(w)
	if err != nil {
		return Packed{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	p.tar = tar.NewWriter(z)
	err = filepath.WalkDir(p.dir, func(file string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		return p.entry(file, d)
	})
	if err != nil {
		return Packed{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	if len(p.wrong) > 0 {
		return Packed{}, p.fixed()
	}
	if err := p.tar.Close(); err != nil {
		return Packed{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	return p.packed, z.Close()
}

// packer is one call of Pack.
type packer struct {
	dir    string
	top    string
	roots  []string // absolute, without the last "/"
	tar    *tar.Writer
	packed Packed
	wrong  []string
}

func newPacker(dir string, o PackOptions) (*packer, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(abs)
	if err != nil || !info.IsDir() {
		return nil, errs.Errorf(errs.Invalid, "%s is not a folder", dir)
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, err
	}
	p := &packer{dir: resolved, top: o.Top, roots: []string{resolved}}
	if p.top == "" {
		p.top = filepath.Base(abs)
	}
	for _, root := range append([]string{abs}, o.Prefixes...) {
		root = filepath.Clean(root)
		if !filepath.IsAbs(root) || root == "/" {
			return nil, errs.Errorf(errs.Invalid, "%q is not the path of a folder that software is built for", root)
		}
		if root != resolved {
			p.roots = append(p.roots, root)
		}
	}
	if resolved == "/" {
		return nil, errs.Errorf(errs.Invalid, "the whole file system is not a folder of software")
	}
	return p, nil
}

const (
	showWrong = 20 // lines of a refusal
	maxWrong  = 10_000
)

func (p *packer) refuse(rel, format string, args ...any) {
	if len(p.wrong) < maxWrong {
		p.wrong = append(p.wrong, rel+": "+fmt.Sprintf(format, args...))
	}
}

// fixed returns the error that lists what keeps the tree where it is.
func (p *packer) fixed() error {
	lines := p.wrong[:min(showWrong, len(p.wrong))]
	text := strings.Join(lines, "\n  ")
	if more := len(p.wrong) - len(lines); more > 0 {
		text += fmt.Sprintf("\n  … and %d more", more)
	}
	return errs.Hint(errs.Errorf(errs.Invalid, "%s would not run elsewhere:\n  %s", p.dir, text),
		"build it so that it finds its files from where it is ($ORIGIN in RPATH, relative links), or leave out what is not needed")
}

// entry adds one file or folder; filepath.WalkDir calls it in the order of names.
func (p *packer) entry(file string, d fs.DirEntry) error {
	rel, err := filepath.Rel(p.dir, file)
	if err != nil {
		return err
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: path.Join(p.top, filepath.ToSlash(rel)), ModTime: packTime, Mode: fileMode}
	switch kind := info.Mode().Type(); {
	case info.IsDir():
		h.Name, h.Typeflag, h.Mode = h.Name+"/", tar.TypeDir, folderMode
	case kind == fs.ModeSymlink:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = p.link(file, rel); err != nil {
			return err
		}
	case !info.Mode().IsRegular():
		p.refuse(rel, "neither a file, a folder nor a link")
		return nil
	case info.Mode()&special != 0:
		p.refuse(rel, "a setuid, setgid or sticky file")
		return nil
	default:
		if info.Mode().Perm()&anyRun != 0 {
			h.Mode = programMode
		}
		return p.file(file, rel, h)
	}
	return p.add(h)
}

// add writes the header of an entry. Once something was refused it writes nothing: the walk goes on
// only to find what else is wrong.
func (p *packer) add(h *tar.Header) error {
	p.packed.Entries++
	if len(p.wrong) > 0 {
		return nil
	}
	return p.tar.WriteHeader(h)
}

// link returns the target of a symbolic link, as a path from where it stands.
func (p *packer) link(file, rel string) (string, error) {
	target, err := os.Readlink(file)
	if err != nil {
		return "", err
	}
	if inside, ok := p.inside(target); ok {
		if target, err = filepath.Rel(filepath.Dir(rel), inside); err != nil {
			return "", err
		}
		p.packed.Rewritten = append(p.packed.Rewritten, rel+": link")
	}
	if !linkStays(filepath.ToSlash(rel), target) {
		p.refuse(rel, "a link to %s, which is outside", target)
	}
	return target, nil
}

// inside returns, from the top, what the absolute path names below one of the roots.
func (p *packer) inside(name string) (rel string, ok bool) {
	for _, root := range p.roots {
		if name == root {
			return ".", true
		}
		if rest, ok := strings.CutPrefix(filepath.Clean(name), root+"/"); ok {
			return rest, true
		}
	}
	return "", false
}

// linkStays reports whether a link at name, slash-separated from the top, points below the top by
// its text alone. Unpack checks chains of links.
func linkStays(name, target string) bool {
	return target != "" && !path.IsAbs(target) && filepath.IsLocal(path.Join(path.Dir(name), target))
}

// file adds a regular file, changed where it must be.
func (p *packer) file(name, rel string, h *tar.Header) error {
	f, err := fsx.OpenUnlinked(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	var r io.ReaderAt = f
	if h.Size <= rewriteLimit {
		text, err := fsx.Read(f, rel, h.Size)
		if err != nil {
			return err
		}
		if made, what := p.rewrite(rel, text); what != "" {
			p.packed.Rewritten = append(p.packed.Rewritten, rel+": "+what)
			r, h.Size = bytes.NewReader(made), int64(len(made))
		}
	}
	p.packed.Size += h.Size
	program := p.elf(r, rel)
	if err := p.scan(r, rel, program); err != nil {
		return err
	}
	if err := p.add(h); err != nil || len(p.wrong) > 0 {
		return err
	}
	_, err = io.CopyN(p.tar, &patched{r: r, patches: program.patches}, h.Size)
	return err
}

// patched reads r with some of its bytes replaced.
type patched struct {
	r       io.ReaderAt
	off     int64
	patches []patch
}

type patch struct {
	off  int64
	text []byte
}

func (p *patched) Read(b []byte) (int, error) {
	n, err := p.r.ReadAt(b, p.off)
	for _, one := range p.patches {
		from, to := max(one.off, p.off), min(one.off+int64(len(one.text)), p.off+int64(n))
		if from < to {
			copy(b[from-p.off:to-p.off], one.text[from-one.off:])
		}
	}
	p.off += int64(n)
	return n, err
}
