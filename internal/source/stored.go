package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"overland/internal/errs"
)

// copyPack copies a pack as Pack writes it from r to w, and refuses any other: one with deltas, or
// compressed. So what it holds is no longer than the pack itself, where a few kilobytes of a pack that
// git takes are terabytes. hash is the length of an object's name, in bytes. Errors: Untrusted for
// a pack that is another one, those of r and of w as they are. It returns the text of the tag in it, if any.
func copyPack(w io.Writer, r io.Reader, hash int) (tag []byte, err error) {
	const ahead = 256 << 10
	c := &packCopy{r: bufio.NewReaderSize(r, ahead), w: bufio.NewWriterSize(w, ahead)}
	head := c.take(12)
	if c.err == nil && (string(head[:4]) != "PACK" || binary.BigEndian.Uint32(head[4:]) != 2) {
		c.bad("it is not a pack of git's")
	}
	if c.err == nil {
		for range binary.BigEndian.Uint32(head[8:]) {
			if c.object(); c.err != nil {
				break
			}
		}
	}
	c.take(hash)
	if c.err == nil {
		c.err = c.w.Flush()
	}
	return c.tag.Bytes(), c.err
}

// packCopy copies a pack, piece by piece. After the first error nothing more is copied.
type packCopy struct {
	r   *bufio.Reader
	w   *bufio.Writer
	buf [32]byte
	tag bytes.Buffer
	err error
}

func (c *packCopy) bad(format string, args ...any) {
	if c.err == nil {
		c.err = errs.Errorf(errs.Untrusted, "the pack is not as Overland writes it: "+format, args...)
	}
}

// read notes why reading failed: a pack that ends early is not whole.
func (c *packCopy) read(err error) {
	switch {
	case c.err != nil || err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.bad("it ends early")
	default:
		c.err = err
	}
}

// take copies n bytes, at most 32, and returns them until the next call.
func (c *packCopy) take(n int) []byte {
	b := c.buf[:n]
	if c.err != nil {
		clear(b)
		return b
	}
	_, err := io.ReadFull(c.r, b)
	c.read(err)
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
	return b
}

// object copies one object: its kind and size as packHeader writes them, and its content as stored does.
func (c *packCopy) object() {
	const more, low, rest, kinds = 0x80, 0x0f, 0x7f, 7
	b := c.take(1)[0]
	kind, size, shift := int(b>>4)&kinds, int64(b&low), 4
	for b&more != 0 && c.err == nil {
		b = c.take(1)[0]
		size |= int64(b&rest) << shift
		if shift += 7; shift > 56 {
			c.bad("an object without end")
		}
	}
	if kind != packCommit && kind != packTree && kind != packBlob && kind != packTag {
		c.bad("an object of kind %d, a delta for one", kind)
	}
	to := io.Writer(c.w)
	if kind == packTag {
		if c.tag.Len() > 0 || size > maxTag {
			c.bad("a second tag, or a long one")
		}
		to = io.MultiWriter(c.w, &c.tag)
	}
	if z := c.take(2); z[0] != 0x78 || z[1] != 0x01 {
		c.bad("an object that is compressed")
	}
	for last := false; !last && c.err == nil; {
		h := c.take(5)
		n := binary.LittleEndian.Uint16(h[1:])
		last = h[0] == 1
		if h[0] > 1 || n != ^binary.LittleEndian.Uint16(h[3:]) {
			c.bad("an object that is compressed")
		}
		if size -= int64(n); size < 0 {
			c.bad("an object that is longer than it says")
		}
		if c.err == nil {
			_, err := io.CopyN(to, c.r, int64(n))
			c.read(err)
		}
	}
	if size != 0 {
		c.bad("an object that is shorter than it says")
	}
	c.take(4) // its checksum
}

// piped calls use with a reader of what write writes, and returns the error of either; write's
// comes first. It returns when both have ended.
func piped(write func(io.Writer) error, use func(io.Reader) error) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := write(w)
		_ = w.CloseWithError(err)
		done <- err
	}()
	used := use(r)
	_ = r.CloseWithError(errNotRead)
	if err := <-done; err != nil && !errors.Is(err, errNotRead) {
		return err
	}
	return used
}

var errNotRead = fmt.Errorf("nobody reads on")
