package volume

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"overland/internal/digest"
)

// least is the shortest blob that is worth compressing, in bytes.
const least = 512

// packer compresses the blobs of a volume before their places are known.
type packer struct {
	c     Content
	pack  Pack
	buf   []byte
	file  *os.File // their compressed bytes, one after the other; it has no name
	end   int64    // of the last
	blobs map[digest.Digest]packedBlob
}

type packedBlob struct {
	documentPacked
	crc uint32 // of the content
	at  int64  // in the file
}

func newPacker(path string, c Content, o Options, buf []byte) (*packer, error) {
	const mode = 0o600
	file, err := o.FS.Nameless(filepath.Dir(path), mode)
	if err != nil {
		return nil, err
	}
	return &packer{c: c, pack: o.Pack, buf: buf, file: file, blobs: map[digest.Digest]packedBlob{}}, nil
}

func (p *packer) close() { p.file.Close() }

// run compresses what becomes shorter by an eighth.
func (p *packer) run(ctx context.Context, show func(done, total int64)) error {
	sizes := map[digest.Digest]int64{}
	var done, total int64
	for _, b := range p.c.Blobs {
		if _, ok := sizes[b.Digest]; !ok && b.Size >= least {
			sizes[b.Digest] = b.Size
			total += b.Size
		}
	}
	for _, d := range slices.Sorted(maps.Keys(sizes)) {
		if err := p.blob(ctx, d, sizes[d], func(n int) { show(done+int64(n), total) }); err != nil {
			return fmt.Errorf("blob %s: %w", d, err)
		}
		done += sizes[d]
	}
	return nil
}

// blob compresses blob d of size bytes, and keeps what is worth it.
func (p *packer) blob(ctx context.Context, d digest.Digest, size int64, show func(done int)) error {
	const worth = 8 // one part in so many
	out := &section{w: bufio.NewWriterSize(io.NewOffsetWriter(p.file, p.end), bufferSize), h: digest.New()}
	w, err := p.pack(out)
	if err != nil {
		return err
	}
	read := 0
	crc, err := copyBlob(ctx, p.c.Open, d, size, p.buf, func(b []byte) error {
		_, err := w.Write(b)
		read += len(b)
		show(read)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := out.w.Flush(); err != nil {
		return err
	}
	if out.n <= size-size/worth {
		p.blobs[d] = packedBlob{documentPacked{out.h.Digest(), out.n}, crc, p.end}
		p.end += out.n
	}
	return nil
}

// section is the place of one blob in the file.
type section struct {
	w *bufio.Writer
	h digest.Hasher
	n int64
}

func (s *section) Write(b []byte) (int, error) {
	s.h.Write(b)
	s.n += int64(len(b))
	return s.w.Write(b)
}

// copy writes the compressed bytes of blob d to w.
func (p *packer) copy(ctx context.Context, d digest.Digest, w io.Writer) error {
	b := p.blobs[d]
	return copyRange(ctx, w, io.NewSectionReader(p.file, b.at, b.Size), p.buf)
}
