package deflate

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
)

// NewWriter returns a writer that compresses to w. Equal bytes come out as equal bytes, in whatever
// pieces they are written, on every system and with every Go release. Close ends the stream, not w.
func NewWriter(w io.Writer) (io.WriteCloser, error) {
	const level, gather = 9, 64 << 10
	e, err := flate.NewWriter(w, level)
	if err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	return &writer{bufio.NewWriterSize(e, gather), e}, nil
}

// writer gathers what it gets, so that the encoder sees pieces of one length.
type writer struct {
	*bufio.Writer
	encoder *flate.Writer
}

// ReadFrom hides bufio's, which may pass pieces of any length on.
func (w *writer) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{w}, r) }

func (w *writer) Close() error { return errors.Join(w.Flush(), w.encoder.Close()) }
