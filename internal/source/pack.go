package source

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha1" // what git names objects with; a pack is trusted by its sha256
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"io"
	"slices"
	"strings"

	"overland/internal/errs"
)

// PackLimit is the longest source pack, in bytes.
const PackLimit = 16 << 30

// The kinds of objects in a pack, with their numbers there (gitformat-pack), in
// the order that they have in ours.
const (
	packCommit = 1
	packTree   = 2
	packBlob   = 3
	packTag    = 4
)

// packed is one object of a pack.
type packed struct {
	kind int
	hash string // hex
}

// Pack writes c as a git pack: all commits that lead to it, so that it counts the same, and the tree
// and files of c alone, with those of its submodules that are in this clone, and the tag that Describe
// gave it. The same commit and tag give the same bytes, whatever git and zlib are on the machine: objects are sorted by kind and name,
// none is a delta, and none is compressed. Errors: Invalid for a folder as it is (Repo.Dirty), a
// partial clone, or more than PackLimit bytes.
func (r *Repo) Pack(ctx context.Context, c Commit, w io.Writer) error {
	if err := r.pack(ctx, c, w); err != nil {
		return fmt.Errorf("pack %s: %w", c.Version, err)
	}
	return nil
}

func (r *Repo) pack(ctx context.Context, c Commit, w io.Writer) error {
	if c.Working() {
		return errs.Hint(errs.Errorf(errs.Invalid, "a folder as it is has no commit to pack"), "commit it")
	}
	r = r.whole()
	list, err := r.reached(ctx, c)
	if err != nil {
		return err
	}
	var names strings.Builder
	for _, o := range list {
		names.WriteString(o.hash + "\n")
	}
	p := newPacker(w, objectFormat(c.Hash))
	p.start(len(list))
	err = r.batch(ctx, strings.NewReader(names.String()), func(br *bufio.Reader) error {
		for _, o := range list {
			if err := p.object(o, br); err != nil {
				return fmt.Errorf("object %s: %w", o.hash, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.end()
}

// reached returns the objects that belong in the pack of c, each once, sorted.
func (r *Repo) reached(ctx context.Context, c Commit) ([]packed, error) {
	out, err := output(ctx, r.dir, maxList, nil, "rev-list", c.Hash, "--")
	if err != nil {
		return nil, err
	}
	var list []packed
	for hash := range strings.Lines(string(out)) {
		list = append(list, packed{packCommit, strings.TrimSuffix(hash, "\n")})
	}
	list = append(list, packed{packTree, c.Tree})
	if c.Tag.Hash != "" {
		list = append(list, packed{packTag, c.Tag.Hash})
	}
	files, err := r.list(ctx, c.Tree, true)
	if err != nil {
		return nil, err
	}
	if files, err = r.pinned(ctx, files, true); err != nil {
		return nil, err
	}
	for _, e := range files {
		switch {
		case e.mode == modeTree:
			list = append(list, packed{packTree, e.hash})
		case e.mode != modeSubmodule:
			list = append(list, packed{packBlob, e.hash})
		case e.here:
			tree, err := r.treeOf(ctx, e.hash)
			if err != nil {
				return nil, err
			}
			list = append(list, packed{packCommit, e.hash}, packed{packTree, tree})
		}
	}
	for _, o := range list {
		if len(o.hash) != len(c.Hash) || !isHex(o.hash) {
			return nil, fmt.Errorf("git named an object %q", o.hash)
		}
	}
	slices.SortFunc(list, func(a, b packed) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.hash, b.hash)) })
	return slices.Compact(list), nil
}

// What git calls the two ways in which a repository names its objects.
const (
	formatSHA1   = "sha1"
	formatSHA256 = "sha256"
)

func objectFormat(hash string) string {
	if len(hash) == 2*sha256.Size {
		return formatSHA256
	}
	return formatSHA1
}

// packer writes a pack.
type packer struct {
	w    *bufio.Writer
	sum  hash.Hash // of all that was written
	size int64
	buf  []byte
	err  error
}

func newPacker(w io.Writer, format string) *packer {
	p := &packer{sum: sha1.New(), buf: make([]byte, storedBlock)} // the format's
	if format == formatSHA256 {
		p.sum = sha256.New()
	}
	const ahead = 256 << 10
	p.w = bufio.NewWriterSize(io.MultiWriter(w, p.sum), ahead)
	return p
}

// write keeps the first error for end.
func (p *packer) write(b []byte) {
	if p.err != nil {
		return
	}
	if p.size += int64(len(b)); p.size > PackLimit {
		p.err = errs.Errorf(errs.Invalid, "more than %d bytes", int64(PackLimit))
		return
	}
	_, p.err = p.w.Write(b)
}

func (p *packer) start(objects int) {
	const version = 2
	head := binary.BigEndian.AppendUint32([]byte("PACK"), version)
	p.write(binary.BigEndian.AppendUint32(head, uint32(objects)))
}

func (p *packer) end() error {
	if p.err == nil {
		p.err = p.w.Flush()
	}
	if p.err == nil {
		// The sum at the end is not part of what it sums.
		_, p.err = p.w.Write(p.sum.Sum(nil))
	}
	if p.err == nil {
		p.err = p.w.Flush()
	}
	return p.err
}

// object writes o, whose content git prints to br.
func (p *packer) object(o packed, br *bufio.Reader) error {
	_, kind, size, err := batchHeader(br)
	if errors.Is(err, errMissing) {
		return incomplete(errs.Errorf(errs.Invalid, "it is not in this clone"))
	}
	if err != nil {
		return err
	}
	if want := []string{packCommit: "commit", packTree: "tree", packBlob: "blob", packTag: "tag"}[o.kind]; kind != want {
		return errs.Errorf(errs.Invalid, "a %s where a %s belongs", kind, want)
	}
	p.write(packHeader(o.kind, size))
	content := newNamed(o.hash, kind, size, br)
	if err := p.stored(content, size); err != nil {
		return err
	}
	if err := content.check(); err != nil {
		return err
	}
	if _, err := br.Discard(1); err != nil { // the line end after each object
		return err
	}
	return p.err
}

// packHeader returns kind and size as gitformat-pack writes them: 4 bits of the size,
// then 7 by 7, the lowest first.
func packHeader(kind int, size int64) []byte {
	const more, first, rest = 0x80, 4, 7
	b := byte(kind)<<first | byte(size&(1<<first-1))
	var out []byte
	for size >>= first; size > 0; size >>= rest {
		out = append(out, b|more)
		b = byte(size & (1<<rest - 1))
	}
	return append(out, b)
}

// storedBlock is the most that one stored block of deflate holds (RFC 1951, 3.2.4).
const storedBlock = 1<<16 - 1

// stored writes size bytes of r as a zlib stream (RFC 1950) of stored blocks: any compression would
// differ between versions of zlib.
func (p *packer) stored(r io.Reader, size int64) error {
	p.write([]byte{0x78, 0x01})
	sum := adler32.New()
	for {
		b := p.buf[:min(size, storedBlock)]
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("git cat-file ended early: %w", err)
		}
		size -= int64(len(b))
		last := byte(0)
		if size == 0 {
			last = 1
		}
		n := uint16(len(b))
		p.write(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16([]byte{last}, n), ^n))
		p.write(b)
		sum.Write(b)
		if size == 0 {
			p.write(sum.Sum(nil))
			return nil
		}
	}
}
