package zstd

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Encoder is the name of how New packs: whoever packs the same bytes again says with which.
const Encoder = "zstd/overland-1"

// window is how far back a repetition may lie, in bytes: every decoder takes 8 MiB (RFC 8878 §3.1.1.1.2).
const window = 4 << 20

// New returns a writer that compresses to w as one frame. Equal bytes come out as equal bytes, in whatever pieces they are
// written, on every system and with every Go release. Close ends the frame, not w, and must be called.
func New(w io.Writer) (io.WriteCloser, error) {
	// One goroutine: the usual number is that of the processors. The level is that of zstd -3.
	e, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(window),
		zstd.WithEncoderCRC(true), zstd.WithZeroFrames(true), zstd.WithSingleSegment(false))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	const gather = 64 << 10
	return &writer{bufio.NewWriterSize(e, gather), e}, nil
}

// writer gathers what it gets, so that the encoder sees pieces of one length.
type writer struct {
	*bufio.Writer
	encoder *zstd.Encoder
}

// ReadFrom hides bufio's, which may pass pieces of any length on.
func (w *writer) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{w}, r) }

func (w *writer) Close() error { return errors.Join(w.Flush(), w.encoder.Close()) }
