package source

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" // what git names objects with
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	"overland/internal/errs"
)

// A repository is somebody else's folder, and git believes it: a file below .git/objects has the name
// that it has, and an index of a pack says which object is where. So what is read is hashed here.

// named reads an object, and knows whether it is what its name says when all of it was read.
type named struct {
	io.Reader
	name string
	sum  hash.Hash
}

// newNamed returns the object called name, a kind of size bytes, which r begins with.
func newNamed(name, kind string, size int64, r io.Reader) *named {
	n := &named{name: name, sum: sha1.New()}
	if len(name) == hex.EncodedLen(sha256.Size) {
		n.sum = sha256.New()
	}
	fmt.Fprintf(n.sum, "%s %d\x00", kind, size)
	n.Reader = io.TeeReader(io.LimitReader(r, size), n.sum)
	return n
}

func (n *named) check() error {
	if is := hex.EncodeToString(n.sum.Sum(nil)); is != n.name {
		return errs.Hint(errs.Errorf(errs.Untrusted, "the repository has another object, %s, under the name %s", is, n.name),
			"git fsck names all that is damaged: clone it again from where it comes from")
	}
	return nil
}

// isNamed returns an error unless b is the object called name.
func isNamed(name, kind string, b []byte) error {
	n := newNamed(name, kind, int64(len(b)), bytes.NewReader(b))
	_, _ = io.Copy(io.Discard, n) // a bytes.Reader does not fail
	return n.check()
}

// getter returns the object called hash, which must be a kind of at most limit bytes: else the error
// is errMissing or errs.Invalid.
type getter func(hash, kind string, limit int64) ([]byte, error)

// objects calls use with a getter, for objects whose names are known one after the other.
func (r *Repo) objects(ctx context.Context, use func(get getter) error) error {
	names, ask := io.Pipe()
	return r.answers(ctx, names, func(br *bufio.Reader) error {
		defer ask.Close()
		return use(func(hash, kind string, limit int64) ([]byte, error) {
			if _, err := io.WriteString(ask, hash+"\n"); err != nil {
				return nil, err
			}
			_, is, size, err := batchHeader(br)
			switch {
			case err != nil:
				return nil, err
			case is != kind:
				return nil, errs.Errorf(errs.Invalid, "%s is a %s where a %s belongs", hash, is, kind)
			case size < 0 || size > limit:
				return nil, errs.Hint(errs.Errorf(errs.Invalid, "longer than %d bytes", limit), "git ls-tree -r -l HEAD says how long each file is")
			}
			b := make([]byte, size)
			if _, err := io.ReadFull(br, b); err != nil {
				return nil, fmt.Errorf("git cat-file ended early: %w", err)
			}
			if _, err := br.Discard(1); err != nil { // the line end after each object
				return nil, err
			}
			return b, isNamed(hash, kind, b)
		})
	})
}

// list returns the files in the tree called hash, in git's order; with folders those too, but for the top.
func (r *Repo) list(ctx context.Context, hash string, folders bool) ([]entry, error) {
	w := walk{folders: folders, seen: map[string][]entry{}}
	err := r.objects(ctx, func(get getter) error {
		w.get = get
		return w.tree(hash, "", 0)
	})
	if errors.Is(err, errMissing) {
		err = incomplete(errs.Errorf(errs.Invalid, "a folder of it is not in this clone"))
	}
	return w.list, err
}

type walk struct {
	get     getter
	folders bool
	seen    map[string][]entry // trees by their hashes: one may stand in many places
	list    []entry
	size    int // bytes that git ls-tree would print
}

func (w *walk) tree(hash, below string, depth int) error {
	if depth > maxDepth {
		return errs.Errorf(errs.Invalid, "more than %d folders in one another", maxDepth)
	}
	in, ok := w.seen[hash]
	if !ok {
		b, err := w.get(hash, "tree", maxFile)
		if err == nil {
			in, err = parseTree(b, len(hash)/2)
		}
		if err != nil {
			return err
		}
		w.seen[hash] = in
	}
	for _, e := range in {
		e.path = below + e.path
		const line = len("100644 blob \t\x00")
		if w.size += line + len(e.hash) + len(e.path); w.size > maxList {
			return errTooMuch
		}
		if e.mode != modeTree || w.folders {
			w.list = append(w.list, e)
		}
		if e.mode == modeTree {
			if err := w.tree(e.hash, e.path+"/", depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseTree reads a tree, whose names of objects have size bytes (gitformat: mode in octal, a space,
// the file's name, a zero byte, the object's). Modes are those of git ls-tree.
func parseTree(b []byte, size int) ([]entry, error) {
	var list []entry
	for len(b) > 0 {
		head, rest, ok := bytes.Cut(b, []byte{0})
		mode, name, spaced := bytes.Cut(head, []byte(" "))
		const octal, bits = 8, 32
		m, err := strconv.ParseUint(string(mode), octal, bits)
		if !ok || !spaced || err != nil || len(name) == 0 || len(rest) < size {
			return nil, errs.Errorf(errs.Invalid, "a tree that is damaged")
		}
		list = append(list, entry{mode: treeMode(m), hash: hex.EncodeToString(rest[:size]), path: string(name)})
		b = rest[size:]
	}
	return list, nil
}

// treeMode returns the mode that git takes m for.
func treeMode(m uint64) string {
	const kind, file, link, folder, run = 0o170000, 0o100000, 0o120000, 0o040000, 0o100
	switch m & kind {
	case file:
		if m&run != 0 {
			return modeProgram
		}
		return modeFile
	case link:
		return modeLink
	case folder:
		return modeTree
	}
	return modeSubmodule
}
