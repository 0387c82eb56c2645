package golang

import (
	"archive/zip"
	"bufio"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// unzipper unpacks the files of archives, with what earlier ones needed. It is safe for concurrent
// use. The zero value works.
type unzipper struct {
	memories sync.Pool // of *memory
	inflate  sync.Pool // of *inflater, for what is not unpacked in memory
	buffers  sync.Pool // of *[]byte
}

// use makes z unpack its files with u: hashing modules is most of what recording go costs, and the
// decoder of the standard library needs half as much again.
func (u *unzipper) use(z *zip.Reader) {
	z.RegisterDecompressor(zip.Deflate, func(r io.Reader) io.ReadCloser {
		i, ok := u.inflate.Get().(*inflater)
		if !ok {
			const size = 32 << 10
			i = &inflater{u: u, in: bufio.NewReaderSize(nil, size)}
			i.ReadCloser = flate.NewReader(i.in)
		}
		i.in.Reset(r)
		_ = i.ReadCloser.(flate.Resetter).Reset(i.in, nil) // it only says that there is a dictionary
		return i
	})
}

// inflater is a decoder that is used again once it is closed.
type inflater struct {
	io.ReadCloser
	in *bufio.Reader
	u  *unzipper
}

func (i *inflater) Close() error {
	err := i.ReadCloser.Close()
	i.u.inflate.Put(i)
	return err
}

// open opens a file for io.Copy.
func (u *unzipper) open(f *zip.File) (io.ReadCloser, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	return &unpacked{r, u}, nil
}

// unpacked is a file that is copied through a buffer of u.
type unpacked struct {
	io.ReadCloser
	u *unzipper
}

// WriteTo implements io.WriterTo.
func (p *unpacked) WriteTo(w io.Writer) (int64, error) {
	b, ok := p.u.buffers.Get().(*[]byte)
	if !ok {
		const size = 64 << 10
		made := make([]byte, size)
		b = &made
	}
	defer p.u.buffers.Put(b)
	return io.CopyBuffer(w, struct{ io.Reader }{p.ReadCloser}, *b)
}
