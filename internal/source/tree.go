package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Limits of one file read into memory, of a commit's list of files and of a
// symbolic link's text, in bytes.
const (
	maxFile  = 64 << 20 // overland.lock may be that long
	maxList  = 256 << 20
	maxLink  = 4 << 10
	lfsStart = "version https://git-lfs.github.com/spec/"
	maxLFS   = 1 << 10 // an LFS pointer is smaller than this
	maxDepth = 200     // folders in one another: writing a file takes as many steps
)

var errMissing = errors.New("git has no such object")

// ReadFile returns the file name (slash-separated, from the top) of c, at most 64 MiB;
// fs.ErrNotExist when c has none.
func (r *Repo) ReadFile(ctx context.Context, c Commit, name string) ([]byte, error) {
	return r.ReadFileUpTo(ctx, c, name, maxFile)
}

// ReadFileUpTo is ReadFile for a file of at most limit bytes.
func (r *Repo) ReadFileUpTo(ctx context.Context, c Commit, name string, limit int64) ([]byte, error) {
	if !inside(name) || strings.ContainsRune(name, '\n') {
		return nil, errs.Errorf(errs.Invalid, "file %q: not a path inside the repository", name)
	}
	if c.Working() {
		return r.readWorking(name, limit)
	}
	b, _, err := r.file(ctx, c, name, limit)
	return b, err
}

// ReadRegular is ReadFileUpTo for what must be a file as it stands: a link or a Git LFS pointer is
// errs.Invalid.
func (r *Repo) ReadRegular(ctx context.Context, c Commit, name string, limit int64) (b []byte, err error) {
	if c.Working() || !inside(name) {
		b, err = r.ReadFileUpTo(ctx, c, name, limit)
	} else {
		var e entry
		if b, e, err = r.file(ctx, c, name, limit); err == nil && e.mode == modeLink {
			return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s is a symbolic link", name), "name the file that it leads to")
		}
	}
	if err == nil && len(b) < maxLFS && bytes.HasPrefix(b, []byte(lfsStart)) {
		return nil, Left{name, LFSPointer}.Err()
	}
	return b, err
}

// file returns what a commit has under name, which must be a file or a link.
func (r *Repo) file(ctx context.Context, c Commit, name string, limit int64) (b []byte, e entry, err error) {
	missing := &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	err = r.objects(ctx, func(get getter) error {
		hash, parts := c.Tree, strings.Split(name, "/")
		for at, part := range parts {
			tree, err := get(hash, "tree", maxFile)
			if err != nil {
				return err
			}
			list, err := parseTree(tree, len(hash)/2)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list, func(e entry) bool { return e.path == part })
			if i < 0 || (list[i].mode == modeTree) == (at == len(parts)-1) || list[i].mode == modeSubmodule {
				return missing
			}
			e, hash = list[i], list[i].hash
		}
		b, err = get(hash, "blob", limit)
		return err
	})
	switch {
	case errors.Is(err, errMissing):
		return nil, e, incomplete(errs.Errorf(errs.Invalid, "read %s of %s: its content is not in this clone", name, c.Version))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("read %s of %s: %w", name, c.Version, err)
	}
	return b, e, err
}

// object returns one git object of at most limit bytes, or errMissing.
func (r *Repo) object(ctx context.Context, name string, limit int64) (hash, kind string, b []byte, err error) {
	out, err := r.output(ctx, limit+4<<10, strings.NewReader(name+"\n"), "cat-file", "--batch")
	if errors.Is(err, errTooMuch) {
		return "", "", nil, errs.Errorf(errs.Invalid, "longer than %d bytes", limit)
	}
	if err != nil {
		return "", "", nil, err
	}
	br := bufio.NewReader(bytes.NewReader(out))
	hash, kind, size, err := batchHeader(br)
	if err != nil {
		return "", "", nil, err
	}
	if size < 0 || size > limit {
		return "", "", nil, errs.Errorf(errs.Invalid, "longer than %d bytes", limit)
	}
	b = make([]byte, size)
	if _, err = io.ReadFull(br, b); err == nil {
		err = isNamed(hash, kind, b)
	}
	return hash, kind, b, err
}

// batchHeader reads the line "<hash> <kind> <size>" of git cat-file --batch.
func batchHeader(br *bufio.Reader) (hash, kind string, size int64, err error) {
	line, err := br.ReadString('\n')
	if err != nil {
		return "", "", 0, fmt.Errorf("git cat-file: %w", err)
	}
	f := strings.Fields(line)
	if len(f) != 3 || !isHex(f[0]) {
		return "", "", 0, errMissing // "<name> missing", "<name> ambiguous"
	}
	size, err = strconv.ParseInt(f[2], 10, 64)
	return f[0], f[1], size, err
}

const (
	modeFile      = "100644"
	modeProgram   = "100755"
	modeTree      = "040000"
	modeLink      = "120000"
	modeSubmodule = "160000"
)

// entry is one file of a tree.
type entry struct {
	mode string // 100644, 100755, 120000 (link), 160000 (submodule), modeTree
	hash string
	path string
	here bool // a submodule's files follow
}

// Checkout writes the files of c below dir, which must be empty or absent: files 0644 or 0755,
// folders 0755, whatever the umask. It returns, sorted by path, what it could not write as it is
// meant to be: see Left. For the folder's own content (Repo.Dirty), a change since then is a
// Conflict.
func (r *Repo) Checkout(ctx context.Context, c Commit, dir string) ([]Left, error) {
	t, err := openTarget(dir)
	if err != nil {
		return nil, fmt.Errorf("check out %s: %w", c.Version, err)
	}
	defer t.root.Close()
	if c.Working() {
		err = r.copyWorking(ctx, c, t)
	} else {
		err = r.copyCommit(ctx, c, t)
	}
	if err == nil {
		err = t.leave()
	}
	if err != nil {
		return nil, fmt.Errorf("check out %s: %w", c.Version, err)
	}
	slices.SortFunc(t.left, func(a, b Left) int { return strings.Compare(a.Path, b.Path) })
	return t.left, nil
}

func (r *Repo) copyCommit(ctx context.Context, c Commit, t *target) error {
	list, err := r.list(ctx, c.Tree, false)
	if err != nil {
		return err
	}
	return r.copyObjects(ctx, list, t)
}

// copyObjects writes the files of list, with those of submodules that are here.
func (r *Repo) copyObjects(ctx context.Context, list []entry, t *target) error {
	r = r.whole()
	list, err := r.pinned(ctx, list, false)
	if err != nil {
		return err
	}
	var names strings.Builder
	for _, e := range list {
		switch {
		case e.mode != modeSubmodule:
			names.WriteString(e.hash + "\n")
		case !e.here:
			if err := t.submodule(e); err != nil {
				return err
			}
		}
	}
	list = slices.DeleteFunc(list, func(e entry) bool { return e.mode == modeSubmodule })
	if err := r.fits(ctx, names.String(), t.room); err != nil {
		return err
	}
	return r.batch(ctx, strings.NewReader(names.String()), func(br *bufio.Reader) error { return t.writeAll(list, br) })
}

// fits refuses the objects that names lists when their contents have more than room bytes together:
// a few kilobytes of git objects can stand for any number of files of any length.
func (r *Repo) fits(ctx context.Context, names string, room int64) error {
	out, err := r.output(ctx, maxList, strings.NewReader(names), "cat-file", "--batch-check=%(objectsize)")
	var said *gitError
	if errors.As(err, &said) {
		return nil // of a partial clone: told when it is read
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		size, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			continue // "<name> missing": told when it is read
		}
		const block = 4096 // bytes that the smallest file takes
		if room -= max(size, block); room < 0 {
			return errs.Hint(errs.Errorf(errs.Invalid, "its files would take more than half of what is free on the disk"),
				"see git ls-tree -r -l HEAD; or make room on the disk of the site directory")
		}
	}
	return nil
}

func incomplete(err error) error {
	return errs.Hint(err, "a partial clone lacks files; clone the repository again without --filter")
}

// target is an empty folder that nothing is written outside of.
type target struct {
	root  *os.Root
	made  map[string]bool
	links []string // that were written
	later []entry  // submodules of a folder as it is
	room  int64    // bytes that may be written
	left  []Left
}

func openTarget(dir string) (*target, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		return nil, errors.Join(err, errs.Errorf(errs.Conflict, "%s is not empty", dir))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	room := int64(math.MaxInt64)
	if free, err := fsx.Free(dir); err == nil {
		room = free / 2 // the command that it is for needs as much again
	}
	return &target{root: root, made: map[string]bool{".": true}, room: room}, nil
}

// writeAll writes the files of list, whose contents are the objects
// that br gives in the same order.
func (t *target) writeAll(list []entry, br *bufio.Reader) error {
	for _, e := range list {
		_, kind, size, err := batchHeader(br)
		if errors.Is(err, errMissing) {
			return incomplete(errs.Errorf(errs.Invalid, "%s: its content is not in this clone", e.path))
		}
		if err != nil {
			return err
		}
		if kind != "blob" {
			return errs.Errorf(errs.Invalid, "%s: a %s where a file belongs", e.path, kind)
		}
		content := newNamed(e.hash, kind, size, br)
		if err := t.write(e, content, size); err != nil {
			return err
		}
		if err := content.check(); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
		if _, err := br.Discard(1); err != nil { // the line end after each object
			return err
		}
	}
	return nil
}

// write writes one file of size bytes. Its folders are made on the way.
func (t *target) write(e entry, r io.Reader, size int64) error {
	if !inside(e.path) || hasGitDir(e.path) {
		return errs.Errorf(errs.Invalid, "%q: not a file that belongs in a repository", e.path)
	}
	if e.mode == modeSubmodule {
		t.later = append(t.later, e)
		return nil
	}
	if err := t.mkdir(path.Dir(e.path)); err != nil {
		return err
	}
	if e.mode == modeLink {
		return t.link(e.path, r)
	}
	if size < maxLFS {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(b, []byte(lfsStart)) {
			t.left = append(t.left, Left{e.path, LFSPointer})
		}
		r = bytes.NewReader(b)
	}
	mode := fs.FileMode(0o644)
	if e.mode == modeProgram {
		mode = 0o755
	}
	f, err := t.root.OpenFile(filepath.FromSlash(e.path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

func (t *target) link(name string, r io.Reader) error {
	b, err := fsx.Read(r, name, maxLink)
	if err != nil {
		return err
	}
	to := string(b)
	if to == "" || strings.ContainsRune(to, 0) {
		return errs.Errorf(errs.Invalid, "%s: a symbolic link to nowhere", name)
	}
	if path.IsAbs(to) {
		t.left = append(t.left, Left{name, OutsideLink})
		return nil
	}
	t.links = append(t.links, name)
	return t.root.Symlink(to, filepath.FromSlash(name))
}

func (t *target) mkdir(dir string) error {
	if t.made[dir] {
		return nil
	}
	if err := t.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	if err := t.root.Mkdir(filepath.FromSlash(dir), 0o755); err != nil {
		return err
	}
	t.made[dir] = true
	return t.root.Chmod(filepath.FromSlash(dir), 0o755)
}

func hasGitDir(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.EqualFold(part, ".git") {
			return true
		}
	}
	return false
}
